"""Strict verdicts on code: tests in one session, the solution in another, only data between.

Grading.md, "``strict`` mode": a verdict cannot be forged. The tests' session never runs a line of
the solution's, so leaving early, printing, patching, walking frames or searching memory changes
nothing there; the solution's session never sees the tests, and what it says is only data.
"""

import ast
import asyncio
import builtins
import functools
import symtable
import time
from collections.abc import Callable

from codeact.edge.graders.fences import unfence
from codeact.edge.sandboxes.base import Evaluation, Sandbox, Session
from codeact.edge.sandboxes.sandbox import GRADER_MODULES
from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.exceptions import GraderFailure, SandboxFailure

SECONDS = 10.0
"""For loading the solution and all its calls together (grading.md)."""
_LEAST_SECONDS = 0.05
_LONGEST_MESSAGE = 8_000_000
_BUILTINS = frozenset(dir(builtins))

_ENDS: set["asyncio.Future[None]"] = set()

TaskText = Callable[[Task], str]


class _Program:
    """What is known of a task's tests: the names they take from the solution, and from elsewhere.

    What the task gives (`head`) and what its solution imports is there for the tests themselves:
    an answer that defines a given helper anew does not change what it is tested with.
    """

    def __init__(self, tests: str, solution: str, head: str) -> None:
        bound, free = _top_level_names(tests)
        bound |= _top_level_names(head)[0]
        given, _ = _top_level_names(solution)
        imports = _imports(solution)
        wanted = {name for name in free - bound if name in given or name not in _BUILTINS}
        self.names = sorted(wanted - imports.keys())
        self.given = "\n".join([head, *sorted({imports[name] for name in wanted & imports.keys()})])


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
        if len(answer) > _LONGEST_MESSAGE:
            return Verdict(False, "the answer is longer than any program")
        trial = _Trial(sandbox)
        try:
            await trial.open()
            described = await trial.load(self._load_call(task, unfence(answer), program.names))
            if described is None:
                return Verdict(False, trial.trouble)
            return await trial.judge(str(task.reference), program.given, described)
        finally:
            trial.close()

    def _load_call(self, task: Task, answer: str, names: list[str]) -> str:
        sources = [self._head(task), answer] if self._head else [answer]
        body = f"{self._whole_prompt(task)}\n{answer}" if self._whole_prompt else ""
        wanted = self._entry(task) if self._entry else ""
        return f"load({sources!r}, {body!r}, {names!r}, {wanted!r})"


class _Trial:
    """The two sessions of one verdict, and the clock over both."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._sessions: list[Session] = []
        self._deadline = time.monotonic() + SECONDS
        self._failure: SandboxFailure | None = None
        self.trouble = ""

    async def open(self) -> None:
        started = await asyncio.gather(
            self._sandbox.session(),
            self._sandbox.session(tools={"relay": self._relay}),
            return_exceptions=True,
        )
        self._sessions = [session for session in started if not isinstance(session, BaseException)]
        for session in started:
            if isinstance(session, BaseException):
                raise session

    def close(self) -> None:
        """End both sessions; the verdict does not wait for that."""
        for session in self._sessions:
            end = asyncio.ensure_future(session.close())
            _ENDS.add(end)
            end.add_done_callback(_ENDS.discard)

    async def load(self, call: str) -> str | None:
        return await self._ask_solution(_call("solution_side", call))

    async def judge(self, tests: str, given: str, described: str) -> Verdict:
        source = _call("test_side", f"run_tests({tests!r}, {given!r}, {described!r}, relay)")
        outcome = await self._sessions[1].evaluate(source, seconds=self._left())
        if self._failure is not None:
            raise self._failure
        if self.trouble:
            return Verdict(False, self.trouble)
        if outcome.error.startswith("UncrossableError"):
            raise GraderFailure(f"the tests pass what cannot cross: {outcome.error}")
        return Verdict(outcome.ok and outcome.value is True, _why(outcome))

    async def _relay(self, request: str) -> str:
        answer = await self._ask_solution(_call("solution_side", f"serve({request!r})"))
        if answer is None:
            raise RuntimeError(self.trouble)
        return answer

    async def _ask_solution(self, source: str) -> str | None:
        left = self._left()
        if self.trouble or left <= _LEAST_SECONDS:
            self.trouble = self.trouble or "out of time"
            return None
        try:
            outcome = await self._sessions[0].evaluate(source, seconds=left)
        except SandboxFailure as error:
            self._failure = error
            raise
        if outcome.ok and isinstance(outcome.value, str) and len(outcome.value) <= _LONGEST_MESSAGE:
            return outcome.value
        self.trouble = _why(outcome) or "the solution's session answers nonsense"
        return None

    def _left(self) -> float:
        # Never nothing: a limit of 0 s is no limit to a timer.
        return max(self._deadline - time.monotonic(), _LEAST_SECONDS)


def _call(side: str, call: str) -> str:
    """Write a call of one of our modules, which every guest has loaded before any session."""
    return f'import sys\nRESULT = sys.modules["{GRADER_MODULES}.{side}"].{call}'


def _why(outcome: Evaluation) -> str:
    return "" if outcome.ok else (outcome.error or outcome.status)


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


def _imports(source: str) -> dict[str, str]:
    """Map each name that a module imports at its top to the statement that does it."""
    found: dict[str, str] = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                found[(alias.asname or alias.name).partition(".")[0]] = ast.unparse(statement)
    return found
