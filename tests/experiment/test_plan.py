"""What a plan says of its task files: a set that is not of the published size is pointed out."""

import json
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.validation import validated
from codeact.experiment.plan import make_plan

TOLD = "strategyqa: {} has 2 tasks; the published collection had 2,290"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two of the twelve sets."""
    for name, count in (("strategyqa", 2), ("hotpotqa", 3)):
        rows = ({"id": n, "prompt": f"Is {n} odd?", "reference": "yes"} for n in range(count))
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path


def words(data: Path, *more: str) -> list[str]:
    sets = compose_config(Invocation("run", ("task=codeact_instruct",))).config["task"]["sets"]
    others = [f"~task.sets.{name}" for name in sets if name not in ("strategyqa", "hotpotqa")]
    return [
        "task=codeact_instruct",
        f"data={data}",
        "task.sets.hotpotqa.published=3",
        *others,
        *more,
    ]


def test_a_set_of_another_size_is_told_and_played(data: Path) -> None:
    overrides = tuple(words(data, "limit=1"))
    plan = make_plan(validated(RunConfig, compose_config(Invocation("run", overrides))))
    assert plan.notices == (TOLD.format(data / "strategyqa.jsonl"),)
    assert len(plan.assignments) == 2


@pytest.mark.parametrize(
    "more",
    [("run", "dry_run=true"), ("run", "model=scripted", "tracker=none", "limit=1"), ("validate",)],
)
def test_commands_print_it_once(
    local_sandbox: None, data: Path, more: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    command, *rest = more
    where = [f"run_dir={data}/run"] if command == "run" else []
    assert main([command, *words(data, *rest, *where)]) == 0
    told = [line for line in capfd.readouterr().err.splitlines() if "published" in line]
    assert told == [TOLD.format(data / "strategyqa.jsonl")]


def test_a_collection_prints_it_once_for_all_its_models(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (data / "task").mkdir()
    one = f"{{path: {data}/strategyqa.jsonl, family: strategyqa, published: 2290}}"
    (data / "task" / "mine.yaml").write_text(f"# Mine.\nsets: {{strategyqa: {one}}}\n")
    overrides = ["--config-dir", str(data), "recipe.common=['task=mine']", f"out={data}/out"]
    assert main(["collect", *overrides, "dry_run=true"]) == 0
    told = [line for line in capfd.readouterr().err.splitlines() if "published" in line]
    assert told == [TOLD.format(data / "strategyqa.jsonl")]
