"""Which tasks a command takes: all data sets or those that are there, so many of each or in all."""

import json
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.exceptions import TaskFileError
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.validation import validated
from codeact.experiment.plan import even_shares, make_plan, tasks_there
from codeact.resources import resolve_path

SAMPLE = "pkg://codeact.sample/tasks"
RECORDINGS = "pkg://codeact.sample/recordings"


def run_config(*words: str) -> RunConfig:
    overrides = ("model=scripted", "tracker=none", "run_dir=x", *words)
    return validated(RunConfig, compose_config(Invocation("run", overrides)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Of MATH's subjects, two."""
    folder = tmp_path / "data"
    folder.mkdir()
    for subject, count in (("geometry", 3), ("precalculus", 1)):
        rows = [{"id": n, "question": f"{n} + 1?", "answer": str(n + 1)} for n in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{subject}.jsonl").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("sizes", "total", "shares"),
    [
        ([5, 5], None, [5, 5]),
        ([5, 5], 10, [5, 5]),
        ([5, 5], 11, [5, 5]),
        ([5, 5], 3, [2, 1]),
        ([1, 9, 3], 8, [1, 4, 3]),
        ([1, 9, 3], 2, [1, 1, 0]),
        ([0, 4, 4], 1, [0, 1, 0]),
        ([], 4, []),
    ],
)
def test_a_total_takes_one_of_each_in_turn(
    sizes: list[int], total: int | None, shares: list[int]
) -> None:
    assert even_shares(sizes, total) == shares


def test_a_limit_is_of_each_data_set_and_a_total_of_all() -> None:
    sets = "task=[gsm8k,math,mmlu]", f"data={SAMPLE}"

    def asked(*words: str) -> list[str]:
        assignments = make_plan(run_config(*sets, *words)).assignments
        return [one.task.name for one in assignments]

    assert asked("limit=2") == ["gsm8k", "gsm8k", "math", "math", "mmlu", "mmlu"]
    assert asked("total_limit=4") == ["gsm8k", "gsm8k", "math", "mmlu"]
    assert asked("limit=1", "total_limit=2") == ["gsm8k", "math"]
    assert asked("total_limit=2", "samples=2") == ["gsm8k", "gsm8k", "math", "math"]


def test_neither_of_them_changes_what_the_run_is() -> None:
    plain, narrowed = run_config(), run_config("missing=skip", "total_limit=3")
    assert narrowed.digest == plain.digest


def test_missing_data_sets_are_refused_with_how_to_do_without(data: Path) -> None:
    with pytest.raises(TaskFileError) as refused:
        make_plan(run_config("task=math_train", f"data={data}"))
    assert "algebra.jsonl is not there" in str(refused.value)
    assert f"codeact prepare task=math out={data}" in str(refused.value)
    assert "missing=skip" in str(refused.value)


def test_a_run_goes_on_with_what_is_there_and_takes_in_what_comes_later(
    local_sandbox: None, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "model=scripted", "tracker=none", "task=math_train", f"data={data}"]
    words += ["missing=skip", "executor.warm=1", "executor.preload=[]", f"run_dir={tmp_path / 'r'}"]
    assert main(words) == 0
    said = capsys.readouterr()
    skipped = [line for line in said.err.splitlines() if line.startswith("skipped the data set")]
    assert len(skipped) == 5
    assert skipped[0] == f"skipped the data set algebra: {data}/algebra.jsonl is not there"
    rows = [line.split()[1] for line in said.out.splitlines() if line.startswith("│")]
    assert rows == ["geometry", "precalculus", "all"]
    (data / "algebra.jsonl").write_bytes((data / "precalculus.jsonl").read_bytes())
    assert main(words) == 0
    assert "4 of 5 episodes are there already" in capsys.readouterr().err
    ids = [json.loads(one)["id"] for one in (tmp_path / "r/episodes.jsonl").open()]
    assert sorted(one.partition("/")[0] for one in ids) == [
        "algebra",
        *["geometry"] * 3,
        "precalculus",
    ]


def test_nothing_that_is_there_is_refused(tmp_path: Path) -> None:
    config = run_config("task=math_train", f"data={tmp_path}")
    with pytest.raises(TaskFileError, match=r"leaves no data set: none of .*precalculus.jsonl"):
        tasks_there(config.task, "skip")


def test_tiers_are_sorted_with_the_task_files_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tiers"
    source = [str(resolve_path(RECORDINGS)), f"out={out}", "workers=1"]
    words = ["tiers", *source, "task=[gsm8k,apps]", f"data={SAMPLE}"]
    assert main(words) == 1
    assert "apps.jsonl is not there" in capsys.readouterr().err
    assert main([*words, "missing=skip"]) == 0
    assert "skipped the data set apps" in capsys.readouterr().err
    assert [path.name for path in (out / "hard").iterdir()] == ["gsm8k.jsonl"]
