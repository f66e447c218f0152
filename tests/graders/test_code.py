"""Strict verdicts on code: what may cross between the sessions, and what may not be forged."""

import asyncio
import textwrap
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from codeact.datasets import get
from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.exceptions import GraderFailure
from codeact.sandboxes.base import Sandbox
from tests.helpers.sandboxes import started

pytestmark = pytest.mark.asyncio(loop_scope="module")
GRADE = get("mbpp").grader("strict")
CORRECT = "def f(x):\n    return x * 37 + 5\n"
TESTS = "assert f(1) == 42\nassert f(2) == 79\nassert [f(x) for x in (0, 3)] == [5, 116]"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = await started("local", preload=("numpy", "sympy"), memory_mb=512)
    yield sandbox
    await sandbox.close()


async def judge(
    sandbox: Sandbox, answer: str, tests: str = TESTS, reference: str = CORRECT
) -> Verdict:
    task = Task(
        name="mbpp",
        id="0",
        prompt="Write f.",
        reference=textwrap.dedent(tests),
        metadata={"code": textwrap.dedent(reference)},
    )
    return await GRADE(task, textwrap.dedent(answer), sandbox)


# -- what is right


@pytest.mark.parametrize(
    "answer",
    [
        CORRECT,
        f"```python\n{CORRECT}```",
        f"Here it is:\n\n```\n{CORRECT}```\nIt multiplies.",
        f"```py\n{CORRECT}",
        CORRECT.replace("\n", "\r\n"),
    ],
)
async def test_a_correct_answer_passes_fenced_or_not(sandbox: Sandbox, answer: str) -> None:
    assert (await judge(sandbox, answer)).correct


async def test_a_wrong_answer_fails_with_the_reason(sandbox: Sandbox) -> None:
    verdict = await judge(sandbox, "def f(x): return 42")
    assert not verdict.correct
    assert verdict.detail.startswith("AssertionError")


@pytest.mark.parametrize(
    "value",
    [
        "None", "True", "-3", "10 ** 400", "1.5", "float('inf')", "2 + 3j", "'é\\ud800\\x00'",
        "b'\\xff'", "[1, [2.0, (3,)]]", "{1, 2}", "frozenset({(1, 2)})", "{(1, 2): {'a': [None]}}",
        "range(3, 9, 2)", "__import__('decimal').Decimal('1.10')", "{1: 2}.keys()",
        "__import__('fractions').Fraction(1, 3)", "__import__('datetime').date(2026, 1, 2)",
        "__import__('datetime').timedelta(1, 2, 3)", "__import__('collections').Counter('abca')",
        "__import__('collections').deque([1, 2], maxlen=3)", "__import__('numpy').float64(0.5)",
        "__import__('numpy').int64(7)", "bytearray(b'ab')", "int",
    ],
)  # fmt: skip
async def test_data_crosses_both_ways_unchanged(sandbox: Sandbox, value: str) -> None:
    tests = f"v = {value}\nback = f(v)\nassert back == v and type(back) is type(v)"
    assert (await judge(sandbox, "def f(x):\n    return x", tests)).correct


async def test_nan_and_arrays_cross(sandbox: Sandbox) -> None:
    tests = """
        import math
        import numpy as np
        assert math.isnan(f(float("nan")))
        assert np.array_equal(f(np.arange(6).reshape(2, 3)), np.arange(6).reshape(2, 3))
    """
    assert (await judge(sandbox, "def f(x):\n    return x", tests)).correct


@pytest.mark.parametrize(
    ("body", "tests"),
    [
        ("x.sort()", "v = [3, 1, 2]\nf(v)\nassert v == [1, 2, 3]"),
        ("x[1].append(9)", "inner = [1]\nv = [0, inner]\nf(v)\nassert inner == [1, 9]"),
        ("x['k'].add(2); x.pop('z')", "v = {'k': {1}, 'z': 0}\nf(v)\nassert v == {'k': {1, 2}}"),
        ("x.clear()", "v = {1, 2}\nf(v)\nassert v == set()"),
        ("x[0][0] = 5", "v = ([1], 2)\nf(v)\nassert v == ([5], 2)"),
        ("x[0, 1] = 7", "import numpy as np\nv = np.zeros((2, 2))\nf(v)\nassert v[0, 1] == 7"),
        ("x.append(x[0])", "v = [[1]]\nf(v)\nassert v == [[1], [1]]"),
    ],
)  # fmt: skip
async def test_changing_an_argument_in_place_reaches_the_tests(
    sandbox: Sandbox, body: str, tests: str
) -> None:
    answer = f"def f(x):\n    {body}"
    assert (await judge(sandbox, answer, tests)).correct
    assert not (await judge(sandbox, "def f(x):\n    pass", tests)).correct


async def test_aliases_and_cycles_survive(sandbox: Sandbox) -> None:
    tests = """
        row = [0]
        grid = [row, row]
        f(grid)
        assert grid == [[1], [1]]
        loop = [1]
        loop.append(loop)
        assert g(loop) is True
    """
    answer = "def f(x):\n    x[0][0] += 1\ndef g(x):\n    return x[1][1] is x"
    assert (await judge(sandbox, answer, tests, answer)).correct


@pytest.mark.parametrize(
    ("answer", "tests"),
    [
        ("def f(n):\n    yield from range(n)", "assert list(f(200)) == list(range(200))"),
        ("def f(n):\n    return map(str, range(n))", "assert tuple(f(3)) == ('0', '1', '2')"),
        (
            "import itertools\ndef f(n):\n    return itertools.count(n)",
            "import itertools\nassert list(itertools.islice(f(5), 3)) == [5, 6, 7]",
        ),
        ("def f(n):\n    yield n", "g = f(1)\nassert next(g) == 1\nassert next(g, 'end') == 'end'"),
        ("def f(g):\n    return sum(g)", "assert f(x * x for x in range(4)) == 14"),
    ],
)
async def test_iterators_cross(sandbox: Sandbox, answer: str, tests: str) -> None:
    assert (await judge(sandbox, answer, tests)).correct


async def test_objects_stay_behind_and_can_be_used(sandbox: Sandbox) -> None:
    answer = """
        class Pair:
            def __init__(self, a, b):
                self.a, self.b = a, b
            def total(self, *, scale=1):
                return scale * (self.a + self.b)
            def __eq__(self, other):
                return (self.a, self.b) == (other.a, other.b)
            def __str__(self):
                return f"<{self.a} {self.b}>"
        def f(pairs):
            return max(pairs, key=Pair.total)
    """
    tests = """
        pairs = [Pair(1, 2), Pair(3, 4)]
        best = f(pairs)
        assert best.a == 3 and best.total(scale=2) == 14 and str(best) == "<3 4>"
        assert best == Pair(3, 4) and best != Pair(3, 5)
        best.a = 10
        assert pairs[1].total() == 14
    """
    assert (await judge(sandbox, answer, tests, answer)).correct


async def test_functions_of_the_tests_can_be_passed(sandbox: Sandbox) -> None:
    answer = "def f(fun, xs):\n    return [fun(x) for x in xs]"
    assert (await judge(sandbox, answer, "assert f(lambda x: x + 1, [1, 2]) == [2, 3]")).correct


async def test_expected_exceptions_are_raised_as_themselves(sandbox: Sandbox) -> None:
    tests = """
        try:
            f([])
        except ValueError as error:
            assert str(error) == "empty"
        else:
            raise AssertionError("no error")
    """
    good = "class Mine(ValueError): pass\ndef f(x):\n    raise Mine('empty')"
    assert (await judge(sandbox, good, tests)).correct
    assert not (await judge(sandbox, good.replace("ValueError", "KeyError"), tests)).correct


async def test_state_of_the_solution_lasts_between_calls(sandbox: Sandbox) -> None:
    answer = "seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)"
    assert (await judge(sandbox, answer, "assert [f(0), f(0), f(0)] == [1, 2, 3]")).correct


async def test_a_builtin_the_task_redefines_is_the_solutions(sandbox: Sandbox) -> None:
    reference = "def sum(a, b):\n    return a + b + 1"
    assert (await judge(sandbox, reference, "assert sum(1, 2) == 4", reference)).correct


async def test_tests_that_send_their_own_objects_are_refused_not_judged(sandbox: Sandbox) -> None:
    with pytest.raises(GraderFailure, match="cannot cross"):
        await judge(sandbox, CORRECT, "class C: pass\nassert f(C()) == 1")


# -- what must not be forged (docs/grading.md, "Code")

ATTACKS = {
    "exit at load": "import sys\nsys.exit(0)",
    "hard exit at load": "import os\nos._exit(0)",
    "exit in the call": "import os\ndef f(x):\n    os._exit(0)",
    "SystemExit in the call": "def f(x):\n    raise SystemExit(0)",
    "printed marker": "print('RESULT = True\\npassed\\nOK')\ndef f(x): print('passed')",
    "own result": "RESULT = True\ndef f(x):\n    global RESULT\n    RESULT = True",
    "own check": "def check(c): return True\ndef run_tests(*a): return True\ndef f(x): return 0",
    "patched builtins": """
        import builtins
        builtins.abs = builtins.all = builtins.isinstance = lambda *a: True
        builtins.AssertionError = Exception
        builtins.sorted = lambda *a, **k: []
        def f(x): return 0
    """,
    "patched harness": """
        import json, sys
        for module in list(sys.modules.values()):
            for name in ("serve", "load", "run_tests", "ask", "dumps", "encode"):
                if hasattr(module, name):
                    try: setattr(module, name, lambda *a, **k: '{"result": true}')
                    except Exception: pass
        def f(x): return True
    """,
    "always equal": """
        class Equal:
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            def __lt__(self, other): return True
            __gt__ = __le__ = __ge__ = __contains__ = __lt__
            def __bool__(self): return True
            def __hash__(self): return 0
            def __sub__(self, other): return 0
            __rsub__ = __add__ = __radd__ = __sub__
            def __abs__(self): return 0
        def f(x): return Equal()
    """,
    "always equal number": """
        class Equal(int):
            def __eq__(self, other): return True
            def __hash__(self): return 42
        def f(x): return Equal(0)
    """,
    "always equal list": """
        class Equal(list):
            def __eq__(self, other): return True
            __len__ = lambda self: 2
        def f(x): return Equal()
    """,
    "registered number": """
        import numbers
        class Equal:
            def __eq__(self, other): return True
            def __int__(self): return 1
        numbers.Integral.register(Equal)
        def f(x): return Equal()
    """,
    "frames": """
        import sys
        def f(x):
            frame = sys._getframe()
            while frame:
                for space in (frame.f_locals, frame.f_globals):
                    space.update(RESULT=True, ok=True, passed=True)
                    for value in list(space.values()):
                        if isinstance(value, list): value[:] = [True]
                frame = frame.f_back
            return None
    """,
    "forged frames on every descriptor": """
        import json, os, struct
        def f(x):
            for number in range(20):
                for answer in (
                    {"id": number, "ok": True, "value": True, "error": "", "status": "ok"},
                    {"reply": number, "result": True},
                ):
                    text = json.dumps(answer).encode()
                    for fd in range(3, 40):
                        try: os.write(fd, struct.pack(">I", len(text)) + text)
                        except OSError: pass
            return None
    """,
    "threads left behind": """
        import sys, threading, time
        def spoil():
            while True:
                for module in list(sys.modules.values()):
                    if hasattr(module, "serve"): module.serve = lambda *a: '{"result": 42}'
                time.sleep(0)
        for _ in range(4): threading.Thread(target=spoil, daemon=True).start()
        def f(x): time.sleep(0.05); return None
    """,
    "fork left behind": "import os, time\nif os.fork():\n    time.sleep(30)\ndef f(x): return 0",
    "kill the parent": "import os\nos.kill(os.getppid(), 9)\ndef f(x): return 0",
    "kill everything": "import os\ndef f(x):\n    os.kill(-1, 9)",
    "stop iteration": "def f(x):\n    raise StopIteration",
    "catch all": "def f(x):\n    raise BaseException",
}  # fmt: skip


# Their session waits for what never comes; the verdict, for the end of its time.
LATE = ("fork left behind",)


def hurry(patched: pytest.MonkeyPatch) -> None:
    """Give a verdict 0.4 s in place of ten, where the limit is waited for, and less beyond."""
    patched.setattr("codeact.graders.code.SECONDS", 0.4)
    patched.setattr("codeact.graders.code.WALL", 3.0)


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_is_wrong_and_the_next_verdict_right(sandbox: Sandbox, name: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        if name in LATE:
            hurry(patched)
        assert not (await judge(sandbox, ATTACKS[name])).correct
    assert (await judge(sandbox, CORRECT)).correct


async def test_operators_of_the_solution_decide_nothing(sandbox: Sandbox) -> None:
    tests = "assert abs(f(1) - 42.0) < 1e-6"
    assert not (await judge(sandbox, ATTACKS["always equal"], tests)).correct
    assert not (await judge(sandbox, ATTACKS["always equal"], "assert 42 in f(1)")).correct
    assert not (await judge(sandbox, ATTACKS["always equal"], "assert f(1) == f(2)")).correct


async def test_a_loop_of_the_tests_is_not_cut_short(sandbox: Sandbox) -> None:
    tests = "assert all(map(lambda x: f(x) == x * 37 + 5, [1, 2, 3]))"
    assert (await judge(sandbox, CORRECT, tests)).correct
    assert not (await judge(sandbox, "def f(x):\n    raise StopIteration", tests)).correct


async def test_code_in_an_answer_to_the_tests_is_not_run(sandbox: Sandbox) -> None:
    answer = """
        import base64, json, marshal, sys
        def f(x): return None
        code = compile("import sys; sys.exit = None", "<x>", "exec")
        text = base64.b64encode(marshal.dumps(code)).decode()
        for module in list(sys.modules.values()):
            if hasattr(module, "serve"):
                module.serve = lambda request: json.dumps({"result": ["def", text, "f", None]})
    """
    verdict = await judge(sandbox, answer)
    assert not verdict.correct
    assert "cannot be read" in verdict.detail


async def test_the_tests_can_be_found_neither_in_memory_nor_on_disk(sandbox: Sandbox) -> None:
    answer = r"""
        import gc, glob, os, re, sys
        def search():
            wanted = re.compile(rb"SECRET_[0-9]{6}")
            def look(data):
                if not isinstance(data, bytes): data = str(data).encode("utf-8", "replace")
                found = wanted.search(data)
                return found and found.group().decode()
            frame = sys._getframe()
            while frame:
                hit = look(repr(frame.f_locals)[:10**6])
                if hit: return hit
                frame = frame.f_back
            for item in gc.get_objects():
                try: hit = isinstance(item, (dict, list, tuple)) and look(repr(item)[:20000])
                except Exception: hit = None
                if hit: return hit
            paths = glob.glob("/tmp/**", recursive=True)[:2000] + glob.glob("/proc/*/cmdline")
            for path in paths + glob.glob("/proc/*/environ"):
                try: hit = look(open(path, "rb").read(10**6))
                except OSError: hit = None
                if hit: return hit
            for maps in glob.glob("/proc/*/maps"):
                try:
                    memory = open(maps.replace("maps", "mem"), "rb")
                    for line in open(maps):
                        start, end = (int(x, 16) for x in line.split()[0].split("-"))
                        if "rw" in line and end - start < 2**26:
                            memory.seek(start)
                            hit = look(memory.read(end - start))
                            if hit: return hit
                except (OSError, ValueError, OverflowError): pass
            return "nothing"
        def f(x):
            return search()
    """
    secret = "SECRET_" + str(8 * 102_931)
    verdict = await judge(sandbox, answer, f"got = f(1)\nassert got == '{secret}', got")
    assert not verdict.correct
    assert verdict.detail == "AssertionError: nothing"  # it did search to the end


OVER_ALL = """
    import builtins, json, sys
    side = next(m for n, m in list(sys.modules.items()) if n.endswith(".solution_side"))
    class Yes:
        def __new__(cls, *args, **kwargs): return yes
        def __eq__(self, other): return True
        def __call__(self, *args): return True
    yes = object.__new__(Yes)
    f = lambda *args, **kwargs: yes
    real = json.dumps
    def dumps(value):
        handle = json.loads(real(side.Encoder(side.keep).encode(KIND)))
        names = [*dir(builtins), "math", "isclose", "check", "given", "f"]
        return real({name: handle for name in names} if "result" not in value else value)
    json.dumps = dumps
"""


@pytest.mark.parametrize("kind", ["f", "yes", "Yes", "bool"])
@pytest.mark.parametrize(
    "tests",
    [
        "assert set(f(1)) == set([42])",
        "assert sorted(f(1)) == sorted([42])",
        "assert abs(f(1) - 42) < 1e-6",
        "assert round(f(1), 2) == round(42.0, 2)",
        "import math\nassert math.isclose(f(1), 42)",
        "assert math.isclose(f(1), 42)",
        "assert isclose(f(1), 42)",
        "def check(given):\n    assert given(1) == 42\ncheck(f)",
    ],
)
async def test_a_solution_gives_no_name_that_the_tests_did_not_ask_of_it(
    sandbox: Sandbox, kind: str, tests: str
) -> None:
    reference = "from cmath import *\ntry:\n    import math\nfinally:\n    pass\n" + CORRECT
    attack = textwrap.dedent(OVER_ALL).replace("KIND", kind)
    solved = "def f(x):\n    return [42]" if "f(1))" in tests else "def f(x):\n    return 42"
    assert (await judge(sandbox, solved, tests, reference)).correct
    assert not (await judge(sandbox, attack, tests, reference)).correct


async def test_only_classes_of_the_task_make_objects_that_compare_themselves(
    sandbox: Sandbox,
) -> None:
    answer = "class f:\n    def __init__(self, x): pass\n    __eq__ = lambda *_: True"
    assert not (await judge(sandbox, answer, "assert f(1) == f(2)")).correct
    assert (await judge(sandbox, answer, "assert f(1) == f(2)", answer)).correct


async def test_no_name_of_an_object_is_the_graders_own(sandbox: Sandbox) -> None:
    names = ("number", "kind", "relay", "own", "ahead", "fetched")
    answer = "class f:\n" + "".join(f"    {name} = '{name}'\n" for name in names)
    tests = "v = f()\n" + "\n".join(f"assert v.{name} == '{name}'" for name in names)
    assert (await judge(sandbox, answer, tests, answer)).correct


async def test_what_breaks_between_the_sessions_is_no_expected_exception(sandbox: Sandbox) -> None:
    tests = "try:\n    f(1)\nexcept Exception:\n    pass\nelse:\n    assert False"
    assert (await judge(sandbox, "def f(x):\n    raise ValueError", tests)).correct
    for reply in ("'nonsense'", "'[]'", "1", "'x' * 2_000_000", '\'{"result": ["assert"]}\''):
        answer = f"""
            import sys
            side = next(m for n, m in list(sys.modules.items()) if n.endswith(".solution_side"))
            side.serve = lambda request: {reply}
            def f(x): pass
        """
        assert not (await judge(sandbox, answer, tests)).correct


@pytest.mark.parametrize(
    "answer",
    [
        "while True: pass",
        "def f(x):\n  while 1:\n    try:\n      while 1: pass\n    except BaseException: pass",
        "def f(x):\n    return iter(int, 1)",
        "def f(x):\n    return [0] * 10**9",
        "def f(x):\n    v = []\n    for _ in range(10**5): v = [v]\n    return v",
        "def f(x):\n    return 'x' * 10**7",
    ],
)  # fmt: skip
async def test_what_never_ends_or_is_too_much_is_wrong_in_time(
    sandbox: Sandbox, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    async with asyncio.timeout(60):
        assert not (await judge(sandbox, answer, "assert list(f(1)) == [42]")).correct


# -- HumanEval: the prompt is the beginning of the program


def humaneval_task() -> Task:
    row = {
        "id": 0,
        "prompt": 'from typing import List\n\n\ndef helper(x):\n    return x + 1\n\n\n'
        'def f(xs: List[int]) -> int:\n    """ Undo helper and sum. """',
        "reference": "def check(candidate):\n    assert candidate([helper(1), 4]) == 4\n\ncheck(f)",
        "canonical_solution": "    return sum(x - helper(0) for x in xs)\n",
        "entry_point": "f",
    }  # fmt: skip
    return get("humaneval").task(row)


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("def f(xs: List[int]) -> int:\n    return sum(x - helper(0) for x in xs)", True),
        ("    return sum(x - helper(0) for x in xs)", True),
        ("    return sum(xs)", False),
        ("def g(xs):\n    return sum(x - helper(0) for x in xs)", False),
        ("def helper(x):\n    return x - 1\ndef f(xs):\n    return sum(xs)", False),
    ],
)
async def test_an_answer_may_lean_on_what_the_prompt_defines(
    sandbox: Sandbox, answer: str, correct: bool
) -> None:
    family = get("humaneval")
    verdict = await family.grader("strict")(humaneval_task(), answer, sandbox)
    assert verdict.correct == correct
