"""What the server makes once for all sessions: the libraries, and IPython's shell."""

import ctypes
import gc
import importlib
import inspect
import io
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from . import BUILTINS
from .cage import LIBC
from .canaries import SAMPLES
from .cells import Cells

globals()["__builtins__"] = BUILTINS


def make_cells(scratch: str) -> Cells:
    """Make the IPython that every session inherits, warm, and find out if it is as expected."""
    shell = make_shell(scratch)
    # The first cell and the first traceback are slow: let them be here, and leave no trace.
    at_first = dict(shell.user_ns)
    visible, sys.stdout = sys.stdout, io.StringIO()
    try:
        for cell in ("1 + 1", "1 / 0", "import json; json.loads('')", "x ="):
            shell.run_cell(cell, store_history=True)
        cells = Cells(shell)
        forget(shell, at_first)
        if not cells.failed:
            theirs = seen(shell, lambda cell: shell.run_cell(cell, store_history=True))
            forget(shell, at_first)
            ours = seen(shell, cells.run)
            forget(shell, at_first)
            if ours != theirs:
                cells.give_up("InteractiveShell.run_cell")
    finally:
        sys.stdout = visible
    return cells


def seen(shell: Any, run: Callable[[str], Any]) -> list[Any]:
    """Return what the sample cells print and leave behind when `run` runs them."""
    found: list[Any] = []
    for cell in SAMPLES:
        sys.stdout = io.StringIO()
        run(cell)
        found.append(sys.stdout.getvalue())
    hidden = sorted(name for name in shell.user_ns_hidden if name in shell.user_ns)
    names = {name: repr(shell.user_ns[name]) for name in sorted(shell.user_ns) if name[:1] == "_"}
    return [found, hidden, names, list(shell.history_manager.input_hist_raw), shell.execution_count]


def forget(shell: Any, at_first: dict[str, Any]) -> None:
    """Put the shell back to where it was before any cell."""
    shell.reset(new_session=True)
    # It leaves out what a namespace has at first: _ and __doc__, for example.
    shell.user_ns.update({k: v for k, v in at_first.items() if k not in shell.user_ns})
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)


def make_shell(scratch: str) -> Any:
    """Make the one InteractiveShell: no colours, no history."""
    os.makedirs(f"{scratch}/ipython", exist_ok=True)
    os.environ["IPYTHONDIR"] = f"{scratch}/ipython"
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell: Any = InteractiveShell.instance(config=config)
    show_plainly(shell.display_formatter)
    tell_cells_from_modules(shell.compile)
    return shell


def show_plainly(formatter: Any) -> None:
    """Do not look for HTML and pictures of plain values: nobody would see them."""
    plain = {int, float, complex, bool, str, bytes, list, tuple, dict, set, frozenset, range}
    original, text = formatter.format, {"text/plain"}

    def show(value: object, include: Any = None, exclude: Any = None) -> Any:
        if include is None and type(value) in plain:
            include = text
        return original(value, include, exclude)

    formatter.format = show


def tell_cells_from_modules(compiler: Any) -> None:
    """Make `inspect.getmodule` return at once for a frame of a cell: it belongs to no module.

    To find that out, `inspect` looks at every loaded module for every frame of a traceback. With
    numpy, pandas, scipy and sympy loaded, a cell with an unbounded recursion took 29.7 s that way,
    about the default time limit of a cell; with this it takes 0.2 s.
    """
    original = inspect.getmodule
    if not hasattr(compiler, "_filename_map"):
        return  # A canary says so.
    of_frames = (types.CodeType, types.FrameType, types.TracebackType)

    def getmodule(object: object, _filename: str | None = None) -> types.ModuleType | None:  # noqa: A002 (inspect's own name)
        if isinstance(object, of_frames) and inspect.getfile(object) in compiler._filename_map:
            return None
        return original(object, _filename)

    inspect.getmodule = getmodule


def import_libraries(names: list[str]) -> list[str]:
    """Import modules by name, once, and return the names of those that are installed."""
    new = not all(name in sys.modules for name in names)
    gc.disable()  # What is imported stays; collections would take an eighth of the time.
    loaded = []
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        loaded.append(name)
    if new:
        use_once(sys.modules)
        # IPython's shell collects garbage several times, and need not search all libraries.
        gc.collect()
        gc.freeze()
    gc.enable()
    return loaded


def use_once(modules: dict[str, types.ModuleType]) -> None:
    """Use libraries once, so that what they build at their first use is there for all sessions."""
    if "numpy" in modules:
        importlib.import_module("numpy.random")
    if "pandas" in modules:
        # Where pyarrow is installed, the first table with words in it takes six megabytes.
        table = modules["pandas"].DataFrame({"word": ["a", "b"], "number": [0.5, 1.5]})
        repr(table.groupby("word").sum())


def into_huge_pages() -> None:
    """Ask the kernel to keep the memory of this process in large pages, where it can.

    A fork copies the list of all pages, and the end of a process frees it: most of the cost of a
    session. With numpy, pandas, scipy and sympy loaded, a session of one cell took 13.8 ms of
    processor time, and 17.6 ms without this. To copy the memory takes 20 to 160 ms, so that this
    does not pay for a few sessions. Memory that a session writes to is still copied in small pages.
    """
    huge = 2 << 20
    with open("/proc/self/maps") as file:
        for line in file:
            area, mode, _, device, *_ = line.split()
            start, end = (int(bound, 16) for bound in area.split("-"))
            start, end = -(-start // huge) * huge, end // huge * huge
            if mode == "rw-p" and device == "00:00" and start < end:
                # An old kernel does not know the request, and goes on as before.
                LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), 25)
