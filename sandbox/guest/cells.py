"""Cells, run as IPython's `run_cell` runs them, and faster."""

import ast
import builtins
import re
import sys
from typing import Any

from . import BUILTINS
from .canaries import first_failed

globals()["__builtins__"] = BUILTINS
WORD = re.compile(r"\w+")


class Cells:
    """Runs cells: plain Python as IPython's `run_cell` would, all else by IPython itself.

    `run_cell` splits every cell into tokens twice, compiles it once more than needed and keeps all
    that it prints. What a cell shows, and what it leaves in In, Out and the rest, is the same here.
    A cell with which IPython could do more goes to `run_cell`. All cells do if `failed` says that
    IPython is not as expected: it names the canary that failed, see `canaries`.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.failed = first_failed(shell)
        if self.failed:
            return
        from IPython.core import autocall, interactiveshell, macro

        self.hook = shell.displayhook
        self.make_info: Any = interactiveshell.ExecutionInfo
        self.make_result: Any = interactiveshell.ExecutionResult
        self.result: Any = None
        self.writer = shell.display_formatter.formatters["text/plain"]
        printers = self.writer.type_printers
        self.usual_printers: dict[type, Any] = {
            kind: printers.get(kind) for kind in (int, float, bool, str)
        }
        self.usual_rules = self.rules()
        self.commands = (autocall.IPyAutocall, macro.Macro)
        ends_in_semicolon = self.hook.semicolon_at_end_of_expression
        self.hook.semicolon_at_end_of_expression = lambda cell: (
            ";" in cell and ends_in_semicolon(cell)
        )

    def give_up(self, why: str) -> None:
        """Leave all cells to `run_cell` from now on; `why` becomes `failed`."""
        if not self.failed:
            del self.hook.semicolon_at_end_of_expression
        self.failed = why

    def rules(self) -> tuple[Any, ...]:
        """Return everything that can change a cell before it runs, or how it runs."""
        shell, manager = self.shell, self.shell.input_transformer_manager
        return (
            *(*manager.cleanup_transforms, *manager.line_transforms, *manager.token_transformers),
            *(*shell.input_transformers_post, *shell.ast_transformers, *shell.custom_exceptions),
            shell.ast_node_interactivity,
        )

    def run(self, cell: str) -> bool:
        """Run a cell; tell whether it went well."""
        if self.failed:
            return bool(self.shell.run_cell(cell, store_history=True).success)
        whole = cell if cell.endswith("\n") else cell + "\n"
        tree = self.plain(whole)
        shell, history = self.shell, self.shell.history_manager
        if tree is None:
            # What `remember` did not tell it: the last inputs, of which it makes _i, _ii and _iii.
            history._ii, history._i, history._i00 = ["", "", *history.input_hist_raw][-3:]
            return bool(shell.run_cell(cell, store_history=True).success)
        info = self.make_info(cell, True, False, True, None, None, transformed_cell=whole)
        self.result = result = self.make_result(info)
        count = result.execution_count = shell.execution_count
        shell.execution_count = count + 1
        try:
            shell.events.trigger("pre_execute")
            shell.events.trigger("pre_run_cell", info)
            self.remember(history, count, cell, whole)
            shell.logger.log(whole, cell)
            with shell.builtin_trap:
                name = shell.compile.cache(whole, count, raw_code=cell)
                usual, sys.displayhook = sys.displayhook, self.show
                try:
                    shell.last_execution_succeeded = not self.fails(tree.body, name, result)
                    shell.last_execution_result = result
                finally:
                    sys.displayhook = usual
        finally:
            shell.events.trigger("post_execute")
            shell.events.trigger("post_run_cell", result)
        error = result.error_in_exec
        if error is not None and not wordless(error):
            history.exceptions[count] = shell._format_exception_for_storage(error)
        return bool(result.success)

    def plain(self, whole: str) -> ast.Module | None:
        """Return the tree of a cell that is Python and nothing else, or None."""
        # What IPython adds to the language does not parse as Python, with three exceptions: its own
        # prompts ("In [1]: x" is an annotation), await, and white space at the front.
        if whole[0].isspace() or "In [" in whole or "await" in whole or "async" in whole:
            return None
        if "run_line_magic(" in whole or self.rules() != self.usual_rules:
            return None
        if whole.count("\n") == 1 and self.could_be_command(WORD.match(whole)):
            return None
        try:
            tree: ast.Module = self.shell.compile.ast_parse(whole)
        except Exception:
            return None
        return tree

    def could_be_command(self, word: re.Match[str] | None) -> bool:
        """Tell whether a cell of one line with this first word may be a magic, alias or macro."""
        shell = self.shell
        if word is None or shell.autocall:
            return bool(shell.autocall)
        name = word.group()
        value = shell.user_ns.get(name)
        return isinstance(value, self.commands) or shell.find_magic(name) is not None

    def remember(self, history: Any, count: int, cell: str, whole: str) -> None:
        """Put a cell into In, _i, _ii, _iii and _i<count>."""
        if "exit" in cell or "quit" in cell:
            history.store_inputs(count, whole, cell)
            return
        raw = history.input_hist_raw
        history.input_hist_parsed.append(whole.rstrip("\n"))
        raw.append(cell.rstrip("\n"))
        third, second, first, this = ["", "", "", *raw[-4:]][-4:]
        self.leave({"_i": first, "_ii": second, "_iii": third, f"_i{count}": this})

    def leave(self, names: dict[str, Any]) -> None:
        """Bind names that cells can use and that do not count as their own."""
        self.shell.user_ns.update(names)
        self.shell.user_ns_hidden.update(names)

    def fails(self, statements: list[ast.stmt], name: str, result: Any) -> bool:
        """Run statements one by one until one fails; the value of a last expression is shown."""
        shell = self.shell
        try:
            for statement in statements:
                if statement is statements[-1] and isinstance(statement, ast.Expr):
                    code = shell.compile(ast.Interactive([statement]), name, "single")
                else:
                    code = shell.compile(ast.Module([statement], []), name, "exec")
                try:
                    shell.run_code(code, result).send(None)
                except StopIteration as done:
                    if done.value:
                        return True
        except BaseException as error:
            # Python that can be parsed but not compiled, such as a return outside of a function.
            result.error_before_exec = error
            shell.showtraceback()
            return True
        return False

    def show(self, value: object) -> None:
        """Show a cell's value, and keep it in Out and _: sys.displayhook, of plain values."""
        text = None if value is None else self.plain_text(value)
        if text is None:
            self.hook.exec_result = self.result
            try:
                self.hook(value)
            finally:
                self.hook.exec_result = None
            return
        shell, hook, out = self.shell, self.hook, self.shell.user_ns["_oh"]
        count = self.result.execution_count
        stdout = sys.stdout
        stdout.write(f"{shell.separate_out}Out[{count}]: ")
        hook.___, hook.__, hook._ = hook.__, hook._, value
        self.leave({"_": hook._, "__": hook.__, "___": hook.___, f"_{count}": value})
        out[count] = self.result.result = value
        stdout.write(f"{text}\n{shell.separate_out2}")
        shell.history_manager.output_hist_reprs[count] = text
        stdout.flush()

    def plain_text(self, value: object) -> str | None:
        """Return how IPython would write a number or a string, or None where it could differ."""
        if type(value) not in self.usual_printers or not self.shows_as_usual(type(value)):
            return None
        try:
            return repr(value)
        except ValueError:
            return None  # An integer with too many digits: IPython shows that in its own way.

    def shows_as_usual(self, kind: type) -> bool:
        """Tell whether nothing was changed in how IPython shows values and keeps them."""
        hook, writer, formatter = self.hook, self.writer, self.shell.display_formatter
        space, hidden = self.shell.user_ns, self.shell.user_ns_hidden
        return (
            writer.type_printers.get(kind) is self.usual_printers[kind]
            and (kind is not float or writer.float_format == "%r")
            and not formatter.ipython_display_formatter.type_printers
            and not formatter.mimebundle_formatter.type_printers
            and ";" not in self.result.info.raw_cell
            and len(space["_oh"]) < hook.cache_size
            and "_" not in vars(builtins)
            and all(
                space.get(name) is last and hidden.get(name) is last
                for name, last in (("_", hook._), ("__", hook.__), ("___", hook.___))
            )
        )


def wordless(error: BaseException | None) -> bool:
    """Tell whether no code of the cell's runs when an exception and its causes are formatted."""
    for _ in range(20):
        if error is None:
            return True
        if type(error).__module__ != "builtins" or any(
            type(a) not in (str, int) for a in error.args
        ):
            return False
        error = error.__cause__ or error.__context__
    return False
