"""The families of the training sets: prompts, what waits in the session, verdicts, whole runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
import pytest
import pytest_asyncio

from codeact import datasets as families
from codeact.datasets.family import RowError
from codeact.episode.task import Task
from codeact.experiment.validate import validate
from codeact.graders import cases, denotation, outputs
from codeact.sandboxes.base import Sandbox
from tests.helpers.sandboxes import started

Mode = Literal["mint", "strict"]
MODES: list[Mode] = ["mint", "strict"]
TABLE = [
    {"City": "Ur", "city": 1, "Note": None},
    {"City": "Uruk", "city": 2, "Note": 'it\'s "old" {here}'},
]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = await started("local")
    yield sandbox
    await sandbox.close()


def table_row(form: str, reference: str = "Ur|Uruk") -> dict[str, Any]:
    row = {"id": f"nt-{form}", "prompt": "Which cities?", "reference": reference}
    return {**row, "table": TABLE, "table_id": "1-csv/1", "question_format": form}


def problem(inputs: list[Any], outputs: list[Any], *solutions: str, name: str = "") -> Task:
    cases = {"inputs": inputs, "outputs": outputs, **({"fn_name": name} if name else {})}
    known = json.dumps(solutions) if solutions else ""
    row = {"problem_id": 7, "prompt": "Do it.", "reference": json.dumps(cases), "solutions": known}
    return families.get("apps").task(row)


async def verdict(task: Task, answer: str, sandbox: Sandbox, mode: Mode) -> bool:
    return (await families.get(task.name).grader(mode)(task, answer, sandbox)).correct


DOUBLE = problem(["3\n", ["4", "5"]], ["6\n", ["8", "10", ""]])
DOUBLES = "import sys\nfor line in sys.stdin:\n    print(2 * int(line), ' ')\n"
ADD = problem([[1, 2], [[1], [2]]], [3, [[1, 2]]], name="add")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("task", "answer", "right"),
    [
        (DOUBLE, DOUBLES, True),
        (DOUBLE, "while True:\n try: print(int(input()) * 2)\n except EOFError: break", True),
        (DOUBLE, "for line in open(0): print(int(line) * 2)\nraise SystemExit", True),
        (DOUBLE, "print(6)", False),
        (DOUBLE, DOUBLES + "raise ValueError", False),
        (DOUBLE, DOUBLES + "raise SystemExit(1)", False),
        (DOUBLE, "print(6); print(8); print(10)", False),
        (DOUBLE, DOUBLES + "RESULT = 'anything'", True),
        (DOUBLE, "def f(:", False),
        (DOUBLE, "import os; os._exit(0)", False),
        (ADD, "def add(a, b): return a + b", True),
        (ADD, "class Solution:\n def add(self, a: List[int], b): return a + b", True),
        (ADD, "def add(a, b): return 3", False),
        (ADD, "def add(a, b):\n class E(int):\n  __eq__ = lambda *_: True\n return E()", False),
        (ADD, "add = None", False),
    ],
)
async def test_every_case_has_to_come_out(
    sandbox: Sandbox, mode: Mode, task: Task, answer: str, right: bool
) -> None:
    assert await verdict(task, answer, sandbox, mode) is right


FAST_IO = """
import os, sys
from io import BytesIO, IOBase
class FastIO(IOBase):
    newlines = 0
    def __init__(self, file):
        self._fd = file.fileno()
        self.buffer = BytesIO()
        self.writable = "x" in file.mode or "r" not in file.mode
        self.write = self.buffer.write if self.writable else None
    def readline(self):
        while self.newlines == 0:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, 8192))
            self.newlines = b.count(b"\\n") + (not b)
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines -= 1
        return self.buffer.readline()
    def flush(self):
        if self.writable:
            os.write(self._fd, self.buffer.getvalue())
            self.buffer.truncate(0), self.buffer.seek(0)
class IOWrapper(IOBase):
    def __init__(self, file):
        self.buffer = FastIO(file)
        self.flush = self.buffer.flush
        self.writable = self.buffer.writable
        self.write = lambda s: self.buffer.write(s.encode("ascii"))
        self.readline = lambda: self.buffer.readline().decode("ascii")
sys.stdin, sys.stdout = IOWrapper(sys.stdin), IOWrapper(sys.stdout)
input = lambda: sys.stdin.readline().rstrip("\\r\\n")
print(2 * int(input()))
sys.stdout.flush()
"""
AT_EXIT = """
import atexit, io, os, sys
sys.stdout = io.BytesIO()
atexit.register(lambda: os.write(1, sys.stdout.getvalue()))
sys.stdout.write(b"%d" % (2 * int(input())))
"""
READ = ("input()", "open(0).read()", "__import__('sys').stdin.buffer.read()",
        "__import__('os').read(0, 9)", "open('/dev/stdin').readline()",
        "__import__('os').read(0, __import__('os').fstat(0).st_size)",
        "__import__('mmap').mmap(0, 0, access=1).readline()")  # fmt: skip
WRITE = (
    "print(x)", "import os; os.write(1, b'%d' % x)",
    "import sys; sys.stdout.buffer.write(b'%d' % x)",
    "import sys; sys.stdout = open(1, 'w'); print(x)", "import sys; sys.__stdout__.write(str(x))",
    "kept = open(1, 'w', closefd=False); kept.write(str(x))",
    "import os; os.write(1, b'%d' % x); os._exit(0)", "print(x); raise SystemExit",
    "import threading; threading.Timer(0.1, print, [x]).start()",
    "import os; os.execvp('echo', ['echo', str(x)])", "__import__('os').system(f'echo {x}')",
)  # fmt: skip


async def test_a_program_is_judged_by_what_it_wrote_however_it_did(sandbox: Sandbox) -> None:
    task = problem(["21\n"], ["42\n"])
    programs = [FAST_IO, AT_EXIT]
    programs += [f"x = 2 * int({read})\n{write}" for read in READ for write in WRITE[:1]]
    programs += [f"x = 2 * int({read})\n{write}" for read in READ[:1] for write in WRITE[1:]]
    for program in programs:
        for mode in MODES:
            assert await verdict(task, program, sandbox, mode), program
        assert not await verdict(task, program.replace("2 *", "3 *"), sandbox, "strict"), program


async def test_a_program_that_does_not_end_well_is_wrong(sandbox: Sandbox) -> None:
    task = problem(["21\n"], ["42\n"])
    for end in ("1 / 0", "raise SystemExit(3)", "import os; os._exit(1)", "import os; os.abort()",
                "import os; os.kill(os.getppid(), 9)", "print('x' * 10**8)",
                "import atexit; atexit.register(print, 'more')"):  # fmt: skip
        answer = f"print(42, flush=True)\n{end}"
        assert not await verdict(task, answer, sandbox, "strict"), end


async def test_a_child_that_keeps_the_output_open_does_not_hold_the_verdict(
    sandbox: Sandbox,
) -> None:
    task = problem(["21\n"], ["42\n"])
    answer = "import subprocess\nsubprocess.Popen(['sleep', '1000'])\nprint(42)"
    async with asyncio.timeout(60):
        assert await verdict(task, answer, sandbox, "strict")


@pytest.mark.parametrize(
    ("expected", "printed", "mint", "strict"),
    [
        ("1000000007", "1000000008.0", True, False),
        ("1000000007", "1000000007.0", True, False),
        ("1000000007", "1000000007", True, True),
        ("1000", "1_000", True, False),
        ("42", "４２", True, False),
        ("42", "٤٢", True, False),
        ("1.5", "１.5", True, False),
        ("7", "7.0", True, False),
        ("0010", "10", True, False),
        ("9007199254740993", "9007199254740992", False, False),
        ("0.5", "0.500001", True, True),
        ("0.5", "0.50001", False, False),
        ("2.0", "2", True, True),
        ("1e3", "1000.0", True, True),
        ("inf", "Infinity", False, False),
        ("nan", "nan", True, True),
        ("1 2\n3", " 1  2 \n\n3\n\n", True, True),
        ("1 2", "1\n2", False, False),
        ("1 2", "1\u20032", True, False),
        ("YES", "yes", False, False),
        ("", "", True, True),
        ("", "0", False, False),
    ],
)
async def test_outputs_are_compared_exactly_in_strict_mode_alone(
    expected: str, printed: str, mint: bool, strict: bool
) -> None:
    assert outputs.same_output(printed, expected) is mint
    assert outputs.same_output_strictly(printed, expected) is strict


@pytest.mark.parametrize(
    ("expected", "returned", "mint", "strict"),
    [
        ([3, 5, 7], 3, True, False),
        ([3], 3, True, True),
        ([[3, 5]], [3, 5], True, True),
        ([3], [3], True, True),
        (3, 3.0, True, False),
        (1000000007, 1000000008.0, True, False),
        ([1, 2], [1, 2.0], True, False),
        (2.5, 2.500001, True, True),
        (2.0, 2, True, True),
        (1, True, False, False),
        (True, 1, False, False),
        ("3", 3, False, False),
        ({"a": [1]}, {"a": [1]}, True, True),
        ({"a": 1}, {"a": 1.0}, True, False),
        (None, None, True, True),
        ([], None, False, False),
        (10**30, 10**30 + 1, False, False),
    ],
)
async def test_values_are_compared_exactly_in_strict_mode_alone(
    expected: Any, returned: Any, mint: bool, strict: bool
) -> None:
    said = json.dumps(returned)
    assert (cases._judge_value(said, expected) == "") is mint
    assert (cases._judge_value_strictly(said, expected) == "") is strict


@pytest.mark.parametrize("mode", MODES)
async def test_a_case_leaves_nothing_to_the_next(sandbox: Sandbox, mode: Mode) -> None:
    """Whoever counts the runs knows which case it is."""
    task = problem(["a", "a"], ["1", "2"])
    answer = "import builtins as b\nb.n = getattr(b, 'n', 0) + 1\nprint(b.n)"
    assert not await verdict(task, answer, sandbox, mode)


class Spied:
    """A sandbox that remembers what its sessions are told."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.told: list[str] = []

    async def session(self, **how: Any) -> Any:
        session = await self.sandbox.session(**how)
        evaluate = session.evaluate

        async def heard(source: str, *, seconds: float) -> Any:
            self.told.append(source)
            return await evaluate(source, seconds=seconds)

        session.evaluate = heard  # type: ignore[method-assign]
        return session

    async def close(self) -> None:
        await self.sandbox.close()


@pytest.mark.parametrize("mode", MODES)
async def test_expected_outputs_never_enter_a_session(sandbox: Sandbox, mode: Mode) -> None:
    spied = Spied(sandbox)
    for name, given in (("", "x"), ("f", ["x"])):
        task = problem([given], ["expected-5417"], name=name)
        grader = families.get("apps").grader(mode)
        assert not (await grader(task, "print(1)\ndef f(x): pass", spied)).correct
    assert len(spied.told) == 2
    assert not any("5417" in source for source in spied.told)


async def test_fences_are_for_strict_alone(sandbox: Sandbox) -> None:
    fenced = f"```python\n{DOUBLES}```"
    assert await verdict(DOUBLE, fenced, sandbox, "strict")
    assert not await verdict(DOUBLE, fenced, sandbox, "mint")


async def test_validation_tells_problems_without_a_solution(sandbox: Sandbox) -> None:
    known = problem(["3"], ["6"], "print(2 * int(input()))")
    report = await validate(families.get("apps"), [known], sandbox, "strict")
    assert (report.tasks, report.unknown, report.ok) == (1, (), True)
    given = {"": "is empty", "no JSON": "no JSON list", '"x"': "no JSON list", "[]": "without a"}
    for solutions, why in given.items():
        task = msgspec.structs.replace(DOUBLE, metadata={"solutions": solutions})
        report = await validate(families.get("apps"), [task], sandbox, "strict")
        assert (report.tasks, len(report.unknown), report.ok) == (1, 1, True)
        assert report.unknown[0].task == "apps/7"
        assert why in report.unknown[0].why


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("{}", "no JSON object with lists"),
        ('{"inputs": ["1"], "outputs": []}', "1 inputs but 0 outputs"),
        ('{"inputs": [], "outputs": []}', "holds no test cases"),
        ('{"inputs": [1], "outputs": [1], "fn_name": "a.b"}', "fn_name"),
        ("[", "no test cases"),
    ],
)
async def test_references_without_cases_are_refused(reference: str, words: str) -> None:
    row = {"problem_id": 7, "prompt": "Do it.", "reference": reference, "solutions": ""}
    with pytest.raises(RowError, match=words):
        families.get("apps").task(row)


async def test_a_field_is_missed_by_the_name_that_the_file_has() -> None:
    with pytest.raises(RowError, match="'problem_id' is missing"):
        families.get("apps").task({"prompt": "Do it.", "reference": "{}", "solutions": ""})
    with pytest.raises(RowError, match="'question' is missing"):
        families.get("math_train").task({"id": 1, "answer": "2"})


@pytest.mark.parametrize(
    ("reference", "answer", "mint", "strict"),
    [
        ("Ur|Uruk", "['Uruk', 'Ur']", True, True),
        ("Ur|Uruk", "['Uruk', 'Ur', 'Ur']", True, False),
        ("Ur|Uruk", "['Ur']", False, False),
        ("Ur", "ur.", True, True),
        ("Ur", "'Úr'", True, True),
        ("Ur", "The answer is Ur", False, True),
        ("Ur (Iraq)", "ur[1]", True, True),
        ("1000", "1000.0", True, True),
        ("1000", "1001", False, False),
        ("2007-05-xx", "2007-5-xx", True, True),
        ("2007-05-01", "2007-05-02", False, False),
        ("a\\pb", "a|b", True, True),
        ("10|10", "[10, 10]", True, True),
        ("10|10", "[10]", True, False),
        ("x", "[__import__('os').getpid()]", False, False),
    ],
)
async def test_answers_about_tables_are_compared_as_values(
    sandbox: Sandbox, reference: str, answer: str, mint: bool, strict: bool
) -> None:
    task = families.get("wiki_table_questions").task(table_row("sql", reference))
    assert await verdict(task, answer, sandbox, "mint") is mint
    assert await verdict(task, answer, sandbox, "strict") is strict


async def test_a_normal_form_is_its_own_normal_form() -> None:
    for text in ('"Ur"[3]', "Café (old) [a]", "“x”", "  A  b. ", "[1]", "a*†"):
        assert denotation.normal(denotation.normal(text)) == denotation.normal(text)


@pytest.mark.parametrize(
    ("form", "cell", "shown"),
    [
        ("pandas", "df.loc[1, 'Note'], df.shape, df['Note'].isna().tolist()", "old"),
        ("sql", "conn.execute('select City, city_ from data_table').fetchall()", "('Uruk', 2)"),
    ],
)
async def test_the_table_waits_in_the_session(
    sandbox: Sandbox, form: str, cell: str, shown: str
) -> None:
    task = families.get("wiki_table_questions").task(table_row(form))
    async with await sandbox.session(setup=task.setup) as session:
        done = await session.execute(cell)
        assert shown in done.output
        assert done.output.startswith("Out[1]")
        names = await session.execute("[n for n in dir() if n[:2] in ('_f', '_c')]")
        assert "[]" in names.output


@pytest.mark.parametrize("mode", MODES)
async def test_latex_is_compared_as_mathematics(sandbox: Sandbox, mode: Mode) -> None:
    def made(answer: str) -> Task:
        return families.get("math_train").task({"id": 1, "question": "x?", "answer": answer})

    assert await verdict(made("\\frac 59"), "\\dfrac{5}{9}", sandbox, mode)
    assert await verdict(made("(1,15)"), "(1, 15)", sandbox, mode)
    assert await verdict(made("2\\sqrt{3}"), "\\sqrt{12}", sandbox, mode)
    assert not await verdict(made("(1,15)"), "(15, 1)", sandbox, mode)
    assert not await verdict(made("\\frac 59"), "\\frac 58", sandbox, mode)
