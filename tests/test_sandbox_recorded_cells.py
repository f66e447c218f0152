"""Hundreds of cells that a real model wrote: a session shows what IPython shows in a bare process.

The guest spares IPython some of its work; this is what says that nobody can tell.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from codeact.edge.models.recordings import Selection, read_recordings
from codeact.episode.protocol import between_tags
from tests.sandbox_helpers import started

RECORDED = Path(__file__).parents[2] / "shared" / "data" / "transcripts"
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
            signal.alarm(1)  # Ends this process: what it has shown so far is compared.
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


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings are not on this machine")
async def test_recorded_cells_show_what_ipython_shows() -> None:
    episodes = recorded_cells()
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
            run = await session.evaluate(program, seconds=100)
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
    assert differing == []
    assert compared > 120, compared
