"""Lines of JSON Lines files: numbers, blank lines, endings, limits and archives."""

import gzip
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from codeact import datasets, jsonl
from codeact.datasets.preparing.raw import Raw
from codeact.exceptions import ConfigError, TaskFileError
from codeact.jsonl import End, Line, Unreadable, decoded_lines, read_lines
from codeact.sandboxes.cells import read_cells
from codeact.tools.search import open_search
from codeact.tools.settings import PageSearch


@pytest.mark.parametrize("name", ["some.jsonl", "some.jsonl.gz"])
def test_blank_lines_count_and_are_left_out(name: str, tmp_path: Path) -> None:
    content = b"a\n\n \t\r\n b\r\n\nc"
    file = tmp_path / name
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert list(read_lines(file)) == [
        Line(1, b"a", start=0),
        Line(4, b" b\r", start=7),
        Line(6, b"c", ended=False, start=12),
    ]


def test_only_a_newline_ends_a_line() -> None:
    """JSON may hold every other character at which `str.splitlines` splits."""
    odd = "\u2028\u2029\x85\x0b\x0c\x1c".encode()
    assert list(read_lines(io.BytesIO(odd + b"\n" + odd))) == [
        Line(1, odd),
        Line(2, odd, ended=False, start=len(odd) + 1),
    ]


def test_a_line_past_the_limit_is_not_held() -> None:
    lines = b"a\n" + b"b" * 5000 + b"\n" + b"c" * 100 + b"\n" + b"d" * 300
    found = list(read_lines(io.BytesIO(lines), longest=100))
    assert found == [
        Line(1, b"a"),
        Line(2, b"b" * 100, whole=False, start=2),
        Line(3, b"c" * 100, start=5003),
        Line(4, b"d" * 100, ended=False, whole=False, start=5104),
    ]


def test_a_line_past_the_limit_is_not_decoded(tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    file.write_bytes(b"[1]\n[1" + b" " * 100 + b"]\n[2]\n")
    found = list(decoded_lines(file, lambda line, _: json.loads(line), "list", longest=50))
    assert found[::2] == [[1], [2]]
    assert found[1] == Unreadable(
        jsonl.SourceLine(str(file), 2), "is no list: it is longer than 50 bytes"
    )


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_of_megabytes_is_read_in_linear_time(
    end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of 64 bytes: to copy what there is so far for each would move 130 GB."""
    monkeypatch.setattr(jsonl, "_PLAIN", 64)
    (tmp_path / "long.jsonl").write_bytes(b"x" * (4 << 20) + end)
    start = time.process_time()
    (found,) = read_lines(tmp_path / "long.jsonl")
    assert isinstance(found, Line)
    assert (found.number, len(found.content), found.ended) == (1, 4 << 20, bool(end))
    assert time.process_time() - start < 5


@pytest.mark.parametrize("padding", [0, 1, 512, 100_000])
def test_an_archive_of_several_parts_is_read_to_its_end(padding: int, tmp_path: Path) -> None:
    """Log rotation, `cat` and tape blocks make such files."""
    parts = [gzip.compress(b"%d\n" % number) + bytes(padding) for number in range(3)]
    file = tmp_path / "some.jsonl.gz"
    file.write_bytes(b"".join(parts))
    assert [line.content for line in read_lines(file) if isinstance(line, Line)] == [
        b"0",
        b"1",
        b"2",
    ]
    assert not any(isinstance(line, End) for line in read_lines(file))


def test_a_damaged_file_gives_what_it_has_and_says_where_it_ends(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b"%d\n" % number**9 for number in range(9000)))
    cut, damaged, plain = (tmp_path / f"{name}.gz" for name in ("cut", "damaged", "plain"))
    cut.write_bytes(whole[:-20])
    damaged.write_bytes(whole[:-8] + b"12345678")
    plain.write_bytes(b"{}\n")
    for file, least, reason in (
        (cut, 1000, "cut short"),
        (damaged, 0, "not a whole gzip file"),
        (plain, 0, "not a whole gzip file"),
    ):
        *lines, end = read_lines(file)
        assert len(lines) >= least
        assert isinstance(end, End)
        assert reason in end.reason
        assert end.number == len(lines) + 1
    for file, reason in ((tmp_path / "none", "is not there"), (tmp_path, "cannot be read")):
        (end,) = read_lines(file)
        assert isinstance(end, End)
        assert reason in end.reason
        assert str(jsonl.SourceLine(str(file), end.number)) == str(file)


def test_a_last_line_without_newline_counts_only_where_nobody_appends(tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    file.write_bytes(b"[1]\n[2]")
    assert len(list(decoded_lines(file, lambda line, _: json.loads(line), "list"))) == 2
    appended = decoded_lines(file, lambda line, _: json.loads(line), "list", appended=True)
    assert list(appended) == [[1]]


def test_every_block_of_the_file_is_seen_as_it_is_stored(tmp_path: Path) -> None:
    stored = gzip.compress(b"a\n" * 100_000)
    (tmp_path / "some.gz").write_bytes(stored)
    seen: list[bytes] = []
    assert len(list(read_lines(tmp_path / "some.gz", seen=seen.append))) == 100_000
    assert b"".join(seen) == stored


TASK = b'{"id": 1, "prompt": "1 + 1?\xe2\x80\xa8", "reference": "2"}\n'
PAGE = b'{"title": "a", "text": "b\xe2\x80\xa8"}\n'
CELL = b'{"session": "a", "code": "1\xe2\x80\xa8"}\n'


def tasks(file: Path) -> object:
    return datasets.load_tasks(datasets.get("gsm8k"), file)


def pages(file: Path) -> object:
    return open_search(PageSearch(path=str(file)))


def raw_rows(file: Path) -> object:
    return list(Raw(file, lambda where, why: None).lines(file))


@pytest.mark.parametrize(
    ("read", "line"),
    [(tasks, TASK), (pages, PAGE), (read_cells, CELL), (raw_rows, TASK)],
    ids=["tasks", "pages", "cells", "raw"],
)
def test_every_reader_takes_archives_and_says_where_a_broken_one_ends(
    read: Callable[[Path], object], line: bytes, tmp_path: Path
) -> None:
    """A separator of lines within a text ends no line, and no damage is a traceback."""
    file = tmp_path / "some.jsonl.gz"
    file.write_bytes(gzip.compress(line + b"\n\r\n"))
    assert read(file)
    refused = (ConfigError, TaskFileError)
    file.write_bytes(gzip.compress(line)[:-9])
    with pytest.raises(refused, match="not a whole gzip file"):
        read(file)
    file.write_bytes(b"no archive")
    with pytest.raises(refused, match="not a whole gzip file"):
        read(file)
    file.unlink()
    file.mkdir()
    with pytest.raises(refused, match="cannot be read"):
        read(file)
