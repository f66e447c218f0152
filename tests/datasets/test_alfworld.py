"""ALFWorld's task files: the recorded tasks come out of the archive, without the games' engine."""

import base64
import importlib.util
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest

from codeact.cli import main
from codeact.datasets import get, load_tasks
from codeact.datasets.alfworld.pddl import first_words
from codeact.exceptions import TaskFileError
from codeact.recordings.episodes import read_recordings
from tests.helpers.alfworld import RECORDED, needs_archive, prepared, unpacked

GPT_4 = RECORDED / "gpt-4-0613/F=None/max5_p2+tool+cd/decision_making/alfworld/results.jsonl.gz"
ROOM = {
    "grammar": 'grammar :: """{"intro": [], "task": [{"rhs": "Your task is to: \\"x\\"."}]}""";',
    "pddl_problem": """(:objects Pen_bar_1 - object) (:init
        (receptacleAtLocation Sink_bar_1_bar_SinkBasin loc_bar_1)
        (receptacleAtLocation Bed_bar_2 loc_bar_2) (receptacleAtLocation Bed_bar_1 loc_bar_3)
        (inReceptacle Pen_bar_1 Bed_bar_1)) (:goal (inReceptacle Pen_bar_1 Sofa_bar_1))""",
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(tmp_path_factory.mktemp("raw"))


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "alfworld.jsonl").read_text().splitlines()]


@needs_archive
def test_the_recorded_tasks_come_out_of_the_archive(raw: Path, tmp_path: Path) -> None:
    card = prepared(raw, tmp_path)
    made = {row["id"]: row for row in rows(tmp_path)}
    recorded = list(read_recordings(GPT_4))
    assert set(made) == {one.task_id for one in recorded}
    assert len(made) == 134
    for one in recorded:
        row = made[one.task_id]
        assert row["prompt"] == one.prompt
        assert row["reference"] == one.reference
        assert f"alfworld/{row['task_type']}" == one.family
    assert {step.name: (step.of, step.kept) for step in card.steps}["solvable"] == (192, 134)
    assert card.notes == ["there is no split train; valid_unseen, the only one, is taken"]
    assert len(load_tasks(get("alfworld"), tmp_path / "alfworld.jsonl")) == 134


@needs_archive
def test_the_training_split_is_the_published_choice(raw: Path, tmp_path: Path) -> None:
    """Of several splits; a folder that has the split `train` is not asked for another."""
    there = raw / "json_2.1.1" / "valid_unseen"
    for split, count in (("train", 3), ("valid_unseen", 2)):
        for game in sorted(there.glob("*/*/gt_traj.txt"))[:count]:
            target = tmp_path / "raw" / "json_2.1.1" / split / game.relative_to(there).parent
            target.mkdir(parents=True)
            shutil.copy(game.with_name("game.tw-pddl"), target)
    prepared(tmp_path / "raw", tmp_path / "train")
    assert [row["reference"] for row in rows(tmp_path / "train")] == [""] * 3
    prepared(tmp_path / "raw" / "json_2.1.1", tmp_path / "unseen", levels=("valid_unseen",))
    assert len(rows(tmp_path / "unseen")) == 2
    prepared(tmp_path / "raw", tmp_path / "one", sample=1)
    assert len(rows(tmp_path / "one")) == 1
    with pytest.raises(TaskFileError, match="valid_seen"):
        prepared(tmp_path / "raw", tmp_path / "none", levels=("valid_seen",))


@needs_archive
def test_what_cannot_be_used_is_left_out_and_told(raw: Path, tmp_path: Path) -> None:
    here = tmp_path / "raw" / "json_2.1.1" / "train"
    (game, *_) = sorted(raw.glob("json_2.1.1/*/*/*/gt_traj.txt"))
    content = json.loads(game.with_name("game.tw-pddl").read_text())
    texts = {
        "pick_and_place_simple-Pen-None-Bed-1/whole": json.dumps(content),
        "pick_and_place_simple-Pen-None-Bed-1/unsolvable": json.dumps(
            {**content, "solvable": False}
        ),
        "pick_and_place_simple-AppleSliced-None-Bed-1/sliced": json.dumps(content),
        "pick_and_place_with_movable_recep-Pen-None-Bed-1/other": json.dumps(content),
        "pick_and_place_simple-Pen-None-Bed-1/broken": "{",
        "pick_and_place_simple-Pen-None-Bed-1/empty": json.dumps({"solvable": True}),
        "pick_and_place_simple-Pen-None-Bed-1/bare": json.dumps({**content, "pddl_problem": ""}),
    }
    for name, text in texts.items():
        (here / name).mkdir(parents=True)
        (here / name / "game.tw-pddl").write_text(text)
    card = prepared(tmp_path / "raw", tmp_path / "out")
    assert [row["id"] for row in rows(tmp_path / "out")] == [next(iter(texts))]
    assert sorted(Path(f.where).parent.name for f in card.findings) == ["bare", "broken", "empty"]
    assert {step.name: (step.of, step.kept) for step in card.steps} == {
        "of the six kinds, with whole objects": (7, 5),
        "solvable": (5, 3),
        "accepted by the task family, ids once": (1, 1),
    }


def test_the_first_words_of_a_game_are_read_from_its_file() -> None:
    assert first_words(ROOM) == (
        "You are in the middle of a room. Looking quickly around you, you see a bed 2, a bed 1, "
        'and a sinkbasin 1.\nYour task is to: "x".'
    )
    for name in ROOM:
        with pytest.raises(ValueError, match=r"names no task|has no receptacles"):
            first_words({**ROOM, name: ""})


@needs_archive
def test_a_task_holds_its_whole_game(raw: Path, tmp_path: Path) -> None:
    prepared(raw, tmp_path, sample=1)
    (row,) = rows(tmp_path)
    game = json.loads(zlib.decompress(base64.b64decode(row["game"])))
    file = json.loads(next(raw.glob(f"json_2.1.1/*/{row['id']}/game.tw-pddl")).read_text())
    assert all(game[name] == file[name] for name in game)
    assert len(game) == 3


def write_task(folder: Path) -> None:
    row = {"id": "a/b", "prompt": "p", "reference": "", "task_type": "put", "game": "g"}
    (folder / "alfworld.jsonl").write_text(json.dumps(row) + "\n")


def test_without_the_engine_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    write_task(tmp_path)
    for command in (["run", "model=scripted", f"run_dir={tmp_path}/run"], ["validate"]):
        assert main([*command, "task=alfworld", f"data={tmp_path}"]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "pip install 'codeact[alfworld]'" in line
    assert not (tmp_path / "run").exists()


def test_a_run_without_code_has_nothing_to_do_in_a_household(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: name if name == "textworld" else there(name)
    )
    write_task(tmp_path)
    words = ["run", "model=scripted", "task=alfworld", f"data={tmp_path}", "turns.use_tools=false"]
    assert main([*words, f"run_dir={tmp_path}/run"]) == 1
    assert "turns.use_tools=false leaves nothing to do in alfworld/a/b" in capsys.readouterr().err
