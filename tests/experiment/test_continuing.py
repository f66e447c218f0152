"""Recorded episodes go on: their prefix is restored in a live sandbox, and what differs is said."""

import csv
import json
import shutil
from pathlib import Path

import msgspec
import pytest
import yaml

from codeact.cli import main
from codeact.episode.effects import Execution, Usage, Verdict
from codeact.episode.messages import Answer
from codeact.episode.record import EpisodeOrigin, EpisodeRecord
from codeact.exceptions import EpisodeFailure, GraderFailure, SandboxFailure, ToolFailure
from codeact.experiment.comparing import DIFFERENT, EQUAL, RANDOM
from codeact.experiment.compute.worker import AssignmentMessage
from codeact.experiment.plan import make_plan
from codeact.experiment.restoring import CLOCK, Prefix, Restoration, kind_of_difference
from codeact.recordings.run_folder import EPISODES, latest_records
from codeact.recordings.transcript import EnvironmentMessage, RecordedTurn
from tests.helpers.records import configured

pytestmark = pytest.mark.usefixtures("local_sandbox")

TASKS = "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"
QUICK = ["model=scripted", "task=gsm8k", TASKS, "tracker=none", "executor.preload=[]"]
FLEETING = "<execute>import time; n = 7; print(object(), time.time())</execute>"
COUNTED = "<execute>print(n * 6)</execute>"
WRONG = "<solution>nobody knows</solution>"
SOURCE_TEXTS = [FLEETING, COUNTED, WRONG, COUNTED, "nothing"]
LATER = ["x", "x", "<execute>print(n + 1)</execute>", "<solution>28</solution>"]


def texts(*words: str) -> str:
    return f"model.texts={json.dumps(list(words))}"


def play(*words: str) -> int:
    return main([words[0], *QUICK, *words[1:]])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, local_sandbox: None) -> Path:
    """A run of two tasks, two samples each: cells that keep state, and one wrong answer."""
    folder = tmp_path_factory.mktemp("source") / "run"
    words = ["limit=2", "samples=2", texts(*SOURCE_TEXTS), f"run_dir={folder}"]
    assert play("run", *words) == 0
    return folder


def by_sample(folder: Path) -> dict[tuple[str, int], EpisodeRecord]:
    return {(one.task_id, one.sample): one for one in latest_records(folder)}


def test_the_prefix_is_restored_to_the_letter_and_the_policy_goes_on(
    source: Path, tmp_path: Path
) -> None:
    words = ["limit=2", texts(*LATER), f"continue={source}", "turn=2", f"run_dir={tmp_path}"]
    assert play("run", *words) == 0
    recorded, found = by_sample(source), by_sample(tmp_path)
    assert found.keys() == recorded.keys()
    for key, one in found.items():
        was = recorded[key]
        assert one.messages[:5] == was.messages[:5]
        assert one.turns[2].observation == "8", "the third cell did not find the state of the first"
        assert [turn.restored for turn in one.turns[:3]] == [True, True, False]
        assert one.origin is not None
        assert (one.origin.episode, one.origin.turns) == (was.id, 2)
        assert one.counts.steps == len(one.turns) > 3


def test_the_recorded_policy_gives_the_recorded_episode_again(source: Path, tmp_path: Path) -> None:
    words = ["model=recorded", f"model.source={source}", "limit=1", f"continue={source}", "turn=1"]
    assert play("run", *words, f"run_dir={tmp_path}") == 0
    recorded = by_sample(source)
    for key, one in by_sample(tmp_path).items():
        assert one.messages == recorded[key].messages
        assert one.outcome == recorded[key].outcome
        assert one.turns[0].usage == Usage()


def test_all_that_is_recorded_goes_on_where_more_turns_are_allowed(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["limit=1", texts(WRONG), f"continue={source}"]
    assert play("run", *words, f"run_dir={tmp_path / 'none'}") == 1
    why = "not continued: 2 × ends with turn 5 under max5_p2+tool+cd (max_steps); allow more turns"
    assert why in capsys.readouterr().err
    more = ["turns=max10_p2", f"run_dir={tmp_path / 'more'}"]
    assert play("run", *words, *more) == 0
    for one in by_sample(tmp_path / "more").values():
        assert [turn.restored for turn in one.turns] == [*[True] * 5, False]
        assert one.outcome.terminate_reason == "max_propose_steps"
        assert "You have 9 steps left" in one.messages[2]["content"]


def test_what_is_not_continued_is_listed_and_nothing_at_all_is_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["limit=1", f"continue={source}", f"run_dir={tmp_path / 'run'}"]
    assert play("run", *words, "turn=9") == 1
    said = capsys.readouterr().err
    assert "not continued: 2 × has fewer than 9 turns (episodes.jsonl:" in said
    assert "not continued: 2 × recorded episode of another task" in said
    assert play("run", *words, "turn=1", "limit=3", "dry_run=true") == 0
    said = capsys.readouterr().out
    assert "not continued: 1 × task without a recorded episode (gsm8k/2)" in said
    assert "episodes: 4" in said
    assert not (tmp_path / "run").exists()


def test_a_prefix_that_comes_out_otherwise_ends_the_episode_and_costs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = "<execute>import random; print(random.random())</execute>"
    run, fork = tmp_path / "run", tmp_path / "fork"
    assert play("run", "limit=1", texts(drawn, WRONG), f"run_dir={run}") == 0
    words = [texts("unread", WRONG), f"continue={run}", "turn=1", "limit=1", f"run_dir={fork}"]
    assert play("run", *words, "samples=3", "max_consecutive_failures=1") == 1
    for one in latest_records(fork):
        assert (one.outcome.cause, one.outcome.final) == ("sandbox", True)
        assert one.attempts == []
        assert one.usage == Usage()
        assert one.origin is not None
        assert one.origin.difference is not None
        assert (one.origin.difference.turn, one.origin.difference.kind) == (1, RANDOM)
    assert "failed: 3 × sandbox" in capsys.readouterr().out
    assert [row["unrestored"] for row in rows(fork)] == ["3"]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "values.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_continuing_run_is_resumed_and_is_no_other_turn_or_source(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(source, moved)
    folder = tmp_path / "run"
    words = ["limit=1", texts(*LATER), f"run_dir={folder}"]
    assert play("run", *words, f"continue={source}", "turn=2") == 0
    first = (folder / EPISODES).read_bytes()
    assert play("run", *words, f"continue={moved}", "turn=2", "samples=2") == 0
    assert (folder / EPISODES).read_bytes().startswith(first)
    # Two recorded samples, two continuations of each.
    assert sorted(sample for _, sample in by_sample(folder)) == [0, 1, 2, 3]
    origins = {s: one.origin.sample for (_, s), one in by_sample(folder).items() if one.origin}
    assert origins == {0: 0, 1: 1, 2: 0, 3: 1}
    capsys.readouterr()
    assert play("run", *words, f"continue={moved}", "turn=1") == 1
    assert "turn: 2 there, 1 here" in capsys.readouterr().err
    lines = (moved / EPISODES).read_bytes().splitlines(keepends=True)
    (moved / EPISODES).write_bytes(b"".join(lines[:-1]))
    assert play("run", *words, f"continue={moved}", "turn=2") == 1
    assert "continue.content" in capsys.readouterr().err


def test_the_identity_of_a_run_that_continues_nothing_is_the_old_one() -> None:
    values = configured().identity()
    assert not {"continue", "continue_", "turn"} & values.keys()
    assert configured("continue=x", "turn=2").identity()["turn"] == 2


def test_a_fork_has_the_configuration_of_its_run_but_for_what_is_said(
    source: Path, tmp_path: Path
) -> None:
    words = ["fork", str(source), "turn=2", "samples=2", texts(*LATER), f"run_dir={tmp_path}"]
    assert main([*words, "turns=max4_p2"]) == 0
    there, here = (yaml.safe_load((f / "config.yaml").read_text()) for f in (source, tmp_path))
    changed = {key for key in here if here[key] != there[key]}
    assert changed == {"continue", "turn", "model", "turns", "run_dir"}
    assert len(latest_records(tmp_path)) == 8
    assert [(row["task"], row["sample"], row["turn"], row["value"]) for row in rows(tmp_path)] == [
        ("gsm8k/0", "0", "2", "1.0"),
        ("gsm8k/0", "1", "2", "1.0"),
        ("gsm8k/1", "0", "2", "0.0"),
        ("gsm8k/1", "1", "2", "0.0"),
    ]


@pytest.mark.parametrize("others", [(), ("model=server", "model.name=other")])
def test_a_fork_takes_a_dialect_for_its_run_s_model_or_for_another(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], others: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(source, run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"] = configured(
        "model=server", "model.name=m", "model.max_retries=3"
    ).model_dump()["model"]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["fork", str(run), "turn=2", *others, "model.dialect=kimi", "dry_run=true"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out.partition("\nepisodes:")[0])["model"]
    assert shown["reasoning"]["history"] == "keep"
    assert shown["sampling"]["temperature"] is None
    assert (shown["name"], shown["max_retries"]) == (("other", 6) if others else ("m", 3))


def test_published_recordings_are_continued_and_two_experiments_are_told_apart(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "tree"
    assert main(["export", str(source), str(tree), "format=mint"]) == 0
    words = ["run", *QUICK, texts(*LATER), "limit=1", "turn=2"]
    assert main([*words, f"continue={tree}", f"run_dir={tmp_path / 'run'}"]) == 0
    recorded = by_sample(source)
    for key, one in by_sample(tmp_path / "run").items():
        assert one.turns[2].observation == "8"
        assert one.messages[0] == recorded[key].messages[0]
    assert len(by_sample(tmp_path / "run")) == 2, "each sample of the task is continued"
    shutil.copytree(tree / "scripted", tree / "other")
    assert main([*words, f"continue={tree}", f"run_dir={tmp_path / 'two'}"]) == 1
    assert "was recorded more than once" in capsys.readouterr().err


def test_recorded_feedback_is_restored_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    run, on = tmp_path / "run", tmp_path / "on"
    critic = ["feedback=textual", "model@feedback.model=scripted"]
    said = 'feedback.model.texts=["Go on."]'
    assert play("run", "limit=1", texts(*SOURCE_TEXTS), *critic, said, f"run_dir={run}") == 0
    words = ["limit=1", texts(*LATER), f"continue={run}", "turn=2", f"run_dir={on}"]
    assert play("run", *words) == 0
    (was,), (one,) = latest_records(run), latest_records(on)
    assert one.messages[:5] == was.messages[:5]
    assert [turn.feedback for turn in one.turns[:3]] == ["Go on.", "Go on.", None]


@pytest.mark.parametrize(
    ("code", "recorded", "live", "kind"),
    [
        ("print(n)", "7", "7", EQUAL),
        ("print(n)", "7", "8", DIFFERENT),
        ("f", "<function f at 0x7f12ab>", "<function f at 0x55e0>", "address or path"),
        ("print(time.time() - t)", "took 0.25 s", "took 1e-05 s", CLOCK),
        ("%timeit f()", "7.15 µs ± 1 ns per loop", "8 ms ± 2 µs per loop", CLOCK),
        ("print(time.time(), x)", "1.5 a", "2.5 b", DIFFERENT),
        ("time = 3; print(time)", "3", "4", DIFFERENT),
        ("x = random.random()\nprint(x)", "0.5", "0.25", RANDOM),
    ],
)
def test_what_is_fleeting_is_told_from_another_state(
    code: str, recorded: str, live: str, kind: str
) -> None:
    assert kind_of_difference(code, recorded, live) == kind


ORIGIN = EpisodeOrigin(
    episode="e", place="f:1", model="m", turn_setting="t", sample=0, success=False, turns=1
)
PREFIX = Prefix(ORIGIN, (RecordedTurn(Answer(), EnvironmentMessage("7"), observations=("7", "7")),))


@pytest.mark.parametrize(
    ("code", "failure"),
    [("print(1)", SandboxFailure), ("lookup('x')", ToolFailure), ("wikipedia.x()", ToolFailure)],
)
def test_the_cause_is_the_part_of_the_environment_that_changed(
    code: str, failure: type[EpisodeFailure]
) -> None:
    restoration = Restoration(PREFIX, ("lookup",))
    restoration.check_execution(0, code, Execution("7"))
    restoration.check_execution(1, code, Execution("of a turn after the prefix"))
    with pytest.raises(failure, match=r"f:1: turn 1 cannot be restored \(different\)") as raised:
        restoration.check_execution(0, code, Execution("8"))
    assert raised.value.final
    with pytest.raises(GraderFailure):
        restoration.check_grade(0, Verdict(correct=True))
    restoration.check_grade(1, Verdict(correct=True))


def test_a_prefix_crosses_to_a_worker(source: Path) -> None:
    (assignment, _, *_) = make_plan(
        configured(*QUICK[1:], "limit=1", f"continue={source}", "turn=2")
    ).assignments
    message = msgspec.json.encode(AssignmentMessage.of("run", assignment, "strict"))
    there = msgspec.json.decode(message, type=AssignmentMessage).assignment
    assert there.prefix == assignment.prefix
    assert there.prefix is not None
    assert len(there.prefix.turns) == 2
