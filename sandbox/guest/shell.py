"""What the server makes once for all sessions: the libraries, and IPython's shell."""

import ctypes
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
    """Spare plain values the search for HTML and pictures of them, which nobody would see."""
    plain = {int, float, complex, bool, str, bytes, list, tuple, dict, set, frozenset, range}
    original, text = formatter.format, {"text/plain"}

    def show(value: object, include: Any = None, exclude: Any = None) -> Any:
        if include is None and type(value) in plain:
            include = text
        return original(value, include, exclude)

    formatter.format = show


def tell_cells_from_modules(compiler: Any) -> None:
    """Answer at once that a cell's frame belongs to no module.

    ``inspect`` finds that out by a look at every loaded module, for every frame of a traceback:
    with the libraries loaded, an unbounded recursion then takes half a minute to be shown.
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


def preload(names: list[str]) -> list[str]:
    """Import modules by name and return the names of those that are installed."""
    loaded = []
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        loaded.append(name)
    return loaded


def use_once(modules: dict[str, types.ModuleType]) -> None:
    """Have libraries make here, for all sessions, what they make when they are first used."""
    if "numpy" in modules:
        importlib.import_module("numpy.random")
    if "pandas" in modules:
        # Where pyarrow is installed, the first table with words in it takes six megabytes.
        table = modules["pandas"].DataFrame({"word": ["a", "b"], "number": [0.5, 1.5]})
        repr(table.groupby("word").sum())


def into_huge_pages() -> None:
    """Have the kernel keep this process's memory in few large pages, where it can.

    A fork copies a list of all pages, and an end takes it down: that is most of what a session
    costs. What a session then writes to is copied in small pages, as ever.
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
