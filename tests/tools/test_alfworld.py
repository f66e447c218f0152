"""ALFWorld's real games: recorded episodes, walkthroughs, whole runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codeact.cli import main
from codeact.datasets import get, load_tasks
from codeact.tools.alfworld.processes import ENGINE
from tests.helpers.alfworld import (
    RECORDED,
    needs_archive,
    needs_engine,
    prepared,
    recorded_run,
    solved_by_games,
    unpacked,
)

pytestmark = [needs_archive, needs_engine, pytest.mark.usefixtures("local_sandbox")]

ALL = os.environ.get("CODEACT_SLOW_TESTS") == "1"
AT_ONCE = "compute.concurrency=4"

PLAIN = """\
import json, sys
import textworld
from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
from textworld.envs.pddl import PddlEnv
env = AlfredDemangler(PddlEnv(textworld.EnvInfos(won=True)))
asked = json.load(sys.stdin)
env.load(asked["game"])
said = [env.reset().feedback]
for command in asked["commands"]:
    state, _, _ = env.step(command)
    said.append([state.feedback, state.won])
json.dump(said, sys.stdout)
"""
OURS = """\
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("engine", sys.argv[1])
engine = importlib.util.module_from_spec(spec)
spec.loader.exec_module(engine)
asked = json.load(sys.stdin)
household = engine.Household()
said = [household.load(asked["packed"])]
said += [household.command(command) for command in asked["commands"]]
json.dump(said, sys.stdout)
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def data(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepared(raw, folder)
    return folder


@pytest.mark.parametrize(
    ("model", "pattern"),
    [
        ("gpt-4-0613", "F=None/max5*/alfworld/*"),
        ("gpt-3.5-turbo-0613", "F=gpt-4-0613/PHF=no_GT-textual/max5*/alfworld/*"),
    ],
)
def test_recorded_games_are_played_again_to_the_letter(
    model: str, pattern: str, data: Path, tmp_path: Path
) -> None:
    """Observations, counts and verdicts; one in the first of these ends in the 50th command."""
    out = tmp_path / "out.jsonl"
    words = [AT_ONCE, f"out={out}", *([] if ALL else ["limit=3"])]
    source = str(RECORDED / model)
    assert (
        main(["replay", source, f"filter={pattern}", "task=alfworld", f"data={data}", *words]) == 0
    )
    assert out.read_text() == ""


def test_walkthroughs_solve_their_games_and_others_are_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (data / "alfworld.jsonl").read_text().splitlines()]
    broken = {**rows[0], "id": "broken", "reference": '<execute>\ngoto("x 1")\n</execute>'}
    chosen = [broken, {**rows[0], "id": "without", "reference": ""}, *rows[: None if ALL else 3]]
    text = "".join(json.dumps(row) + "\n" for row in chosen)
    (tmp_path / "alfworld.jsonl").write_text(text)
    assert main(["validate", "task=alfworld", f"data={tmp_path}"]) == 1
    told = capsys.readouterr()
    assert "1 references fail" in told.err
    assert "broken" in told.out
    assert "Nothing happens." in told.out


def test_the_quicker_engine_says_what_the_plain_one_says(raw: Path, data: Path) -> None:
    task = load_tasks(get("alfworld"), data / "alfworld.jsonl")[0]
    file = next(raw.glob(f"json_2.1.1/*/{task.id}/game.tw-pddl"))
    places = re.findall(r"\ba (\w+ \d+)", task.prompt)[-4:]
    steps = ["look", "inventory", "go to nowhere", "open it"]
    steps += [f"{verb} {place}" for place in places for verb in ("go to", "open", "examine")]
    steps += ["look", "inventory"]
    asked = {"game": str(file), "packed": task.metadata["game"], "commands": steps}

    def said(program: str) -> list[Any]:
        done = subprocess.run(
            [sys.executable, "-I", "-c", program, str(ENGINE)],
            input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    (first, *plain), (ours, *quick) = said(PLAIN), said(OURS)
    assert str(first).partition("\n\n")[2].replace("\n\n", "\n") == ours
    bare = [[re.sub(r"^You arrive at loc \d+\. ", "", text), won] for text, won in plain]
    assert bare == quick
    assert len({text for text, _ in bare}) > 4
    assert task.prompt.endswith(str(ours))


def solved(data: Path, folder: Path, *words: str) -> list[bool]:
    """Play two recorded games as a run; whether each was solved, without a proposal."""
    assert main(["run", *recorded_run(data), f"run_dir={folder}", *words]) == 0
    return solved_by_games(folder)


def test_a_run_ends_its_episodes_by_their_games(data: Path, tmp_path: Path) -> None:
    assert any(solved(data, tmp_path / "run", AT_ONCE))


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_games_are_played_from_a_container(data: Path, tmp_path: Path) -> None:
    assert any(solved(data, tmp_path / "run", "executor=docker", "executor.image=host"))
