"""Whatever reads recorded episodes says the same of a line: that it counts, or what is wrong."""

import json
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codeact.datasets import split_of, task_type_of
from codeact.episode.effects import Outcome, Turn
from codeact.episode.record import EpisodeRecord, encode, placeholder_record
from codeact.exceptions import RecordingError, RunFolderError
from codeact.jsonl import Unreadable
from codeact.recordings.episodes import read_recordings
from codeact.recordings.exchange import ExportConfig, ImportConfig, export_runs, import_trees
from codeact.recordings.published_paths import PublishedPath
from codeact.recordings.run_folder import EPISODES, read_records
from codeact.recordings.trajectory import PartialRecord, PlayedTurn, read_trajectories
from tests.collection.test_collection import recorded, run_record
from tests.recordings.test_exchange import full

DOWN = Outcome(success=False, terminate_reason="error", cause="provider", error="down")


def whole(path: Path) -> list[str]:
    return [episode.task_id for episode in read_recordings(path)]


def line_by_line(path: Path) -> list[str]:
    found = list(read_trajectories(path, task_type_of))
    broken = [one for one in found if isinstance(one, Unreadable)]
    if broken:
        raise RecordingError(f"{broken[0].place}: {broken[0].reason}")
    return [one.task.task_id for one in found if not isinstance(one, Unreadable)]


def records(path: Path) -> list[str]:
    return [record.task_id for record in read_records(path)]


def imported(path: Path) -> list[str]:
    out = path.parent / "imported"
    problems = import_trees(ImportConfig(source=str(path), out=str(out))).problems
    if problems:
        raise RecordingError(f"{problems[0].place}: {problems[0].reason}")
    return [record.task_id for run in out.rglob(EPISODES) for record in read_records(run)]


OF_RUNS = pytest.mark.parametrize("read", [whole, line_by_line, records])
OF_TREES = pytest.mark.parametrize("read", [whole, line_by_line, imported])
Read = Callable[[Path], list[str]]


def run_of(folder: Path, *lines: bytes) -> Path:
    (folder / EPISODES).write_bytes(b"".join(lines))
    return folder / EPISODES


def line_of(task_id: str, **changes: Any) -> bytes:
    return encode(msgspec.structs.replace(run_record(task_id), **changes))


@OF_RUNS
def test_a_line_of_a_run_counts_once_its_newline_is_there(read: Read, tmp_path: Path) -> None:
    assert read(run_of(tmp_path, line_of("1"), b"\n", line_of("2"))) == ["1"]


@OF_RUNS
def test_blank_lines_of_a_run_are_left_out(read: Read, tmp_path: Path) -> None:
    assert read(run_of(tmp_path, line_of("1"), b"\n\n \r\n", line_of("2"), b"\n")) == ["1", "2"]


@OF_RUNS
def test_a_failure_of_which_nothing_could_be_kept_is_an_episode(read: Read, tmp_path: Path) -> None:
    lost = encode(placeholder_record(run_record("2"), "too long"))
    assert read(run_of(tmp_path, line_of("1"), b"\n", lost, b"\n")) == ["1", "2"]


@OF_RUNS
@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"[" * 100_000,
        b'{"id": 3}',
        line_of("2", outcome=DOWN).replace(b'"error"', b'"tired"', 1),
        line_of("2").replace(b'"task_id":"2"', b'"task_id":2'),
    ],
    ids=["cut", "deep", "missing", "unknown reason", "id"],
)
def test_a_broken_line_of_a_run_is_refused_with_its_number(
    read: Read, broken: bytes, tmp_path: Path
) -> None:
    file = run_of(tmp_path, line_of("1"), b"\n", broken, b"\n", line_of("3"), b"\n")
    with pytest.raises((RecordingError, RunFolderError), match=r"(:|line )2: is no episode record"):
        read(file)


@pytest.mark.parametrize("read", [whole, line_by_line])
def test_a_counted_episode_of_a_run_has_messages(read: Read, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="2: is no episode record: it has no messages"):
        read(run_of(tmp_path, line_of("1"), b"\n", line_of("2", messages=[]), b"\n"))


@OF_TREES
@pytest.mark.parametrize(
    "odd",
    [
        full(2, state={"token_counter": None}),
        full(2, state={"token_counter": {"total_tokens": 7}}),
        full("2", metadata=None),
    ],
    ids=["no tokens", "other tokens", "no metadata"],
)
def test_a_published_line_is_read_whatever_it_lacks_that_nobody_needs(
    read: Read, odd: str, tmp_path: Path
) -> None:
    assert read(recorded(tmp_path / "tree", full(1), odd)) == ["1", "2"]


@OF_TREES
def test_a_published_file_may_end_without_a_newline(read: Read, tmp_path: Path) -> None:
    file = recorded(tmp_path / "tree", full(1), full(2))
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    assert read(file) == ["1", "2"]


@OF_TREES
@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "[" * 100_000,
        full(2, state={"history": []}),
        full(2, state={"token_counter": {"prompt_tokens": "7"}}),
        full(2, state={"success": None}),
        json.dumps({"state": json.loads(full(2))["state"], "task": {"prompt": "No id."}}),
        full(2.5),
    ],
    ids=["cut", "deep", "no history", "tokens", "success", "no id", "id"],
)
def test_a_broken_published_line_is_refused_with_its_number(
    read: Read, broken: str, tmp_path: Path
) -> None:
    file = recorded(tmp_path / "tree", full(1), broken, full(3))
    with pytest.raises(RecordingError, match=":2: is no recorded episode"):
        read(file)


def test_what_is_read_of_a_record_is_what_a_record_is() -> None:
    """The part that training data needs has the fields, types and defaults of the whole."""
    ours, theirs = (
        {field.name: field for field in msgspec.structs.fields(kind)}
        for kind in (PartialRecord, EpisodeRecord)
    )
    assert ours.keys() <= theirs.keys()
    undecoded = {"messages", "turns", "reference", "extra", "sample"}
    hints = typing.get_type_hints(EpisodeRecord)
    for name, field in ours.items():
        assert field.required == theirs[name].required, name
        assert name in undecoded or typing.get_type_hints(PartialRecord)[name] == hints[name]
    whole_turn = {field.name: field for field in msgspec.structs.fields(Turn)}
    for field in msgspec.structs.fields(PlayedTurn):
        assert field.type == whole_turn[field.name].type, field.name
        assert field.required == whole_turn[field.name].required, field.name


@pytest.mark.parametrize(
    "model", ["org/model", "/models/m", "..", "a b", "a%2Fb", "%%252E/%2F", "100%"]
)
def test_a_name_is_one_folder_of_a_tree_and_comes_back(model: str, tmp_path: Path) -> None:
    feedback = f"{model}/no_GT-textual"
    run = tmp_path / "run"
    run.mkdir()
    run_of(run, line_of("1", model=model, feedback=feedback), b"\n")
    tree, runs = tmp_path / "out" / "tree", tmp_path / "out" / "runs"
    config = ExportConfig(source=str(run), out=str(tree), format="mint", gzip=False)
    assert export_runs(config, task_type_of, split_of).problems == []
    (file,) = tree.rglob("results.jsonl")
    where = PublishedPath.parse(file)
    assert (where.model, where.feedback_model, where.feedback) == (model, model, feedback)
    assert tree / where.file == file
    for source in (run, file):
        assert [(e.model, e.feedback) for e in read_recordings(source)] == [(model, feedback)]
    import_trees(ImportConfig(source=str(tree), out=str(runs)))
    (again,) = runs.rglob(EPISODES)
    assert [(r.model, r.feedback) for r in read_records(again)] == [(model, feedback)]
    assert {path.name for path in tmp_path.iterdir()} == {"run", "out"}
