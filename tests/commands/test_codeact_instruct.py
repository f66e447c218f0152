"""docs/codeact_instruct.md: each step of the published document has a command that does it."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from codeact.collection.recipe import AssumedSettings, estimate
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.validation import validated
from codeact.recordings.published_paths import our_name
from tests.helpers.commands import codeact
from tests.helpers.documents import ROOT
from tests.helpers.fake_api import FakeApi, Seen
from tests.helpers.file_server import file_server
from tests.helpers.raw_samples import SUBJECTS, raw_files
from tests.helpers.serving import threaded

STEPS = [
    "set up", "download raw data", "process the data sets", "configure", "collect", "convert",
    "give what nobody solved to a stronger model", "process for training", "count",
]  # fmt: skip
SETS = ["apps", *SUBJECTS, "hotpotqa", "strategyqa", "wiki_table_questions"]
"""Without ALFWorld, whose games are an extra."""


class Row(NamedTuple):
    """A row of the table: the commands in its third column."""

    step: str
    published: str
    commands: list[str]
    time: str
    cost: str


def rows() -> list[Row]:
    text = (ROOT / "docs" / "codeact_instruct.md").read_text("utf-8")
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)[2:]
    cells = [line.split(" | ") for line in lines]
    return [Row(a, b, re.findall(r"`([^`]+)`", c), d, e) for a, b, c, d, e in cells]


def test_every_step_of_the_published_document_has_a_row() -> None:
    assert [row.step for row in rows()] == STEPS
    for row in rows():
        assert row.commands, row.step
        assert all((row.published, row.time, row.cost)), row.step


def test_the_costs_are_those_of_the_recipe_and_the_published_sizes() -> None:
    recipe = compose_config(Invocation("collect", ("recipe=codeact_instruct", "out=x"))).config[
        "recipe"
    ]
    assumed = AssumedSettings(**recipe["assumed"])

    def cost(words: list[str]) -> tuple[int, float]:
        invocation = Invocation("run", (*recipe["common"], *words))
        config = validated(RunConfig, compose_config(invocation))
        tasks = sum(one.published or 0 for one in config.task.sets.values())
        found = estimate("x", config, tasks, assumed)
        assert found.usd is not None
        return tasks, found.usd

    weak = [cost(words) for words in recipe["weak"].values()]
    told = {row.step: f"{row.time} {row.cost}" for row in rows()}
    assert f"{sum(tasks for tasks, _ in weak):,} episodes" in told["collect"]
    assert f"{sum(usd for _, usd in weak):,.0f} USD" in told["collect"]
    assert f"{cost(recipe['strong'])[1]:,.0f} USD" in told[STEPS[6]]


# -- the rows, run one after the other


def answer(prompt: str) -> tuple[str, int]:
    """The right answer to a task of raw_samples, and its place among those of its set."""
    number = int(re.findall(r"\d+", prompt)[-1])
    if "print its double" in prompt:
        return "print(2 * int(input()))", int(re.findall(r"\((\d+)\)", prompt)[0]) - 10
    if "Ur founded" in prompt:
        return "3800", int(re.findall(r"\((\d+)\)", prompt)[0])
    if "odd" in prompt:
        return ("yes" if number % 2 else "no"), number
    if "city is number" in prompt:
        return "Ur", number - 1
    number = int(re.findall(r"what is (\d+) \+ 1", prompt)[0])
    return str(number + 1), number - 1


def play(seen: Seen, _number: int) -> str:
    """The weaker model solves APPS, and the first task of each set; the strong one most others."""
    messages = seen.body["messages"]
    prompt = messages[0]["content"].rpartition("Task:\n")[2]
    turn = sum(message["role"] == "assistant" for message in messages)
    right, place = answer(prompt)
    is_apps, is_strong = "print its double" in prompt, seen.body["model"] == "gpt-4-0613"
    solves = "city is number" not in prompt if is_strong else is_apps or place == 0
    if turn < (2 if is_strong or is_apps else 1):
        return f"<thought> Look. </thought>\n<execute>\nprint({turn})\n</execute>"
    return f"<solution> {right if solves else 'I do not know'} </solution>"


@pytest.fixture(scope="module")
def folder(local_sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where every command of the table has run, in its order."""
    folder = tmp_path_factory.mktemp("anew")
    with (
        pytest.MonkeyPatch.context() as patch,
        file_server(raw_files(2)) as files,
        threaded(FakeApi(play)) as api,
    ):
        patch.chdir(folder)
        common = [
            *("task=codeact_instruct", "~task.sets.alfworld", "turns=max5_p2", "feedback=none"),
            *("grading=mint", "tracker=none", "executor.preload=[]"),
            *(f"model.base_url={api.base_url}", "model.api_key_env=null", "model.probe=false"),
        ]
        collect = [f"recipe.common={json.dumps(common)}"]
        # One of the four weaker models is enough.
        others = [
            f"~recipe.weak.{name}" for name in ("claude_2", "claude_instant_1", "gpt_3_5_16k")
        ]
        changes = {
            "codeact prepare": ["missing=skip"],
            "codeact collect": collect,
            "codeact tiers": ["~task.sets.alfworld"],
        }
        for row in rows():
            for command in row.commands:
                name, *words = shlex.split(command)
                if name == "make":
                    done = subprocess.run(
                        [name, "--dry-run", *words],
                        cwd=ROOT,
                        capture_output=True,
                        text=True,
                        check=False,
                    )
                else:
                    words += changes.get(f"{name} {words[0]}", [])
                    if "download=true" in words:
                        words += [f"url={files.address}", "verify=false"]
                    if words[0] == "collect":
                        words += [word for word in others if word not in words]
                    done = codeact(*words)
                assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        yield folder / "runs"


def report(folder: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((folder / "report.json").read_bytes())[
        "stages"
    ]
    return found


@pytest.mark.slow  # whichever comes first runs all commands
@pytest.mark.timeout(600)
def test_the_collection_has_every_set_at_every_stage(folder: Path) -> None:
    stages = report(folder / "collected")
    left = len(SETS) - 1  # APPS is solved, and of each other set the second task is not.
    weak, strong = stages["weak-gpt_3_5"], stages["strong"]
    assert (weak["episodes"], weak["successes"]) == (2 * len(SETS), len(SETS) + 1)
    assert stages["tiers"]["unsolved"] == left
    assert (strong["episodes"], strong["successes"]) == (left, left - 1)
    hard = {path.stem for path in (folder / "tiers" / "hard").iterdir()}
    assert hard == {path.stem for path in (folder / "collected/tiers/hard").iterdir()}
    assert hard == set(SETS) - {"apps"}
    expected = {"easy": hard, "medium": {"apps"}, "strong": hard - {"hotpotqa"}}
    for tier, sets in expected.items():
        lines = (folder / "selected" / f"{tier}.jsonl").read_text().splitlines()
        named = {our_name(json.loads(line)["id"].split("/")[1]) for line in lines}
        assert named == sets - {"strategyqa"}, tier


@pytest.mark.slow  # whichever comes first runs all commands
@pytest.mark.timeout(600)
def test_the_strong_model_plays_what_recorded_trajectories_left(folder: Path) -> None:
    stages = report(folder / "strong")
    assert stages["weak-played"] == {"source": "runs/collected/runs", "files": 2}
    assert not [name for name in stages if name.startswith("weak-") and name != "weak-played"]
    assert stages["strong"]["episodes"] == report(folder / "collected")["strong"]["episodes"]


@pytest.mark.slow  # whichever comes first runs all commands
@pytest.mark.timeout(600)
def test_conversations_are_written_for_training_and_counted(folder: Path) -> None:
    kept = sum(path.read_text().count("\n") for path in (folder / "selected").glob("*.jsonl"))
    chats = [line for path in (folder / "chat").glob("*.jsonl") for line in path.open()]
    assert kept == len(chats) > 0
    assert {message["role"] for line in chats for message in json.loads(line)["messages"]} == {
        "system", "user", "assistant",
    }  # fmt: skip
    (statistics,) = (folder / "statistics").glob("*.json")
    counted = json.loads(statistics.read_bytes())["rows"]
    assert sum(row["examples"] for row in counted if row["task"] == "all") == kept
