"""One check for each internal of IPython that `cells` uses, to find out when a release moves it.

The server runs all of them once, on the shell that its sessions inherit. If one fails, `Cells`
leaves every cell to IPython's `run_cell`, and the server tells its owner which one it was. To
support a new release, read its changes to what this list names.
"""

import ast
import inspect
import linecache
from collections.abc import Callable
from typing import Any

from . import BUILTINS

globals()["__builtins__"] = BUILTINS

Check = Callable[[Any], bool]


def first_failed(shell: Any) -> str:
    """Return the name of the first internal that is not as expected, or nothing."""
    for name, check in CANARIES.items():
        try:
            good = check(shell)
        except Exception:
            good = False
        if not good:
            return name
    return ""


def execution_info(_: Any) -> bool:
    """Check that an ExecutionInfo takes and keeps what `run_cell` gives it."""
    from IPython.core import interactiveshell

    make: Any = interactiveshell.ExecutionInfo
    info = make("raw", True, False, True, None, None, transformed_cell="whole")
    kept = (info.raw_cell, info.transformed_cell, info.store_history, info.silent)
    return kept == ("raw", "whole", True, False) and info.shell_futures is True


def execution_result(_: Any) -> bool:
    """Check that an ExecutionResult is a success until it has one of its two errors."""
    from IPython.core import interactiveshell

    make: Any = interactiveshell.ExecutionResult
    good, early, late = make("info"), make("info"), make("info")
    early.error_before_exec, late.error_in_exec = ValueError(), ValueError()
    seen = [result.success for result in (good, early, late)]
    return seen == [True, False, False] and (good.info, good.result) == ("info", None)


def magic_types(shell: Any) -> bool:
    """Check what tells a command from plain Python in a cell of one line."""
    from IPython.core import autocall, macro

    found = shell.find_magic("time") is not None and shell.find_magic("no_such_magic") is None
    return found and inspect.isclass(autocall.IPyAutocall) and inspect.isclass(macro.Macro)


def transforms(shell: Any) -> bool:
    """Check that all that may change a cell is in known lists, and leaves plain Python alone."""
    manager = shell.input_transformer_manager
    lists = (manager.cleanup_transforms, manager.line_transforms, manager.token_transformers)
    later = (shell.input_transformers_post, shell.ast_transformers)
    plain = "def f(x):\n    return x\n\nf(1)\n"
    return (
        all(isinstance(some, list) for some in (*lists, *later))
        and isinstance(shell.custom_exceptions, tuple)
        and shell.ast_node_interactivity == "last_expr"
        and shell.transform_cell(plain) == plain
    )


def compiler(shell: Any) -> bool:
    """Check that the compiler names a cell, keeps its text for tracebacks, and compiles a tree."""
    name = shell.compile.cache("6 * 7\n", 0, raw_code="6 * 7")
    tree = shell.compile.ast_parse("6 * 7\n")
    code = shell.compile(ast.Interactive(tree.body), name, "single")
    return isinstance(tree, ast.Module) and name in linecache.cache and code.co_filename == name


def run_code(shell: Any) -> bool:
    """Check that `run_code` is a coroutine that never waits, and says whether a cell failed."""
    waiting = shell.run_code(
        shell.compile(shell.compile.ast_parse("pass\n"), "<canary>", "exec"), None
    )
    try:
        waiting.send(None)
    except StopIteration as done:
        return done.value is False
    return False


def history(shell: Any) -> bool:
    """Check how the history keeps inputs, and the three that become _i, _ii and _iii."""
    manager = shell.history_manager
    last = (manager._i00, manager._i, manager._ii)
    lists = (manager.input_hist_parsed, manager.input_hist_raw)
    manager.store_inputs(shell.execution_count, "canary\n", "canary")
    remembered = manager._i00 == "canary" and (manager._i, manager._ii) == last[:2]
    return bool(
        remembered
        and [some[-1] for some in lists] == ["canary", "canary"]
        and shell.user_ns[f"_i{shell.execution_count}"] == "canary"
        and isinstance(manager.exceptions, dict)
        and isinstance(manager.output_hist_reprs, dict)
    )


def stored_errors(shell: Any) -> bool:
    """Check that an error can be formatted for the history."""
    return bool(shell._format_exception_for_storage(ValueError("canary")))


def display_hook(shell: Any) -> bool:
    """Check what the display hook remembers, and how it finds a semicolon at the end."""
    hook = shell.displayhook
    ends = hook.semicolon_at_end_of_expression
    return bool(
        ends("1;") is True
        and ends("';'") is False
        and hook.exec_result is None
        and hook.cache_size > 0
        and all(hasattr(hook, name) for name in ("_", "__", "___"))
        and isinstance(shell.user_ns["_oh"], dict)
        and (shell.separate_out, shell.separate_out2) == ("", "")
    )


def namespaces(shell: Any) -> bool:
    """Check that a name bound by the shell is in both of its namespaces."""
    shell.push({"canary": 1}, interactive=False)
    return bool(shell.user_ns.pop("canary") == 1 and shell.user_ns_hidden.pop("canary") == 1)


def formatters(shell: Any) -> bool:
    """Check where it is written how values of a type are shown."""
    formatter = shell.display_formatter
    writer = formatter.formatters["text/plain"]
    return (
        callable(writer.type_printers[int])
        and writer.float_format == "%r"
        and formatter.ipython_display_formatter.type_printers == {}
        and formatter.mimebundle_formatter.type_printers == {}
    )


def tracebacks(shell: Any) -> bool:
    """Check where a traceback comes from, and how the frames of cells are told from others."""
    try:
        raise ValueError("canary")  # noqa: TRY301
    except ValueError as error:
        etype, value, trace = shell._get_exc_info()
        known = isinstance(shell.compile._filename_map, dict)
        return known and (etype, value, trace) == (ValueError, error, error.__traceback__)


def events(shell: Any) -> bool:
    """Check the four events of a cell."""
    names = ("pre_execute", "pre_run_cell", "post_execute", "post_run_cell")
    return all(name in shell.events.callbacks for name in names)


def logger(shell: Any) -> bool:
    """Check that the logger takes a cell twice: as it was run, and as it was typed."""
    inspect.signature(shell.logger.log).bind("whole", "raw")
    return True


def traps(shell: Any) -> bool:
    """Check that the builtins of IPython can be put in place around a cell."""
    with shell.builtin_trap:
        return callable(__import__("builtins").get_ipython)


CANARIES: dict[str, Check] = {
    "interactiveshell.ExecutionInfo": execution_info,
    "interactiveshell.ExecutionResult": execution_result,
    "InteractiveShell.find_magic, IPyAutocall, Macro": magic_types,
    "InteractiveShell.input_transformer_manager": transforms,
    "InteractiveShell.compile": compiler,
    "InteractiveShell.run_code": run_code,
    "InteractiveShell.history_manager": history,
    "InteractiveShell._format_exception_for_storage": stored_errors,
    "InteractiveShell.displayhook": display_hook,
    "InteractiveShell.user_ns_hidden": namespaces,
    "InteractiveShell.display_formatter": formatters,
    "InteractiveShell._get_exc_info, CachingCompiler._filename_map": tracebacks,
    "InteractiveShell.events": events,
    "InteractiveShell.logger": logger,
    "InteractiveShell.builtin_trap": traps,
}
"""Name of an internal, and the check that it is as `cells` needs it."""

SAMPLES = ("1 + 1", "x = 2.5\nx", "'a'", "_, __, _i", "[x, 'b']", "1 / 0", "return", "x;", "x")
"""Cells that have to show and leave the same, whoever runs them."""
