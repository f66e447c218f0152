"""A session shows, and leaves behind, what IPython does in a bare process.

The guest spares IPython some of its work; this is what says that nobody can tell.
"""

import asyncio
import difflib
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from codeact.episode.protocol import between_tags
from codeact.recordings.episodes import Selection, read_recordings
from codeact.sandboxes.check import SHORT_WAY, check_sandbox
from codeact.sandboxes.sandbox import guest_modules
from tests.helpers.sandboxes import settings, started

ROOT = Path(__file__).parents[2]
RECORDED = ROOT.parent / "shared" / "data" / "transcripts"
EPISODES_PER_TASK = 12
# Equations are solved for a second a cell, twice here; what they show is as quick cells show it.
SOLVING_PER_TASK = 2
TASKS = ("gsm8k", "math", "theoremqa", "humaneval", "mbpp", "hotpotqa")
# What differs from one process to the next, whoever runs the cell.
FLEETING = re.compile(r"0x[0-9a-f]{6,}|\d+\.\d+ (?:[mµn]s|seconds)\b|/[^\s,]*(?:/slots/\d+|/cells)")
UNSTEADY = re.compile(r"\b(?:time|random|getpid|urandom|id\(|datetime|input)\b")
REFERENCE = """
import contextlib, io, json, os, signal, sys
os.makedirs("cells/.ipython", exist_ok=True)
os.environ["IPYTHONDIR"] = os.path.abspath("cells/.ipython")
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
LIBRARIES
config = Config()
config.HistoryManager.enabled = False
config.InteractiveShell.colors = "nocolor"
sys.path.insert(0, "")
shell = InteractiveShell.instance(config=config)
os.chdir("cells")
for number, cells in enumerate(json.load(open("../cells.json"))):
    if os.fork() == 0:
        outputs = []
        for cell in cells:
            # Ends this process: what it has shown so far is compared. The processor's time, since
            # other tests have the processor too.
            signal.setitimer(signal.ITIMER_PROF, 2)
            signal.alarm(20)
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                shell.run_cell(cell, store_history=True)
            outputs.append(out.getvalue())
            json.dump(outputs, open(f"../{number}.json", "w"))
        os._exit(0)
    os.wait()
"""


def recorded_cells() -> list[list[str]]:
    """The cells of each episode, in order, up to the first whose output is never the same."""
    taken = dict.fromkeys(TASKS, 0)
    solving = dict.fromkeys(TASKS, 0)
    chosen = []
    selection = Selection(
        model="gpt-4-0613",
        feedback="none",
        turn_setting="max5_p2+tool+cd",
        task_names=frozenset(TASKS),
    )
    for episode in read_recordings(RECORDED, selection):
        cells = [between_tags(turn.text, "execute") for turn in episode.turns]
        cells = [cell for cell in cells if cell]
        steady = next((n for n, cell in enumerate(cells) if UNSTEADY.search(cell)), len(cells))
        name = episode.task_name
        solves = any("solve(" in cell for cell in cells[:steady])
        if not steady or taken[name] == EPISODES_PER_TASK:
            continue
        if solves and solving[name] == SOLVING_PER_TASK:
            continue
        taken[name] += 1
        solving[name] += solves
        chosen.append(cells[:steady])
    return chosen


STATE = (
    "[In[1:], sorted(Out.items(), key=str), _, __, ___, _i, _ii, _iii,"
    " sorted(k for k in globals() if k[:1] == '_'), 'x' in get_ipython().user_ns_hidden]"
)
TELLING = (
    ("1", "2.5", "'three'", "True", "_, __, ___", "Out", STATE),
    ("x = 1", "x", "x;", "x  # ; no", "';'", "# nothing", "", " 3", "x\n\n", STATE),
    ("_ = 5", "6", "_", "del _", "7", "_", STATE),
    ("1", "%precision 2", "3.14159", "3.14159 * 2", "!echo 5", "6", "_ii", STATE),
    ("1 / 0", "_", "raise SystemExit", "exit", "quit", "2", "x =", "return", "_i", STATE),
    ("import asyncio", "await asyncio.sleep(0)", "async def f(): return 8", "await f()", STATE),
    ("print(1)\nreturn", "def f():\n    return 1\nf()", "f\n1", "None", "...", "10 ** 5000", STATE),
    ("'a\\nb\\x85\\u2028'", '"""two\nlines"""', "print('no newline', end='')", "3", STATE),
    ("import builtins; builtins._ = 9", "10", "_", "del builtins._", "11", "_", STATE),
    ("import sys; sys.displayhook = print", "12", "sys.stdout = None", "14", STATE),
    ("class E(Exception):\n    def __str__(s): print('!'); return 'e'\nraise E", "15", STATE),
    ("def f(n): return f(n - 1) if n else 1 / 0\nf(3)", "import traceback", "1 +", "(", STATE),
    ("pwd = get_ipython().run_cell('1 + 1')", "2", "In [3]: 5", ">>> 6", "?int", "?len", STATE),
    ("automagic", "colors nocolor", "precision -1", "time = 4", "time -1", "2", STATE),
    ("get_ipython().ast_node_interactivity = 'all'", "1\n2", STATE),
    ("from __future__ import annotations", "def f(x: y): pass", "f.__annotations__", STATE),
    ("ip = get_ipython()\nip.events.register('post_execute', lambda: print('hook'))", "1", STATE),
    (
        "writer = get_ipython().display_formatter.formatters['text/plain']",
        "_ = writer.for_type(int, lambda value, p, cycle: p.text('int'))",
        *("1", "True", "'s'", STATE),
    ),
    ("ip = get_ipython()\nip.set_custom_exc((KeyError,), lambda *a, **k: print('mine'))", "{}[1]"),
)


def test_what_cells_leave_is_what_they_leave_in_ipython(local_sandbox: None) -> None:
    asyncio.run(compare([list(cells) for cells in TELLING]))


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings are not on this machine")
def test_recorded_cells_show_what_ipython_shows(local_sandbox: None) -> None:
    assert asyncio.run(compare(recorded_cells())) > 120


# What a release of IPython could do, of which `run_cell` itself does not mind.
MOVES = {
    "InteractiveShell.history_manager": """
from IPython.core.history import HistoryManager
del HistoryManager._i00, HistoryManager._i, HistoryManager._ii
def store_inputs(self, line_num, source, source_raw=None):
    raw = (source if source_raw is None else source_raw).rstrip("\\n")
    if not self._exit_re.match(raw.strip()):
        self.input_hist_parsed.append(source.rstrip("\\n"))
        self.input_hist_raw.append(raw)
        third, second, first, this = ["", "", "", *self.input_hist_raw][-4:]
        new = {"_i": first, "_ii": second, "_iii": third, f"_i{line_num}": this}
        self.shell.push(new, interactive=False)
HistoryManager.store_inputs = store_inputs
""",
    "InteractiveShell.run_code": """
from IPython.core.interactiveshell import InteractiveShell
class Later:
    def __init__(self, coroutine): self.coroutine = coroutine
    def __await__(self): return self.coroutine.__await__()
run_code = InteractiveShell.run_code
InteractiveShell.run_code = lambda self, *args, **kwargs: Later(run_code(self, *args, **kwargs))
""",
    "InteractiveShell.displayhook": """
from IPython.core.displayhook import DisplayHook
ends = DisplayHook.semicolon_at_end_of_expression
del DisplayHook.semicolon_at_end_of_expression
DisplayHook.quiet = lambda self: ends(self.shell.history_manager.input_hist_parsed[-1])
""",
    "InteractiveShell.run_cell": """
import sys
from IPython.core.displayhook import DisplayHook
def write_output_prompt(self):
    sys.stdout.write(f"Out <{self.shell.execution_count - 1}> ")
DisplayHook.write_output_prompt = write_output_prompt
""",
}
AFTER_A_MOVE = [list(TELLING[n]) for n in (0, 1, 2, 3, 4, 6, 7, 13)]


@pytest.mark.parametrize("moved", MOVES)
def test_where_ipython_has_changed_its_own_run_cell_takes_over(
    local_sandbox: None, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    modules = [*guest_modules(), ["moved", MOVES[moved]]]
    monkeypatch.setattr("codeact.sandboxes.local.guest_modules", lambda: modules)
    compared = asyncio.run(compare(AFTER_A_MOVE, moved=moved, libraries=()))
    assert compared > 40
    rows = asyncio.run(check_sandbox(settings("local", preload=()), only=(SHORT_WAY,)))
    assert [(row.promise, row.held) for row in rows] == [(SHORT_WAY, True)]
    assert f"run_cell runs all cells, somewhat slower, since {moved} moved" in rows[0].seen


@pytest.mark.timeout(900)
@pytest.mark.skipif(
    not os.environ.get("CODEACT_IPYTHON_VERSIONS"),
    reason="CODEACT_IPYTHON_VERSIONS=1 installs the oldest and the newest IPython: some minutes",
)
@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_the_oldest_and_the_newest_ipython(
    local_sandbox: None, tmp_path: Path, resolution: str
) -> None:
    """The cells show the same in the first and the last version that pyproject.toml admits."""
    uv, python = Path(sys.executable).with_name("uv"), tmp_path / "env" / "bin" / "python"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (ipython,) = [name for name in project["dependencies"] if name.startswith("ipython")]
    others = [f"{name}=={version(name)}" for name in ("numpy", "pandas", "scipy", "sympy")]
    install = ["pip", "install", "--resolution", resolution, "--python", python, ipython, *others]
    for words in (["venv", "--python", sys.executable, tmp_path / "env"], install):
        subprocess.run([uv, "--quiet", *words], check=True)
    ask = [python, "-c", "import IPython; print(IPython.__version__)"]
    which = subprocess.check_output(ask, text=True).strip()
    told = asyncio.run(compare([list(cells) for cells in TELLING], python=str(python)))
    recorded = recorded_cells() if RECORDED.is_dir() else []
    same = told + asyncio.run(compare(recorded, python=str(python)))
    sys.stdout.write(f"IPython {which}: {same} cells are the same\n")


async def compare(
    episodes: list[list[str]],
    *,
    moved: str = "",
    libraries: tuple[str, ...] = ("numpy", "pandas", "sympy"),
    python: str | None = None,
) -> int:
    """Run cells in sessions and in a bare process, and count those that are the same in both.

    `moved` is the change of IPython to make in both; the canary of that name has to notice.
    """
    sandbox = await started(
        "local", memory_mb=1024, cell_seconds=30.0, preload=libraries, python=python
    )
    imports = "\n".join(f"import {name}" for name in libraries)
    reference = REFERENCE.replace("LIBRARIES", imports + MOVES.get(moved, ""))
    collect = (
        "import json, os\nRESULT = [json.load(open(f'{n}.json')) if os.path.exists(f'{n}.json')"
        f" else [] for n in range({len(episodes)})]"
    )
    differing, compared = [], 0
    try:
        async with await sandbox.session() as session:
            program = (
                "import json, subprocess, sys\n"
                f"open('cells.json', 'w').write({json.dumps(episodes)!r})\n"
                f"subprocess.run([sys.executable, '-c', {reference!r}], check=True)"
            )
            assert session.moved_internal == moved
            run = await session.evaluate(program, seconds=250)
            assert run.ok, run.error
            expected: list[Any] = (await session.evaluate(collect, seconds=10)).value
        for cells, outputs in zip(episodes, expected, strict=True):
            async with await sandbox.session() as session:
                for cell, output in zip(cells, outputs, strict=False):
                    got = FLEETING.sub("…", (await session.execute(cell)).output)
                    compared += 1
                    if got != FLEETING.sub("…", output):
                        differing.append((cell, output, got))
    finally:
        await sandbox.close()
    assert not differing, "\n".join(describe(*difference) for difference in differing)
    return compared


def describe(cell: str, expected: str, got: str) -> str:
    lines = difflib.unified_diff(expected.splitlines(), got.splitlines(), "IPython", "session", n=0)
    return f"{cell}\n" + "\n".join(itertools.islice(lines, 12))
