"""``task=[a,b]``: several options of the group `task` in one run."""

import json
from pathlib import Path

import pytest

from codeact.commands.arguments import configurations, parse
from codeact.exceptions import ConfigError
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig, ValidateConfig
from codeact.experiment.config.validation import validated
from tests.helpers.commands import codeact

SAMPLE = "data=pkg://codeact.sample/tasks"


@pytest.mark.parametrize(("command", "schema"), [("run", RunConfig), ("validate", ValidateConfig)])
def test_a_list_composes_the_sets_of_all_its_options(
    command: str, schema: type[ValidateConfig]
) -> None:
    composed = compose_config(Invocation(command, ("task=[gsm8k,math]", "task.sets.math.limit=3")))
    config = validated(schema, composed)
    assert {name: one.limit for name, one in config.task.sets.items()} == {"gsm8k": None, "math": 3}
    assert composed.groups["task"] == "[gsm8k,math]"
    assert composed.origin("task.sets.gsm8k.path").endswith("math.yaml")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("task=[gsm8k,mat]", "no option 'mat' .did you mean 'math'"),
        ("task=[sample,gsm8k]", "data set 'gsm8k' is in both sample and gsm8k"),
        ("task=[gsm8k,gsm8k]", "names 'gsm8k' twice"),
        ("task=[]", "names no option"),
        ("task=[[gsm8k]]", "no option"),
        ("model=[recorded,scripted]", "model takes one option; -m model=A,B"),
        ("model@feedback.model=[none,openai]", "model@feedback.model takes one option"),
    ],
)
def test_a_list_that_cannot_be_one_is_refused(word: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        compose_config(Invocation("run", (word,)))


def test_an_option_of_the_users_own_folder_is_one_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "own.yaml").write_text("sets:\n  own: {path: x, family: gsm8k}\n")
    invocation = Invocation("run", ("task=[math,own]",), config_dir=str(tmp_path))
    assert set(compose_config(invocation).config["task"]["sets"]) == {"math", "own"}


def test_lists_are_values_of_a_sweep() -> None:
    arguments = parse("run", ["-m", "task=[gsm8k,math],[mmlu]"], sweeps=True)
    jobs = configurations("run", arguments, RunConfig)
    assert [set(config.task.sets) for _, config in jobs] == [{"gsm8k", "math"}, {"mmlu"}]


def test_one_run_plays_the_tasks_of_all(tmp_path: Path) -> None:
    run = codeact(
        *("run", "task=[gsm8k,math]", SAMPLE, "limit=1", "tracker=none"),
        *("executor.preload=[]", "executor.warm=1", f"run_dir={tmp_path}"),
    )
    assert run.returncode == 0, run.stderr
    lines = (tmp_path / "episodes.jsonl").read_text().splitlines()
    assert {json.loads(line)["task_name"] for line in lines} == {"gsm8k", "math"}
