"""A session shows, and leaves behind, what IPython does in a bare process.

The guest spares IPython some of its work; this is what says that nobody can tell.
"""

import asyncio
import difflib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from codeact.episode.protocol import between_tags
from codeact.recordings.episodes import Selection, read_recordings
from tests.helpers.sandboxes import started

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "transcripts"
EPISODES_PER_TASK = 12
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
import numpy, pandas, sympy
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
        if steady and taken.setdefault(episode.task_name, 0) < EPISODES_PER_TASK:
            taken[episode.task_name] += 1
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


async def compare(episodes: list[list[str]]) -> int:
    """Run cells in sessions and in a bare process, and count those that are the same in both."""
    sandbox = await started("local", memory_mb=1024, cell_seconds=30.0, preload=("sympy", "pandas"))
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
                f"subprocess.run([sys.executable, '-c', {REFERENCE!r}], check=True)"
            )
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
