"""An index says what the files say, whatever was done to them or to it."""

import gzip
import json
import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codeact.episode.causes import is_own_success
from codeact.episode.effects import Counts, Turn, Usage
from codeact.episode.record import Attempt, EpisodeRecord, encode
from codeact.exceptions import ConfigError, RecordingError
from codeact.jsonl import End, Line
from codeact.recordings import index_update
from codeact.recordings.exchange import ImportConfig, import_trees
from codeact.recordings.index import Between, Index
from codeact.recordings.index_files import FileState
from codeact.recordings.index_store import INDEX
from codeact.recordings.run_folder import EPISODES, latest_records
from tests.helpers.records import calling_record, make_record, reasoning_record
from tests.recordings.test_exchange import full

NEVER_SMALL = -1
"""Has even a small index written to its file."""


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def append(folder: Path, *records: EpisodeRecord, torn: bytes = b"") -> None:
    with (folder / EPISODES).open("ab") as file:
        file.write(b"".join(encode(record) + b"\n" for record in records) + torn)


def keys(index: Index, **how: object) -> list[str]:
    return [row.task_id for row in index.rows(**how)]  # type: ignore[arg-type]


def agrees(index: Index, folder: Path) -> bool:
    """Whether every row, and what is read by it, is the newest record of an episode."""
    newest = {record.id: record for record in latest_records(folder)}
    rows = index.rows()
    assert {row.id: index.read(row.key) for row in rows} == newest
    assert all(encode(newest[row.id]) == index.raw(row.key) for row in rows)
    return all(
        (row.success, row.own_success, row.turns, row.tokens, row.cause, row.seconds)
        == (
            record.outcome.success,
            is_own_success(record),
            len(record.turns),
            record.usage.total,
            record.outcome.cause,
            record.seconds,
        )
        for row in rows
        for record in [newest[row.id]]
    )


def cut_in_two(folder: Path) -> None:
    lines = (folder / EPISODES).read_bytes().splitlines(keepends=True)
    (folder / EPISODES).write_bytes(b"".join(lines[: len(lines) // 2]))


def turn_round(folder: Path) -> None:
    """Write the same bytes in another order, into the same file."""
    lines = (folder / EPISODES).read_bytes().splitlines(keepends=True)
    with (folder / EPISODES).open("r+b") as file:
        file.write(b"".join(reversed(lines)))


def replace(folder: Path) -> None:
    (folder / "new").write_bytes((folder / EPISODES).read_bytes())
    (folder / "new").replace(folder / EPISODES)


def delete_index(folder: Path) -> None:
    (folder / INDEX).unlink(missing_ok=True)


def damage_index(folder: Path) -> None:
    if (folder / INDEX).exists():
        size = (folder / INDEX).stat().st_size
        with (folder / INDEX).open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))


def another_version(folder: Path) -> None:
    if (folder / INDEX).exists():
        with sqlite3.connect(folder / INDEX) as db:
            db.execute("PRAGMA user_version = 77")
        db.close()


def drop_tables(folder: Path) -> None:
    if (folder / INDEX).exists():
        with sqlite3.connect(folder / INDEX) as db:
            db.execute("DROP TABLE IF EXISTS episodes")
        db.close()


def add_some(folder: Path) -> None:
    """Add an episode, and play one again that failed."""
    there = len(latest_records(folder))
    append(folder, make_record(str(there), cause="provider"), make_record(f"{there}+"))
    append(folder, make_record(str(there)))


def tear(folder: Path) -> None:
    append(folder, torn=encode(make_record("torn"))[:40])


def mend(folder: Path) -> None:
    content = (folder / EPISODES).read_bytes()
    (folder / EPISODES).write_bytes(content[: content.rfind(b"\n") + 1])


CHANGES = [
    *(add_some, cut_in_two, turn_round, replace),
    *(delete_index, damage_index, another_version, drop_tables, tear, mend),
]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=6))
def test_an_index_follows_whatever_becomes_of_the_files(
    tmp_path_factory: pytest.TempPathFactory, changes: list[Callable[[Path], None]]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    append(folder, reasoning_record(), calling_record(), make_record("9", success=False))
    with Index.open(folder, small=NEVER_SMALL) as kept:
        for change in changes:
            mend(folder)
            change(folder)
            kept.update()
            assert agrees(kept, folder), change.__name__
            with Index.open(folder, small=NEVER_SMALL) as fresh:
                assert fresh.columns(["key", "line"], sort=["line"]) == kept.columns(
                    ["key", "line"], sort=["line"]
                )


def test_what_is_indexed_already_is_not_read_again(tmp_path: Path) -> None:
    append(tmp_path, make_record("1"), make_record("2"))
    with Index.open(tmp_path, small=NEVER_SMALL) as index:
        append(tmp_path, make_record("3"), torn=b'{"id"')
        assert (index.update(), index.update()) == (1, 0)
    with Index.open(tmp_path) as again:
        assert again.file == tmp_path / INDEX
        assert again.update() == 0
        assert keys(again) == ["1", "2", "3"]


def test_what_is_appended_while_the_file_is_read_is_read_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path, make_record("1"))
    read = index_update.new_lines

    def meanwhile(file: Path, state: FileState) -> Iterator[Line | End]:
        yield from read(file, state)
        append(tmp_path, make_record("2"))

    with monkeypatch.context() as patch:
        patch.setattr(index_update, "new_lines", meanwhile)
        index = Index.open(tmp_path, small=NEVER_SMALL)
    assert (keys(index), index.update(), keys(index)) == (["1"], 1, ["1", "2"])
    index.close()


def test_an_archive_to_which_something_was_added_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / f"{EPISODES}.gz"
    file.write_bytes(gzip.compress(encode(make_record("1")) + b"\n"))
    with Index.open(tmp_path, small=NEVER_SMALL) as index:
        with file.open("ab") as stream:
            stream.write(gzip.compress(encode(make_record("2")) + b"\n"))
        index.update()
        assert (keys(index), index.lines) == (["1", "2"], 2)
        assert index.read(index.rows()[1].key).task_id == "2"


def test_an_index_is_as_private_as_a_run(tmp_path: Path) -> None:
    append(tmp_path, make_record())
    with Index.open(tmp_path, small=NEVER_SMALL):
        assert (tmp_path / INDEX).stat().st_mode & 0o077 == 0


def test_little_is_indexed_in_memory(tmp_path: Path) -> None:
    append(tmp_path, make_record())
    with Index.open(tmp_path) as index:
        append(tmp_path, make_record("1"))
        index.update()
        assert (index.file, keys(index)) == (None, ["0", "1"])
    assert not (tmp_path / INDEX).exists()


def test_where_nothing_can_be_written_the_index_is_elsewhere(
    tmp_path: Path, cache_folder: Path
) -> None:
    append(tmp_path, make_record())
    (tmp_path / INDEX).mkdir()
    with Index.open(tmp_path, small=NEVER_SMALL) as index:
        assert index.file is not None and index.file.is_relative_to(cache_folder)
        assert keys(index) == ["0"]
    (cache_folder / "codeact").rename(cache_folder / "away")
    (cache_folder / "codeact").write_text("no folder")
    with Index.open(tmp_path, small=NEVER_SMALL) as index:
        assert (index.file, keys(index)) == (None, ["0"])


def test_a_line_that_holds_no_episode_is_told_with_its_number(tmp_path: Path) -> None:
    append(tmp_path, make_record("1"), torn=b"\n{}\n")
    append(tmp_path, make_record("2"))
    with Index.open(tmp_path) as index:
        (problem,) = index.problems()
        assert problem.place == (str(tmp_path / EPISODES), 3)
        assert problem.reason.startswith("is no episode record: ")
        assert keys(index) == ["1", "2"]


def test_any_integer_of_a_line_can_be_indexed(tmp_path: Path) -> None:
    append(tmp_path, msgspec.structs.replace(make_record("1"), sample=1 << 70))
    with Index.open(tmp_path) as index:
        assert index.rows()[0].sample == (1 << 63) - 1
        assert index.read(index.rows()[0].key).sample == 1 << 70


@pytest.mark.parametrize("compressed", [False, True])
def test_a_published_tree_is_indexed_as_it_is_imported(tmp_path: Path, compressed: bool) -> None:
    tree = tmp_path / "tree"
    for model, lines in {
        "a/b": [full(1), full(2), full(1)],
        "c": [full(1, metadata={"t": 3})],
    }.items():
        folder = tree / model.replace("/", "%2F") / "F=None" / "max5_p2+tool+cd/reasoning/gsm8k"
        folder.mkdir(parents=True)
        content = "\n".join(lines).encode()
        if compressed:
            (folder / "results.jsonl.gz").write_bytes(gzip.compress(content))
        else:
            (folder / "results.jsonl").write_bytes(content)
    import_trees(ImportConfig(source=str(tree), out=str(tmp_path / "runs")))
    with Index.open(tree) as index, Index.open(tmp_path / "runs") as runs:
        assert index.count() == runs.count() == 4
        assert [row.key for row in index.rows()] == [row.key for row in runs.rows()]
        for one, other in zip(index.rows(), runs.rows(), strict=True):
            assert index.read(one.key) == runs.read(other.key)
            places = {"file": "", "line": 0, "start": 0, "length": 0}
            assert msgspec.structs.replace(one, **places) == msgspec.structs.replace(
                other, **places
            )
        assert json.loads(index.raw("c/none/max5_p2+tool+cd/gsm8k/1//0")) == json.loads(
            full(1, metadata={"t": 3})
        )
        assert [row.metadata for row in index.rows({"model": "c"})] == ['{"t":3}']


def rich(task_id: str, **changes: object) -> EpisodeRecord:
    return msgspec.structs.replace(make_record(task_id), **changes)


@pytest.fixture
def varied(tmp_path: Path) -> Path:
    cells = [Turn(action="execute", content="1", status=s) for s in ("ok", "error", "timeout")]
    append(
        tmp_path,
        rich("a", cost=0.5, seconds=3.0, turns=cells, counts=Counts(use_tool=3)),
        rich("b", cost=None, seconds=1.0, usage=Usage(7, 8, 2, 3), feedback_usage=Usage(4, 5)),
        rich("c", cost=0.25, seconds=2.0, attempts=[Attempt(cause="sandbox", error="")], edited=1),
        make_record("d", cause="provider"),
        make_record("e", success=False),
    )
    return tmp_path


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"where": {"success": True}}, "abc"),
        ({"where": {"task_id": ["a", "e"], "success": False}}, "e"),
        ({"where": {"cause": None}}, "abce"),
        ({"where": {"cause": ["provider", None]}}, "abcde"),
        ({"where": {"task_id": []}}, ""),
        ({"where": {"seconds": Between(1.5)}}, "ac"),
        ({"where": {"seconds": Between(1.0, 2.0)}}, "bc"),
        ({"where": {"file": EPISODES, "counted": False}}, "d"),
        ({"where": {"edited": True}}, "c"),
        ({"sort": ["-cost"]}, "acbde"),
        ({"sort": ["cost"]}, "cabde"),
        ({"sort": ["success", "-seconds"]}, "deacb"),
        ({"sort": ["-task_id"], "limit": 2, "offset": 1}, "dc"),
    ],
)
def test_rows_are_chosen_and_sorted_by_columns(
    varied: Path, how: dict[str, object], expected: str
) -> None:
    with Index.open(varied) as index:
        assert "".join(keys(index, **how)) == expected
        if "limit" not in how:
            assert index.count(how.get("where")) == len(expected)  # type: ignore[arg-type]


def test_a_row_has_the_numbers_of_its_record(varied: Path) -> None:
    with Index.open(varied) as index:
        a, b, c, d, _ = index.rows()
    assert (a.executions, a.erred, a.cost) == (3, 2, 0.5)
    assert (b.prompt, b.completion, b.cached, b.reasoning) == (7, 8, 2, 3)
    assert (b.feedback_prompt, b.feedback_completion, b.executions, b.erred) == (4, 5, 0, 0)
    assert (c.attempts, c.edited, c.own_success, c.success) == (1, True, None, True)
    assert (d.counted, d.cause, d.error, d.own_success) == (False, "provider", "why", None)


@pytest.mark.parametrize("name", ["colour", "success; DROP TABLE episodes", 'key"', "-nothing"])
def test_a_column_that_is_not_there_is_refused(varied: Path, name: str) -> None:
    with Index.open(varied) as index:
        for act in (
            lambda: index.rows({name: 1}),
            lambda: index.rows(sort=[name]),
            lambda: index.columns([name]),
        ):
            with pytest.raises(ConfigError, match="there is no column"):
                act()
        assert index.count() == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NameError", ["2"]),
        ("nameerr*", ["2"]),
        ("nameerr", []),
        ('"I add"', ["1"]),
        ('"add and"', []),
        ('"Add 1 and 1"', ["1", "2"]),
        ("encrypted", []),
        ("Both once", ["2"]),
        ("brief", []),
        ("Call functions", []),
        ("answer solution", ["2"]),
        ("Out[1]:", ["1"]),
        ('NOT (a OR "b* NEAR', []),
        ("'; DROP TABLE texts; --", []),
        ('"', ["1", "2"]),
        ("\0", ["1", "2"]),
        ("", ["1", "2"]),
    ],
)
def test_episodes_are_found_by_what_was_said_in_them(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    append(tmp_path, reasoning_record(), calling_record())
    with Index.open(tmp_path) as index:
        assert [row.task_id for row in index.search(text)] == expected
        assert index.count({"success": True}, text=text) == len(expected)


def test_a_search_knows_the_newest_words_only(tmp_path: Path) -> None:
    append(tmp_path, reasoning_record(), calling_record())
    with Index.open(tmp_path, small=NEVER_SMALL) as index:
        assert keys(index, text="NameError") == ["2"]
        again = calling_record()
        again.messages[8]["content"] = "ZeroDivisionError"
        append(tmp_path, again)
        index.update()
        assert (keys(index, text="NameError"), keys(index, text="ZeroDivisionError")) == ([], ["2"])
        (tmp_path / EPISODES).write_bytes(encode(reasoning_record("3")) + b"\n")
        index.update()
        assert (keys(index, text="ZeroDivisionError"), keys(index, text="add")) == ([], ["3"])


def test_an_episode_that_is_not_there_is_refused(tmp_path: Path) -> None:
    append(tmp_path, make_record("1"))
    with Index.open(tmp_path) as index:
        (row,) = index.rows()
        with pytest.raises(RecordingError, match="holds no episode 'nobody'"):
            index.read("nobody")
        (tmp_path / EPISODES).write_bytes(b"\n" + encode(make_record("2")) + b"\n")
        with pytest.raises(RecordingError, match="holds no episode"):
            index.read(row.key)
        (tmp_path / EPISODES).unlink()
        with pytest.raises(RecordingError, match=EPISODES):
            index.update()


def _follow(folder: Path, found: "multiprocessing.Queue[int]") -> None:
    with Index.open(folder, small=NEVER_SMALL) as index:
        while (known := index.count()) < 400:
            index.update()
            assert index.count() >= known
        found.put(len({row.key for row in index.rows() if index.read(row.key).id == row.key}))


def test_two_processes_follow_a_run_that_is_being_written(tmp_path: Path) -> None:
    append(tmp_path, make_record("first"))
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[int] = context.Queue()
    readers = [context.Process(target=_follow, args=(tmp_path, found)) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(399):
        line = encode(make_record(str(number))) + b"\n"
        append(tmp_path, torn=line[:30])
        append(tmp_path, torn=line[30:])
    assert [found.get(timeout=60) for _ in readers] == [400, 400]
    for reader in readers:
        reader.join(60)
    with Index.open(tmp_path, small=NEVER_SMALL) as index:
        assert index.update() == 0


def test_threads_share_an_index(tmp_path: Path) -> None:
    append(tmp_path, *(make_record(str(number)) for number in range(50)))
    counted = []
    with Index.open(tmp_path, small=NEVER_SMALL) as index:

        def look() -> None:
            for row in index.rows(limit=20):
                index.read(row.key)
            index.update()
            counted.append(index.count(text="nothing") + index.count())

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        append(tmp_path, make_record("more"))
        for thread in threads:
            thread.join()
        index.update()
        assert set(counted) <= {50, 51} and len(counted) == 8 and index.count() == 51


def test_a_row_is_found_under_any_name_of_its_run(tmp_path: Path) -> None:
    append(tmp_path, make_record())
    for source in (tmp_path, str(tmp_path), tmp_path / EPISODES, os.path.relpath(tmp_path)):
        with Index.open(source) as index:
            assert keys(index) == ["0"]
    with pytest.raises(RecordingError, match="there is no such"):
        Index.open(tmp_path / "nothing")
