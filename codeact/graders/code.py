"""Verdicts on code: tests in one session, the solution in another, only data between.

A strict verdict cannot be forged. The tests' session never runs a line of
the solution's, so leaving early, printing, patching, walking frames or searching memory changes
nothing there; the solution's session never sees the tests, and what it says is only data.
"""

import ast
import asyncio
import builtins
import contextlib
import functools
import symtable
import sys
import time
from collections.abc import Callable, Mapping

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.exceptions import GraderFailure, SandboxFailure
from codeact.graders.evaluation import WALL, call, evaluate, short, why, wrong
from codeact.graders.fences import unfence
from codeact.sandboxes.base import HostTool, Sandbox, Session

SECONDS = 10.0
"""For loading the solution and all its calls together, and as much for the tests' own work.

Seconds in which the code had a processor or slept, from when both sessions are there."""
_LEAST_SECONDS = 0.05
_LONGEST_PROGRAM = 1_000_000
_LONGEST_MESSAGE = 8_000_000
_LOOK_S = 2.0
"""How long one call of the tests' session waits: less than a host tool may take."""
_BUSY = "busy"
_BUILTINS = frozenset(dir(builtins))

TaskText = Callable[[Task], str]


async def mint(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade as published: solution and tests in one process, wrong if anything is raised.

    Fences are not stripped, and an early exit is a failure.
    """
    outcome = await evaluate(sandbox, f"{answer}\n{task.reference}", seconds=SECONDS)
    return Verdict(True) if outcome.ok else wrong(outcome)


class _Program:
    """What is known of a task's tests: the names they take from the solution, and from elsewhere.

    What the task gives (`head`) and what its solution imports is there for the tests themselves:
    an answer that defines a given helper anew does not change what it is tested with. A builtin is
    the answer's only where the task's own solution defines a function of that name.
    """

    def __init__(self, tests: str, solution: str, head: str) -> None:
        bound, free = _top_level_names(tests)
        bound |= _top_level_names(head)[0]
        given = _kinds(solution)
        imports, whole = _imports(solution)
        wanted = free - bound
        kinds = {name: _kind(name, given) for name in sorted(wanted - imports.keys())}
        self.names = {name: kind for name, kind in kinds.items() if kind}
        used = {imports[name] for name in wanted & imports.keys()}
        self.given = "\n".join([head, *sorted(used), *whole])


class CodeGrader:
    """Judges a program by the tests in a task's reference.

    `solution` makes a trusted correct program of a task: what it defines, the tests may ask of an
    answer. `head` and `whole_prompt` are for tasks that give the beginning of the program: the
    first runs ahead of an answer, the second ahead of an answer that is only a function's body.
    """

    def __init__(
        self,
        solution: TaskText,
        *,
        head: TaskText | None = None,
        entry: TaskText | None = None,
        whole_prompt: TaskText | None = None,
    ) -> None:
        self._solution = solution
        self._head = head
        self._entry = entry
        self._whole_prompt = whole_prompt

    async def __call__(self, task: Task, answer: str, sandbox: Sandbox, /) -> Verdict:
        """Judge one answer; raises `GraderFailure` if the tests themselves are unfit."""
        head = self._head(task) if self._head else ""
        program = _program(str(task.reference), self._solution(task), head)
        if len(answer) > _LONGEST_PROGRAM:
            return Verdict(False, "the answer is longer than any program")
        with contextlib.ExitStack() as owned:
            trial = await _Trial.opened(sandbox, owned)
            described = await trial.load(self._load_call(task, unfence(answer), [*program.names]))
            if described is None:
                return Verdict(False, trial.trouble)
            return await trial.judge(str(task.reference), program, described)

    def _load_call(self, task: Task, answer: str, names: list[str]) -> str:
        sources = [self._head(task), answer] if self._head else [answer]
        body = f"{self._whole_prompt(task)}\n{answer}" if self._whole_prompt else ""
        wanted = self._entry(task) if self._entry else ""
        return f"load({sources!r}, {body!r}, {names!r}, {wanted!r}, {SECONDS!r})"


class _Trial:
    """The two sessions of one verdict, and the clock over both."""

    def __init__(self, sandbox: Sandbox, owned: contextlib.ExitStack) -> None:
        self._sandbox = sandbox
        self._owned = owned
        self._sessions: dict[str, Session] = {}
        self._deadline = 0.0
        self._pending: asyncio.Task[str | None] | None = None
        self._failure: SandboxFailure | None = None
        self.trouble = ""

    @classmethod
    async def opened(cls, sandbox: Sandbox, owned: contextlib.ExitStack) -> "_Trial":
        """Start both sessions, which `owned` ends; the clock starts when they are there."""
        trial = cls(sandbox, owned)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(trial._open("solution", {}))
                both.create_task(trial._open("tests", {"relay": trial._relay}))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        trial._deadline = time.monotonic() + WALL * SECONDS
        return trial

    async def _open(self, name: str, tools: Mapping[str, HostTool]) -> None:
        # Nothing is awaited between a session's start and its entry here: none can be forgotten.
        session = await self._sandbox.session(tools=tools)
        self._owned.callback(session.retire)
        self._sessions[name] = session

    async def load(self, expression: str) -> str | None:
        return await self._ask_solution(call("solution_side", expression))

    async def judge(self, tests: str, program: _Program, described: str) -> Verdict:
        mine = f"{tests!r}, {program.given!r}, {described!r}, {program.names!r}"
        source = call("test_side", f"run_tests({mine}, relay=relay, seconds={SECONDS!r})")
        try:
            outcome = await self._sessions["tests"].evaluate(source, seconds=self._left())
        finally:
            await self._stop()
        if self._failure is not None:
            raise self._failure
        if self.trouble:
            return Verdict(False, self.trouble)
        if outcome.error.startswith("UncrossableError"):
            raise GraderFailure(f"the tests pass what cannot cross: {short(outcome.error)}")
        return Verdict(outcome.ok and outcome.value is True, why(outcome))

    async def _stop(self) -> None:
        """Give up a call whose end the tests no longer wait for."""
        if self._pending is not None:
            self._pending.cancel()
            await asyncio.gather(self._pending, return_exceptions=True)

    async def _relay(self, request: str) -> str:
        """Pass a request of the tests on; return the answer or, before long, that it is on its way.

        An empty request goes on with the last one.
        """
        if request or self._pending is None:
            asked = self._ask_solution(call("solution_side", f"serve({request!r})"))
            self._pending = asyncio.ensure_future(asked)
        done, _ = await asyncio.wait({self._pending}, timeout=_LOOK_S)
        if not done:
            return _BUSY
        answer, self._pending = self._pending.result(), None
        if answer is None:
            raise RuntimeError(self.trouble)
        return answer

    async def _ask_solution(self, source: str) -> str | None:
        left = self._left()
        if self.trouble or left <= _LEAST_SECONDS:
            self.trouble = self.trouble or "out of time"
            return None
        try:
            outcome = await self._sessions["solution"].evaluate(source, seconds=left)
        except SandboxFailure as error:
            self._failure = error
            raise
        if outcome.ok and isinstance(outcome.value, str) and len(outcome.value) <= _LONGEST_MESSAGE:
            return outcome.value
        self.trouble = why(outcome) or "the solution's session answers nonsense"
        return None

    def _left(self) -> float:
        # Never nothing: a limit of 0 s is no limit to a timer.
        return max(self._deadline - time.monotonic(), _LEAST_SECONDS)


@functools.lru_cache(maxsize=4096)
def _program(tests: str, solution: str, head: str) -> _Program:
    try:
        return _Program(tests, solution, head)
    except (SyntaxError, ValueError) as error:
        raise GraderFailure(f"the task's own tests or solution are no Python: {error}") from error


def _top_level_names(source: str) -> tuple[set[str], set[str]]:
    """Tell the names that a module binds, and those it takes from its surroundings."""
    top = symtable.symtable(source, "<task>", "exec")
    bound = {
        symbol.get_name()
        for symbol in top.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }
    used: set[str] = set()
    waiting = [top]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        used |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (table is top or symbol.is_global())
        }
    return bound, {name for name in used if not name.startswith("__")}


def _kind(name: str, given: Mapping[str, str]) -> str:
    """Return the kind of a name that the tests use; "" if the solution does not decide it."""
    if name in given:
        return given[name]
    return "" if name in _BUILTINS or name in sys.stdlib_module_names else "unknown"


def _kinds(source: str) -> dict[str, str]:
    """Tell what a module defines at its top: a ``class``, or any other ``value``.

    What comes of an assignment may be a class (a named tuple, say), but does not replace a builtin.
    """
    top = symtable.symtable(source, "<task>", "exec")
    found = {}
    functions = {table.get_name() for table in top.get_children() if table.get_type() == "function"}
    for symbol in top.get_symbols():
        name = symbol.get_name()
        if symbol.is_namespace():
            found[name] = "value" if name in functions else "class"
        elif symbol.is_assigned() and name not in _BUILTINS:
            found[name] = "class"
    return found


def _imports(source: str) -> tuple[dict[str, str], list[str]]:
    """Map each name that a module imports to the statement that does it; and whole imports."""
    found: dict[str, str] = {}
    whole = []
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    whole.append(ast.unparse(node))
                found[(alias.asname or alias.name).partition(".")[0]] = ast.unparse(node)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)
    found.pop("*", None)
    return found, whole
