"""``codeact prepare download=true``: whole files, files in pieces, and what is refused."""

import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.datasets.preparing import fetching, get, names
from codeact.datasets.preparing.addresses import ADDRESSES, Address, mirrored
from codeact.datasets.preparing.download import SUMS, addresses_of
from codeact.exceptions import ConfigError, TaskFileError
from tests.helpers.file_server import FileServer, Served, file_server

GOOD = {"question": "How many?", "answer": "Two and two. #### 1,004"}
CONTENT = "".join(json.dumps({**GOOD, "question": f"{n}?"}) + "\n" for n in range(50)).encode()
SIZE = len(CONTENT)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server({"train.jsonl": Served(CONTENT)}) as running:
        yield running


def fetch(server: FileServer, folder: Path, sha256: str = DIGEST, size: int | None = SIZE) -> str:
    address = Address(f"{server.address}/train.jsonl", sha256, size)
    return fetching.fetch(address, folder / "train.jsonl", lambda *_: None)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_is_fetched_with_its_digest(server: FileServer, tmp_path: Path) -> None:
    assert fetch(server, tmp_path) == DIGEST
    assert (tmp_path / "train.jsonl").read_bytes() == CONTENT
    assert left(tmp_path) == ["train.jsonl"]


def test_what_a_broken_connection_left_is_gone_on_with(server: FileServer, tmp_path: Path) -> None:
    server.files["train.jsonl"].cuts = [100, 200]
    assert fetch(server, tmp_path) == DIGEST
    assert server.ranges == [None, "bytes=100-", "bytes=300-"]
    assert [headers.get("If-Range") for _, headers in server.seen] == [None, '"1"', '"1"']


def test_a_later_command_goes_on_after_what_is_kept(server: FileServer, tmp_path: Path) -> None:
    served = server.files["train.jsonl"]
    served.cuts, served.statuses = [100], [200, 404]
    with pytest.raises(TaskFileError, match=r"HTTP 404.*100 bytes of it are kept"):
        fetch(server, tmp_path)
    assert left(tmp_path) == [".train.jsonl.part", ".train.jsonl.part.json"]
    assert fetch(server, tmp_path) == DIGEST
    assert server.ranges[-1] == "bytes=100-"
    assert left(tmp_path) == ["train.jsonl"]


def test_a_file_that_was_whole_when_the_command_was_killed_is_not_fetched_again(
    server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / ".train.jsonl.part").write_bytes(CONTENT)
    assert fetch(server, tmp_path) == DIGEST
    assert server.ranges == [f"bytes={SIZE}-"]
    assert left(tmp_path) == ["train.jsonl"]


def test_a_server_without_ranges_sends_it_anew(server: FileServer, tmp_path: Path) -> None:
    served = server.files["train.jsonl"]
    served.ranges, served.cuts = False, [300, 100]
    assert fetch(server, tmp_path) == DIGEST
    assert (tmp_path / "train.jsonl").read_bytes() == CONTENT


@pytest.mark.parametrize("version", ['"2"', ""])
def test_a_file_that_changed_between_its_pieces_is_fetched_in_one(
    server: FileServer, tmp_path: Path, version: str
) -> None:
    """With a version the server says so; without, the digest does."""
    (tmp_path / ".train.jsonl.part").write_bytes(b"x" * 100)
    note = {"url": f"{server.address}/train.jsonl", "version": '"1"'}
    (tmp_path / ".train.jsonl.part.json").write_text(json.dumps(note if version else {}))
    server.files["train.jsonl"].version = version
    assert fetch(server, tmp_path) == DIGEST
    assert server.ranges == ["bytes=100-", None][: 1 if version else 2]


def test_a_server_that_is_busy_is_asked_again(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(fetching.time, "sleep", slept.append)
    served = server.files["train.jsonl"]
    served.statuses, served.headers = [503, 429], {"Retry-After": "7"}
    assert fetch(server, tmp_path) == DIGEST
    assert slept == [7.0, 7.0]


def test_a_server_that_always_breaks_off_is_given_up(server: FileServer, tmp_path: Path) -> None:
    served = server.files["train.jsonl"]
    served.ranges, served.cuts = False, [100, 50] * 20
    with pytest.raises(TaskFileError, match="cannot be fetched"):
        fetch(server, tmp_path)
    assert len(server.seen) == 5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sha256": "0" * 64}, f"digest {DIGEST}, but it should be {'0' * 64}"),
        ({"size": SIZE + 1}, f"a file of {SIZE:,} bytes, but it should have {SIZE + 1:,}"),
    ],
)
def test_another_file_than_the_published_one_is_refused_and_not_kept(
    server: FileServer, tmp_path: Path, changes: dict[str, str], told: str
) -> None:
    with pytest.raises(TaskFileError, match=told):
        fetch(server, tmp_path, **changes)  # type: ignore[arg-type]
    assert left(tmp_path) == []
    address = Address(f"{server.address}/train.jsonl", "0" * 64, SIZE + 1)
    path = tmp_path / "train.jsonl"
    assert fetching.fetch(address, path, lambda *_: None, verify=False) == DIGEST


def test_a_stream_without_an_end_is_cut_off(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_MOST", 1000)
    server.files["train.jsonl"].length = False
    with pytest.raises(TaskFileError, match="longer than 1,000 bytes"):
        fetch(server, tmp_path, size=None)
    assert left(tmp_path) == []


def test_a_web_page_is_no_file(server: FileServer, tmp_path: Path) -> None:
    server.files["train.jsonl"].headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(TaskFileError, match="a web page came in place of the file"):
        fetch(server, tmp_path)
    assert left(tmp_path) == []


def test_two_processes_do_not_fetch_one_file(server: FileServer, tmp_path: Path) -> None:
    holder = "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.flock(f, 2); print('held', "
    holder += "flush=True); sys.stdin.read()"
    part = tmp_path / ".train.jsonl.part"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(part)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(TaskFileError, match="another process is fetching it"):
            fetch(server, tmp_path)
        other.communicate()
    assert fetch(server, tmp_path) == DIGEST


def test_a_proxy_of_the_environment_is_used(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    address = Address("http://data.invalid/train.jsonl", DIGEST)
    assert fetching.fetch(address, tmp_path / "f", lambda *_: None) == DIGEST
    assert server.seen[0][1]["Host"] == "data.invalid"


def test_how_far_it_has_come_is_told(server: FileServer, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    address = Address(f"{server.address}/train.jsonl")
    fetching.fetch(address, tmp_path / "f", lambda *how: told.append(how))
    assert told[-1] == ("f", SIZE, SIZE)


# -- the command


def words(server: FileServer, folder: Path, *more: str) -> list[str]:
    """GSM8K, whose test file is served; its published digest is another one."""
    places = [f"raw={folder / 'raw'}", f"out={folder / 'out'}"]
    mirror = f"url={server.address}/train.jsonl"
    return ["prepare", "task=gsm8k", *places, "download=true", mirror, *more]


def test_a_mirror_has_to_have_the_published_file(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(server, tmp_path)) == 1
    published = ADDRESSES["gsm8k"]["test.jsonl"].sha256
    assert f"digest {DIGEST}, but it should be {published}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(words(server, tmp_path, "verify=false")) == 0
    said = capsys.readouterr()
    assert "test.jsonl: 0.0 MB" in said.err
    assert (tmp_path / "raw" / SUMS).read_text() == f"{DIGEST}  test.jsonl\n"
    card = json.loads((tmp_path / "out" / "gsm8k.card.json").read_bytes())
    assert card["raw_sha256"] == {"test.jsonl": DIGEST}
    assert card["files"]["gsm8k.jsonl"]["rows"] == 50


def test_what_is_there_is_not_fetched_again_and_must_not_have_changed(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(server, tmp_path, "verify=false")) == 0
    assert main(words(server, tmp_path, "verify=false")) == 0
    assert len(server.seen) == 1
    assert main(words(server, tmp_path)) == 1
    assert "is known for it; remove it and fetch it again" in capsys.readouterr().err
    (tmp_path / "raw" / SUMS).write_text("torn")
    assert main(words(server, tmp_path)) == 1
    assert "is no list of SHA-256 digests" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["url=ftp://host/file"], "url=ftp://host/file is no address"),
        (["raw=hub:gsm8k"], "give raw=FOLDER for them, not a hub"),
        (["download=false"], "where download=true fetches from"),
    ],
)
def test_what_makes_no_sense_is_refused(
    server: FileServer,
    tmp_path: Path,
    more: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(words(server, tmp_path, *more)) == 1
    assert told in capsys.readouterr().err
    assert server.seen == []


def test_offline_it_is_told_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = FileServer({})
        gone.address = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert main(words(gone, tmp_path)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    for word in (
        "Connection refused",
        "url=ADDRESS",
        f"copy the file to {tmp_path}/raw/test.jsonl",
    ):
        assert word in line
    assert left(tmp_path / "raw") == []


def test_a_folder_that_cannot_be_is_told(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").write_text("a file")
    assert main(words(server, tmp_path)) == 1
    assert "cannot be a folder" in capsys.readouterr().err


# -- addresses


def test_every_data_set_has_published_addresses() -> None:
    assert set(ADDRESSES) == {*names(), "alfworld"}
    for files in ADDRESSES.values():
        for name, address in files.items():
            assert address.url.startswith(("https://", "http://curtis.ml.cmu.edu/"))
            assert not name.startswith("/") and ".." not in name
            assert address.sha256 == "" or len(bytes.fromhex(address.sha256)) == 32
            assert address.archive == name.endswith((".zip", ".tar"))


def test_a_data_set_of_ones_own_may_have_addresses_or_none() -> None:
    mine = replace(get("gsm8k"), name="mine")
    with pytest.raises(ConfigError, match="mine cannot be fetched for you; get openai"):
        addresses_of(mine)
    mine = replace(mine, downloads={"a": "https://h/a", "b": Address("https://h/b", size=3)})
    assert addresses_of(replace(mine, sums={"a": "0" * 64})) == {
        "a": Address("https://h/a", "0" * 64),
        "b": Address("https://h/b", size=3),
    }


def test_a_mirror_is_a_folder_or_one_of_the_files() -> None:
    two = {"a/x.json": Address("https://p/one.json"), "y.tar": Address("https://p/y.tar", gone="!")}
    folder = mirrored(two, "http://m/d/")
    assert {name: one.url for name, one in folder.items()} == {
        "a/x.json": "http://m/d/a/x.json",
        "y.tar": "http://m/d/y.tar",
    }
    assert folder["y.tar"].gone == "!"
    file = mirrored(two, "http://m/d/y.tar?token=1")
    assert (file["a/x.json"].url, file["y.tar"].url) == (
        "https://p/one.json",
        "http://m/d/y.tar?token=1",
    )
    assert file["y.tar"].gone == ""
    assert mirrored(two, "http://m/one.json")["a/x.json"].url == "http://m/one.json"
    one = {"a/x.json": Address("https://p/one.json")}
    assert mirrored(one, "http://m/other.jsonl")["a/x.json"].url == "http://m/other.jsonl"
    with pytest.raises(ConfigError, match="is no address"):
        mirrored(two, "m/d")
