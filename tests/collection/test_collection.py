"""Collections: filters, conversion, bad input, what is written and what is never half-written."""

import errno
import gzip
import itertools
import json
import multiprocessing
import os
import signal
import threading
import time
from functools import cache
from pathlib import Path

import msgspec
import pytest

from codeact.cli import main
from codeact.collection.conversations import conversation_files
from codeact.collection.conversion import convert
from codeact.collection.filters import CODE, FILTERS, FIRST, PROPOSAL, WORKED, Filter, example
from codeact.collection.pipeline import select, sort_into_tiers
from codeact.collection.report import SelectionReport
from codeact.collection.scan import scan, start_method
from codeact.collection.selection import Candidate, SelectionStep
from codeact.collection.settings import TIER_NAMES, SelectConfig, SelectionSettings, TiersConfig
from codeact.collection.tiers import TIERS
from codeact.datasets import task_type_of
from codeact.episode.prompts.code import CodeStrategy
from codeact.episode.record import EpisodeRecord, encode
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task
from codeact.exceptions import ConfigError, RecordingError
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.validation import validated
from codeact.folders import whole_folder
from codeact.jsonl import Unreadable
from codeact.recordings.files import source_files
from codeact.recordings.trajectory import Trajectory, read_trajectories
from codeact.resources import data_folder, resolve_path
from tests.helpers.records import make_record

# Rules without the quirks, and without steps that look at many trajectories.
RULES = ("selection=published", "selection.complete_only=false", "selection.conversion.ids=unique")
TURNS = [CODE, WORKED, PROPOSAL]
LONG = [CODE, WORKED, CODE, WORKED, PROPOSAL]
PRESETS = [path.stem for path in data_folder("conf").glob("selection/*.yaml")]


def config(source: Path | list[Path], out: Path, *overrides: str, workers: int = 1) -> SelectConfig:
    sources = [source] if isinstance(source, Path) else source
    words = (f"source=[{','.join(map(repr, map(str, sources)))}]", f"out={out}")
    chosen = (*words, f"workers={workers}", *RULES, *overrides)
    composed = compose_config(Invocation("select", chosen))
    return validated(SelectConfig, composed)


@cache
def settings(preset: str) -> SelectionSettings:
    words = ("source=x", "out=y", f"selection={preset}")
    return validated(SelectConfig, compose_config(Invocation("select", words))).selection


def line(task_id: object, texts: list[str] = TURNS, *, success: bool = True, **counts: int) -> str:
    roles = ["user" if text.startswith("Observation:") else "assistant" for text in texts]
    history = [("user", FIRST), *zip(roles, texts, strict=True)]
    state = {
        "history": [{"role": role, "content": text} for role, text in history],
        "success": success,
        "agent_action_count": {"propose_solution": 1, **counts},
    }
    return json.dumps({"state": state, "task": {"task_id": task_id}})


def recorded(
    root: Path,
    *lines: str,
    model: str = "m",
    path: str = "F=None/max5_p2+tool+cd",
    name: str = "gsm8k",
) -> Path:
    folder = root / model / path / "reasoning" / name
    folder.mkdir(parents=True)
    (folder / "results.jsonl").write_text("".join(one + "\n" for one in lines))
    return folder / "results.jsonl"


def run_record(task_id: str, *, messages: bool = True, **how: object) -> EpisodeRecord:
    record = make_record(task_id, **how)  # type: ignore[arg-type]
    if messages:
        record.messages = [
            {"role": "user", "content": FIRST},
            {"role": "assistant", "content": CODE},
            {"role": "user", "content": WORKED},
            {"role": "assistant", "content": PROPOSAL},
        ]
    return record


def conversations(out: Path, tier: str = "easy") -> list[dict]:
    return [json.loads(one) for one in (out / f"{tier}.jsonl").read_text().splitlines()]


# Presets and filters


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_names_every_key_of_its_schema(preset: str) -> None:
    composed = compose_config(Invocation("select", (f"selection={preset}", "source=x", "out=y")))
    selection = validated(SelectConfig, composed).selection
    assert composed.config["selection"] == selection.model_dump()


def test_an_unknown_filter_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'invalid_only'"):
        config(Path("x"), Path("y"), "selection.filters=[invalid_onyl]")


@pytest.mark.parametrize("one", FILTERS.values(), ids=FILTERS)
def test_every_filter_keeps_and_drops_what_its_cases_say(one: Filter) -> None:
    """A filter without a case of both kinds is not tested, so it is not accepted."""
    assert one.kept
    assert one.dropped
    for case in one.kept:
        assert one.keeps(case, settings("published"))
    for case in one.dropped:
        assert not one.keeps(case, settings("published"))


# Conversion


def spoken(trajectory: Trajectory, preset: str) -> list[str]:
    found = convert(trajectory, settings(preset).conversion).conversations
    return [message["content"] for message in found]


def test_a_conversation_has_the_task_without_the_example() -> None:
    found = convert(example(*TURNS), settings("ours").conversion).conversations
    assert [message["role"] for message in found] == [
        "system", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert found[0]["content"] == "Be brief."
    assert found[1]["content"] == "Task:\nAdd 1 and 1."


@pytest.mark.parametrize(("preset", "left"), [("published", "<thought> "), ("ours", "")])
def test_thoughts_lose_their_tags_and_a_single_one_goes_but_for_the_published_quirk(
    preset: str, left: str
) -> None:
    text = "Assistant:\n<thought> a\nb </thought>\n<thought> open <solution> 2 </solution>\n"
    assert spoken(example(CODE, WORKED, text), preset)[-1] == (
        f"a\nb\n{left}open <solution> 2 </solution>"
    )


@pytest.mark.parametrize(
    ("said", "cut"),
    [
        ("It is <solution> 2 </solution>.", "It is <solution> 2 </solution>"),
        ("```\n<execute> 2 </execute>\n```", "```\n<execute> 2 </execute>"),
        ("<execute> 2 </execute> <solution> 2", "<execute> 2 </execute> <solution> 2"),
        ("<execute> 2 </execute> <execute> 3 </execute>",) * 2,
        ("None at all.", "None at all."),
    ],
)
def test_a_turn_ends_with_its_only_action(said: str, cut: str) -> None:
    one = example(CODE, WORKED, f"Assistant:\n{said}\n", WORKED, PROPOSAL)
    assert spoken(one, "ours")[4] == cut
    assert spoken(one, "published")[4] == said


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("published", '<execute> print("  hi") </execute>'),
        ("ours", '<execute> print("Assistant:  hi") </execute>'),
    ],
)
def test_code_keeps_the_speakers_label_but_for_the_published_quirk(preset: str, said: str) -> None:
    code = 'Assistant:\nAssistant:<execute> print("Assistant:  hi") </execute>\n'
    assert spoken(example(code, WORKED, PROPOSAL), preset)[2] == said


def test_our_own_instruction_says_nothing_of_thought_tags() -> None:
    task = Task(name="gsm8k", id="1", prompt="Add.", reference="2")
    turns = TurnSettings(max_steps=5, max_propose_solution=2)
    first = CodeStrategy().first_message(task, "reasoning", turns, ())
    one = example(*TURNS)
    one.history[0] = msgspec.Raw(msgspec.json.encode({"role": "user", "content": first}))
    system, user, *_ = spoken(one, "ours")
    assert "<thought>" not in system
    assert "<execute>" in system
    assert user == "Task:\nAdd."


def test_the_environments_last_word_is_not_part_of_a_conversation() -> None:
    assert spoken(example(*TURNS, WORKED), "ours") == spoken(example(*TURNS), "ours")


# Tiers


def test_tiers_and_reasons(tmp_path: Path) -> None:
    """One record of every kind there is."""
    source = tmp_path / "s"
    recorded(source, line(1), line(2, LONG), line(3, success=False), line(4), model="weak-hf")
    recorded(source, line(1), model="incomplete")
    recorded(source, line(1), line(2), line(3, LONG), line(4, success=False), model="gpt-4-0613")
    recorded(source / "z", line(1), model="weak")
    words = (f"source={source}", f"out={tmp_path / 'o'}", "selection=published", "workers=2")
    assert main(["tiers", *words]) == 0
    rows = (tmp_path / "o" / "records.csv").read_text().splitlines()[1:]
    found = [(one.split(",")[5], one.split(",")[4], one.split(",")[-2]) for one in rows]
    assert found == [
        ("gpt-4-0613", "1", "strong_short"),
        ("gpt-4-0613", "2", "strong_short"),
        ("gpt-4-0613", "3", "strong"),
        ("gpt-4-0613", "4", "failed"),
        ("incomplete", "1", "incomplete"),
        ("weak", "1", "easy"),
        ("weak", "2", "medium"),
        ("weak", "3", "failed"),
        ("weak", "4", "easy"),
        ("weak", "1", "duplicate"),
    ]
    assert (tmp_path / "o" / "unsolved.tsv").read_text() == "reasoning\tgsm8k\t3\n"


def test_an_unfinished_experiment_gives_what_it_has_where_that_is_asked(tmp_path: Path) -> None:
    recorded(tmp_path, line(1), line(2, success=False), model="finished")
    recorded(tmp_path, line(1), model="unfinished")
    every = select(config(tmp_path, tmp_path / "o"))
    complete = select(config(tmp_path, tmp_path / "p", "selection.complete_only=true"))
    assert every.tiers["easy"].kept == 2
    assert complete.tiers["easy"].kept == 1
    assert complete.reasons["incomplete"] == 1


def test_hard_tasks_are_written_back_as_they_stood(tmp_path: Path) -> None:
    recorded(tmp_path / "s", line(1), line(2, success=False), line(7, success=False))
    rows = [json.dumps({"id": n, "prompt": f"é {n}", "reference": "1"}) for n in (1, 2, 3)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(rows))
    words = ("task=gsm8k", f"task.sets.gsm8k.path={tmp_path / 'tasks.jsonl'}", f"out={tmp_path}/o")
    composed = compose_config(Invocation("tiers", (f"source={tmp_path / 's'}", *words)))
    report = sort_into_tiers(validated(TiersConfig, composed))
    assert (tmp_path / "o" / "hard" / "gsm8k.jsonl").read_text() == rows[1] + "\n"
    assert [problem.reason for problem in report.problems] == ["lacks the unsolved task 7"]


# Our own run folders


def test_a_redone_episode_counts_by_its_last_line(tmp_path: Path) -> None:
    lines = [
        run_record("1", cause="provider"),
        run_record("1"),
        run_record("2", success=False),
        run_record("3", cause="sandbox"),
        run_record("4", cause="model"),
    ]
    (tmp_path / "episodes.jsonl").write_bytes(b"".join(encode(one) + b"\n" for one in lines))
    report = select(config(tmp_path, tmp_path / "o"))
    assert (report.records, report.redone, report.uncounted) == (3, 1, 1)
    assert report.tiers["easy"].kept == 1
    assert report.reasons["failed"] == 2
    assert conversations(tmp_path / "o")[0]["id"] == (
        "reasoning/gsm8k/1/m/max5_p2+tool+cd/none/s/0"
    )


def test_a_torn_last_line_of_a_run_is_normal_and_one_in_the_middle_is_not(tmp_path: Path) -> None:
    whole = encode(run_record("1"))
    (tmp_path / "episodes.jsonl").write_bytes(whole + b"\n" + whole[:50] + b"\n" + whole[:90])
    report = select(config(tmp_path, tmp_path / "o"))
    assert [problem.place for problem in report.problems] == [f"{tmp_path}/episodes.jsonl:2"]
    assert report.tiers["easy"].kept == 1


def test_a_data_set_under_another_name_has_its_familys_task_type(tmp_path: Path) -> None:
    record = run_record("1")
    record.task_name = "mine"
    (tmp_path / "episodes.jsonl").write_bytes(encode(record) + b"\n")
    (unknown,) = read_trajectories(tmp_path / "episodes.jsonl", task_type_of)
    assert isinstance(unknown, Unreadable)
    assert "'mine'" in unknown.reason
    (tmp_path / "config.yaml").write_text("task: {sets: {mine: {family: mbpp}}}")
    (known,) = read_trajectories(tmp_path / "episodes.jsonl", task_type_of)
    assert isinstance(known, Trajectory)
    assert known.task == ("code_generation", "mine", "1")


def test_samples_of_a_task_are_different_episodes(tmp_path: Path) -> None:
    lines = [run_record("1"), run_record("1")]
    lines[1].sample, lines[1].id = 1, "gsm8k/1/s/1"
    (tmp_path / "episodes.jsonl").write_bytes(b"".join(encode(one) + b"\n" for one in lines))
    assert select(config(tmp_path, tmp_path / "o")).tiers["easy"].kept == 2
    assert len({one["id"] for one in conversations(tmp_path / "o")}) == 2


# Bad input


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("{", "is no recorded episode"),
        (line(1)[:-9], "is no recorded episode"),
        ("[]", "is no recorded episode"),
        (line(1).replace('"success"', '"sucess"'), "success"),
        (line(1).replace('"task_id"', '"id"'), "task_id"),
        (line(1).replace('"role": "assistant"', '"rule": "assistant"'), "holds what is no message"),
        ('{"state": {"history": [], "success": true, "agent_action_count": {}}, '
         '"task": {"task_id": 1}}', "empty history"),
    ],
)  # fmt: skip
def test_a_broken_line_is_named_and_counted_and_the_rest_is_used(
    tmp_path: Path, broken: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path / "s", line(1), broken, line(2))
    assert main(["select", f"source={tmp_path / 's'}", f"out={tmp_path / 'o'}", *RULES]) == 1
    report = msgspec.json.decode(
        (tmp_path / "o" / "report.json").read_bytes(), type=SelectionReport
    )
    assert (report.records, report.unreadable) == (2, 1)
    assert report.problems[0].place == f"{path}:2"
    assert reason in report.problems[0].reason
    assert f"{path}:2" in capsys.readouterr().err
    assert len(conversations(tmp_path / "o")) == 2


def test_a_truncated_archive_gives_what_it_has_and_says_where_it_ends(tmp_path: Path) -> None:
    path = recorded(
        tmp_path / "s", *(line(n, [f"{CODE} # {n**99}", *TURNS[1:]]) for n in range(400))
    )
    whole = gzip.compress(path.read_bytes())
    path.unlink()
    path.with_suffix(".jsonl.gz").write_bytes(whole[: len(whole) // 2])
    report = select(config(tmp_path / "s", tmp_path / "o"))
    assert 0 < report.records < 400
    assert report.problems[0].place == f"{path}.gz:{report.records + 1}"
    assert "cut short" in report.problems[0].reason


def test_a_file_that_is_no_archive_is_named(tmp_path: Path) -> None:
    recorded(tmp_path / "s", line(1))
    path = recorded(tmp_path / "s", line(1), model="n").rename(tmp_path / "s/n/x")
    path = path.rename(tmp_path / "s/n/F=None/max5_p2+tool+cd/reasoning/gsm8k/results.jsonl.gz")
    report = select(config(tmp_path / "s", tmp_path / "o"))
    assert report.problems[0].place == f"{path}:1"
    assert report.records == 1


def test_two_records_of_one_episode_in_a_file_are_named(tmp_path: Path) -> None:
    path = recorded(tmp_path / "s", line(1), line(2), line(1, LONG))
    report = select(config(tmp_path / "s", tmp_path / "o"))
    assert report.reasons["duplicate"] == 1
    assert [(one.place, one.reason) for one in report.problems] == [
        (f"{path}:3", "repeats the episode of line 1; that one counts")
    ]
    assert len(conversations(tmp_path / "o")) == 2


def test_what_has_no_form_as_a_conversation_is_counted(tmp_path: Path) -> None:
    recorded(tmp_path / "s", line(1), line(2).replace("Task:", "Question:"))
    report = select(config(tmp_path / "s", tmp_path / "o"))
    taken = {one.name: one.records for one in report.tiers["easy"].taken}
    assert taken["unconvertible"] == 1
    assert report.tiers["easy"].kept == 1


def test_an_empty_selection_says_what_took_all_and_leaves_the_last_one_alone(
    tmp_path: Path,
) -> None:
    recorded(tmp_path / "s", line(1), line(2), line(3, success=False))
    recorded(tmp_path / "t", line(1, [PROPOSAL]), line(2, success=False))
    select(config(tmp_path / "s", tmp_path / "o"))
    before = {path: path.read_bytes() for path in (tmp_path / "o").iterdir()}
    with pytest.raises(ConfigError, match=r"of 2 records, .*invalid_only 1"):
        select(config(tmp_path / "t", tmp_path / "o"))
    assert {path: path.read_bytes() for path in (tmp_path / "o").iterdir()} == before


def test_a_path_that_says_nothing_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text(line(1))
    with pytest.raises(RecordingError, match="does not say what was recorded"):
        select(config(tmp_path, tmp_path / "o"))
    assert not (tmp_path / "o").exists()


def test_a_file_in_two_sources_is_read_once(tmp_path: Path) -> None:
    path = recorded(tmp_path, line(1))
    assert source_files([str(tmp_path), str(path)]) == [path]


def test_a_folder_of_outputs_appears_at_once_with_the_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    with whole_folder(tmp_path / "a" / "o") as folder:
        (folder / "one").write_text("1")
        assert not (tmp_path / "a" / "o").exists()
    assert (tmp_path / "a" / "o" / "one").read_text() == "1"
    assert (tmp_path / "a" / "o").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["o"]


def test_outputs_take_the_place_of_their_namesakes_and_of_nothing_else(tmp_path: Path) -> None:
    for name in ("mine", "hard/old", "report.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    with whole_folder(tmp_path, last="report.json") as folder:
        (folder / "hard").mkdir()
        for name in ("hard/new", "report.json"):
            (folder / name).write_text("new")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"mine", "hard/new", "report.json"}
    assert (tmp_path / "report.json").read_text() == "new"


def test_no_report_stands_beside_outputs_of_which_only_some_were_moved(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("old")
    (tmp_path / "z").mkdir()  # a folder, where a file is to be: the rename after a's
    (tmp_path / "z" / "kept").write_text("old")

    def stop(*_: object) -> None:
        raise OSError(errno.EIO, "no more")

    with (
        pytest.raises(ConfigError, match="no more"),
        pytest.MonkeyPatch.context() as patch,
        whole_folder(tmp_path, last="report.json") as folder,
    ):
        for name in ("a", "report.json", "z"):
            (folder / name).write_text("new")
        patch.setattr(Path, "rename", stop)
    assert (tmp_path / "a").read_text() == "new"
    assert not (tmp_path / "report.json").exists()


# Order, processes and steps


def test_any_number_of_processes_writes_the_same(tmp_path: Path) -> None:
    for model in "abcdef":
        lines = [line(n, LONG if n % 3 else TURNS, success=n % 4 > 0) for n in range(40)]
        recorded(tmp_path / "s", *lines, model=model)
    for workers in (1, 3):
        select(config(tmp_path / "s", tmp_path / f"o{workers}", workers=workers))
    alone, many = tmp_path / "o1", tmp_path / "o3"
    names = sorted(path.name for path in alone.iterdir())
    assert names == ["easy.jsonl", "medium.jsonl", "report.json", "strong.jsonl", "unsolved.tsv"]
    for name in names:
        assert (alone / name).read_bytes() == (many / name).read_bytes()
    models = [one["id"].split("/")[3] for one in conversations(many, "medium")]
    assert models == sorted(models)
    assert len(set(models)) == 6


def test_a_step_sees_every_candidate_and_is_counted(tmp_path: Path) -> None:
    recorded(tmp_path / "s", line(1), line(2, LONG), model="a")
    recorded(tmp_path / "s", line(1), line(2, LONG), model="b", name="math")
    seen: list[tuple[str, str, str]] = []

    def only_math(found):
        for one in found:
            assert isinstance(one, Candidate)
            seen.append(
                (one.tier, one.experiment.model, json.loads(one.read())["id"].split("/")[2])
            )
            if one.task.task_name == "math":
                yield one

    report = select(config(tmp_path / "s", tmp_path / "o"), [SelectionStep("only_math", only_math)])
    assert seen == [
        ("easy", "a", "1"),
        ("easy", "b", "1"),
        ("medium", "a", "2"),
        ("medium", "b", "2"),
    ]
    for tier in ("easy", "medium"):
        (taken,) = [one for one in report.tiers[tier].taken if one.name == "only_math"]
        assert (taken.records, taken.by_task) == (1, {"gsm8k": 1})
        assert report.tiers[tier].kept_by_task == {"math": 1}
        assert len(conversations(tmp_path / "o", tier)) == 1


def test_several_sources_are_read_in_their_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        recorded(tmp_path / name, line(1, [CODE, f"{WORKED}{name}", PROPOSAL]))
    assert main(["select", str(tmp_path / "b"), str(tmp_path / "a"), f"out={tmp_path / 'o'}"]) == 0
    (kept,) = conversations(tmp_path / "o")
    assert kept["conversations"][3]["content"].endswith("b")


def test_processes_are_not_forked_beside_a_thread_and_write_the_same(tmp_path: Path) -> None:
    for model in "abc":
        recorded(tmp_path / "s", *(line(n) for n in range(20)), model=model)
    waiting = threading.Event()
    beside = threading.Thread(target=waiting.wait)
    beside.start()
    try:
        assert start_method() != "fork"
        select(config(tmp_path / "s", tmp_path / "threads", workers=2))
    finally:
        waiting.set()
        beside.join()
    select(config(tmp_path / "s", tmp_path / "alone", workers=1))
    for name in ("easy.jsonl", "report.json"):
        assert (tmp_path / "threads" / name).read_bytes() == (
            tmp_path / "alone" / name
        ).read_bytes()


def test_a_system_without_affinity_has_workers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr("sys.platform", "darwin")
    assert start_method() == "spawn"
    monkeypatch.undo()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for model in "ab":
        recorded(tmp_path / "s", line(1), model=model)
    words = (f"source={tmp_path / 's'}", f"out={tmp_path / 'o'}", *RULES)
    report = select(validated(SelectConfig, compose_config(Invocation("select", words))))
    assert report.records == 2


def test_the_sample_loses_its_bad_habits_and_the_report_counts_them(tmp_path: Path) -> None:
    source = resolve_path("pkg://codeact.sample/recordings")
    counts = {}
    for names in (["several_actions", "invented_environment", "trailing_text"],
                  ["invented_environment"], ["trailing_text"]):  # fmt: skip
        words = (f"selection.filters=[excluded_tasks,invalid_only,{','.join(names)}]",)
        report = select(config(source, tmp_path / names[0], *words))
        counts[names[0]] = [
            (one.name, sum(tier.taken[place].records for tier in report.tiers.values()))
            for place, one in enumerate(report.tiers["easy"].taken)
            if one.name in names
        ]
    assert counts["several_actions"][0] == ("several_actions", 4)
    assert counts["invented_environment"] == [("invented_environment", 2)]
    assert counts["trailing_text"][0][1] >= 4
    ours = settings("ours").filters
    habits = ["repeated_turn", "several_actions", "invented_environment", "trailing_text"]
    assert ours[-len(habits) :] == habits
    assert not set(habits) & set(settings("published").filters)


def test_a_selection_by_name_has_all_tiers_in_one_file_that_is_read_once(tmp_path: Path) -> None:
    source, out = resolve_path("pkg://codeact.sample/recordings"), tmp_path / "o"
    select(config(source, out, "name=first"))
    report = select(config(source, out, "name=all_of_it"))
    tiers = b"".join((out / f"{tier}.jsonl").read_bytes() for tier in report.tiers)
    assert (out / "all_of_it.jsonl").read_bytes() == tiers
    assert not (out / "first.jsonl").exists()
    names = [file.name for file in conversation_files([str(out)])]
    assert names == ["easy", "medium", "strong"]
    assert [file.name for file in conversation_files([str(out / "all_of_it.jsonl")])] == [
        "all_of_it"
    ]
    kept = sum(tier.kept for tier in report.tiers.values())
    assert main(["convert", str(out), "format=sft", f"out={tmp_path / 'sft'}"]) == 0
    written = [path.read_bytes() for path in (tmp_path / "sft").glob("*.jsonl")]
    assert sum(one.count(b"\n") for one in written) == kept == tiers.count(b"\n") > 5
    select(config(source, out))
    assert not (out / "all_of_it.jsonl").exists()


@pytest.mark.parametrize("name", ["easy", "Strong.jsonl", "a/b", "..", ".hidden", ""])
def test_a_name_that_is_no_files_name_or_a_tiers_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is no name of a file|name of a tier"):
        config(Path("x"), Path("y"), f"name='{name}'")


def test_the_names_of_tiers_are_those_of_the_labels() -> None:
    assert tuple(label.word for label in TIERS) == TIER_NAMES


def test_a_killed_process_ends_the_scan_with_what_to_do(tmp_path: Path) -> None:
    """Workers wait for a pipe that nobody writes to, until one of them is killed."""
    pipes = []
    for model in "ab":
        path = recorded(tmp_path / "s", model=model)
        path.unlink()
        os.mkfifo(path)
        pipes.append(path)

    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        for child in children:
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(RecordingError, match="was killed"):
        scan(pipes, settings("ours"), tmp_path, workers=2, meanwhile=kill)


def test_an_archive_of_several_parts_is_read_to_its_end(tmp_path: Path) -> None:
    """Log rotation and `cat` make such files."""
    path = recorded(tmp_path / "s", line(1))
    parts = [gzip.compress(f"{line(n)}\n".encode()) for n in range(3)]
    path.unlink()
    path.with_suffix(".jsonl.gz").write_bytes(b"".join(parts) + bytes(512))
    assert select(config(tmp_path / "s", tmp_path / "o")).records == 3


def test_what_a_step_does_not_look_at_is_counted_too(tmp_path: Path) -> None:
    recorded(tmp_path / "s", *(line(n) for n in range(5)))
    step = SelectionStep("first_two", lambda found: itertools.islice(found, 2))
    report = select(config(tmp_path / "s", tmp_path / "o"), [step])
    assert report.tiers["easy"].kept == 2
    assert report.tiers["easy"].taken[-1].records == 3
