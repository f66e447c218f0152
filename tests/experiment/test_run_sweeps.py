"""Sweeps: a cell is found again however it was asked for, and no run takes another one down."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from codeact.cli import main
from codeact.episode.record import EpisodeRecord
from codeact.exceptions import Cause, ComputeUnavailable
from codeact.experiment.config.compose import expand_sweep
from codeact.experiment.driver import Assignment
from codeact.experiment.events import Job, NullListener
from codeact.experiment.plan import make_plan
from codeact.experiment.runner import Runner
from codeact.experiment.services import ServiceStats
from codeact.experiment.sweep import sweep_runs
from codeact.recordings.run_folder import EPISODES, RunFolder, latest_records, read_records
from tests.experiment.test_run_identity import OLD
from tests.helpers.records import asked, configured, make_record

pytestmark = pytest.mark.usefixtures("local_sandbox")

GSM8K = ["task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"]
QUICK = [*GSM8K, "model=scripted", "executor.warm=1", "executor.preload=[]", "tracker=none"]


def sweep(folder: Path, *words: str) -> int:
    return main(["run", *QUICK, "limit=1", f"run_dir={folder}", "-m", *words])


def folders(sweep: Path) -> list[Path]:
    """The folders of a sweep's runs; its tables lie beside them."""
    return sorted(path for path in sweep.iterdir() if path.is_dir())


def test_a_sweep_of_one_value_that_grows_plays_nothing_again(tmp_path: Path) -> None:
    assert sweep(tmp_path, "turns=max1_p1") == 0
    (cell,) = folders(tmp_path)
    before = (cell / EPISODES).read_bytes()
    grown = ["compute.concurrency=3", "turns=max1_p1,max3_p2", "tracker=none"]
    assert sweep(tmp_path, *grown) == 0
    assert len(folders(tmp_path)) == 2
    assert (cell / EPISODES).read_bytes() == before


def names(*words: str) -> list[str]:
    jobs = [(job, configured(*job)) for job in expand_sweep(words)]
    return [cell.path.name for cell in sweep_runs(Path("/nowhere"), jobs)]


def test_a_cell_goes_by_its_sorted_overrides_that_matter() -> None:
    (cell,) = names(*GSM8K, "turns=max1_p1", "seed=3")
    assert cell == "seed=3,task=gsm8k,turns=max1_p1"
    idle = ["run_dir=x", "limit=2", "samples=3", "executor.slots=90", "compute.concurrency=2"]
    idle += ["budget.tokens=9", "tracker=none", "cache=x", "data=y", "progress_seconds=1.0"]
    assert names("seed=3", *idle, "turns=max1_p1,max3_p2", *GSM8K)[0] == cell
    # What changes nothing sets cells apart only where nothing else does.
    assert names("executor.warm=1,2") == ["executor.warm=1", "executor.warm=2"]
    assert len(names("executor.image=a/b", "executor=docker")) == 1
    assert names("executor.image=a/b", "executor=docker") == ["executor=docker,executor.image=a_b"]
    (long,) = names("model.texts=[" + ",".join(["word"] * 100) + "]")
    assert len(long) <= 200


def test_a_sweep_of_before_is_found_under_its_old_names(tmp_path: Path) -> None:
    words = [
        "run",
        *GSM8K,
        "model=recorded",
        "executor.warm=1",
        "executor.preload=[]",
        "tracker=none",
        "limit=2",
    ]
    for folder, swept in (("run", "turns=max5_p2"), ("turns=max5_p2", "turns=max5_p2,max1_p1")):
        parent = tmp_path / folder
        shutil.copytree(OLD, parent / folder)
        before = (parent / folder / EPISODES).read_bytes()
        assert main([*words, f"run_dir={parent}", "-m", swept]) == 0
        assert (parent / folder / EPISODES).read_bytes() == before
        assert len(folders(parent)) == 1 + swept.count(",")
    # A folder of that name that holds another experiment is left alone.
    assert main([*words, f"run_dir={tmp_path}/run", "-m", "turns=max1_p1"]) == 0
    assert len(folders(tmp_path / "run")) == 2


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["compute.concurrency=1,2"], "compute.concurrency=1 and 2"),
        (["compute=local,ray"], "compute.kind=local and ray"),
        (["turns=max1_p1,max1_p1"], "more than once"),
    ],
)
def test_what_cannot_be_one_sweep_is_refused_before_it_begins(
    tmp_path: Path, words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path / "sweep", *words) == 1
    assert part in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


def test_a_run_that_cannot_go_on_leaves_the_others_of_its_sweep_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["turns=max1_p1,max2_p2,max3_p2"]
    assert sweep(tmp_path, words[0]) == 0
    damaged, first, _ = folders(tmp_path)
    (damaged / EPISODES).write_bytes(b"what is this\n")
    shutil.rmtree(first)
    capsys.readouterr()
    assert sweep(tmp_path, *words) == 1
    shown = capsys.readouterr()
    assert "ended early: turns=max1_p1: " in shown.err
    assert "line 1: is no episode record" in shown.err
    assert len(latest_records(first)) == 1
    assert (first / "summary.json").exists()
    assert "turns=max2_p2" in shown.out


class Slow:
    """Plays what it is given in no time, and the first of all once the others are done."""

    facts: Mapping[str, dict[str, Any]] = {}

    def __init__(self, first: BaseException | None = None) -> None:
        self.begun = asyncio.Event()
        self._first = first

    def announce(self, run: str, assignment: Assignment) -> None:
        """Nothing has to be got ready."""

    async def probe(self, run: str, cause: Cause) -> None:
        """All that could fail works."""

    def stats(self) -> ServiceStats:
        return ServiceStats()

    async def settle(self) -> None:
        """Nothing is booked elsewhere."""

    async def play_episode(self, run: str, assignment: Assignment) -> EpisodeRecord:
        await asyncio.sleep(0.01 if run == "broken" else 0.2)
        if self._first is not None and run == "broken":
            raise self._first
        record = make_record(assignment.task.id)
        record.task_digest = assignment.task.digest
        return record


async def run_two(tmp_path: Path, backend: Slow, *, broken: bool) -> tuple[Any, list[int]]:
    """Two runs of three episodes each, all in flight at once; the first one's disk is gone."""
    owed = make_plan(configured(*GSM8K, "limit=3")).assignments
    folders = [RunFolder.open(tmp_path / name, asked()) for name in ("broken", "whole")]
    if broken:
        os.close(folders[0]._file)
        folders[0]._file = os.open(tmp_path, os.O_RDONLY)
    jobs = [Job(folder.path.name, configured(), folder, owed, "sweep") for folder in folders]
    stopped = await Runner(jobs, backend, 6, NullListener()).run()
    for folder in folders:
        folder.close()
    return stopped, [len(list(read_records(folder.path))) for folder in folders]


async def test_finished_episodes_are_written_whatever_became_of_another_run(
    tmp_path: Path,
) -> None:
    stopped, written = await run_two(tmp_path, Slow(), broken=True)
    assert written == [0, 3]
    assert list(stopped.errors) == ["broken"]
    assert stopped.left == 3


@pytest.mark.parametrize("error", [ComputeUnavailable("no worker is left"), KeyError("a fault")])
async def test_what_ends_playing_throws_nothing_away(tmp_path: Path, error: Exception) -> None:
    stopped, written = await run_two(tmp_path, Slow(error), broken=False)
    assert written == [0, 3]
    assert ("whole" in stopped.errors) == isinstance(error, ComputeUnavailable)
    assert str(error).strip("'") in str(stopped.errors["broken"])
