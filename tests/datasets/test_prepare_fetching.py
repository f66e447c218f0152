"""``codeact prepare`` from a hub and with download=true: what comes, and what comes in part."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.datasets.preparing.download import SUMS
from tests.helpers.fake_hub import COMMIT, fake_hub

pytest_plugins = ["tests.helpers.plugin_packages"]

GOOD = {"question": "How many?", "answer": "Two and two. #### 1,004"}
CONTENT = "".join(json.dumps({**GOOD, "question": f"{n}?"}) + "\n" for n in range(50)).encode()
Install = Callable[..., None]
Fetch = Callable[..., int]
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def hub_prepare(raw: str, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: the library reads its environment when imported."""
    return subprocess.run(
        [sys.executable, "-m", "codeact", "prepare", "task=gsm8k", f"raw=hub:{raw}", f"out={out}"],
        env={**os.environ, "HF_HOME": str(out.parent / "home"), **environment},
        cwd=out.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """A data set as hubs have it: parquet files of two configurations, named in a card."""
    import pandas

    for config, answer in (("main", "#### 4"), ("socratic", "#### 5")):
        (tmp_path / "gsm" / config).mkdir(parents=True)
        rows = pandas.DataFrame(
            [GOOD, {"question": "How?", "answer": answer}, {**GOOD, "answer": ""}]
        )
        rows.to_parquet(tmp_path / "gsm" / config / "test-00000-of-00001.parquet")
    files = "- config_name: {0}\n  data_files:\n  - split: test\n    path: {0}/test-*.parquet\n"
    configs = files.format("main") + files.format("socratic")
    (tmp_path / "gsm" / "README.md").write_text(
        f"---\nlicense: mit\nconfigs:\n{configs}---\n# Gsm\n"
    )
    return tmp_path / "gsm"


def test_a_hub_is_read_by_the_datasets_library(hub_folder: Path) -> None:
    out = hub_folder.parent / "out"
    done = hub_prepare("gsm:socratic", out, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert "left out: hub:gsm, test, row 3: field 'answer' has no ####" in done.stderr
    rows = [json.loads(line) for line in (out / "gsm8k.jsonl").read_text().splitlines()]
    assert [row["reference"] for row in rows] == ["1004", "5"]
    assert json.loads((out / "gsm8k.card.json").read_bytes())["raw"] == "hub:gsm:socratic, test"


@pytest.mark.parametrize(
    ("raw", "environment", "told"),
    [
        ("gsm", {"HF_HUB_OFFLINE": "1"}, "['main', 'socratic']"),
        ("someone/gsm", {"HF_HUB_OFFLINE": "1"}, "offline mode is enabled"),
        ("someone/gsm", {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}, "refused"),
    ],
)
def test_a_hub_that_cannot_be_read_is_told_at_once(
    hub_folder: Path, raw: str, environment: dict[str, str], told: str
) -> None:
    done = hub_prepare(raw, hub_folder.parent / "out", **environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()  # nothing of tries, or of a traceback
    for words in (f"raw=hub:{raw}, split test, cannot be read", told, "folder of the raw files"):
        assert words in line
    assert not any((hub_folder.parent / "out").glob("*"))


def test_what_a_hub_gives_is_pinned_to_its_commit(hub_folder: Path) -> None:
    out = hub_folder.parent / "out"
    with fake_hub("me/gsm", hub_folder) as address:
        known = hub_prepare("me/gsm:main", out, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")
        unknown = hub_prepare("me/none", out, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")
    assert known.returncode == 0, known.stderr
    card = json.loads((out / "gsm8k.card.json").read_bytes())
    assert card["raw"] == f"hub:me/gsm:main, test, commit {COMMIT}"
    assert card["files"]["gsm8k.jsonl"]["rows"] == 2
    assert unknown.returncode == 1
    (line,) = unknown.stderr.splitlines()
    assert "RepositoryNotFoundError" in line


class Handler(BaseHTTPRequestHandler):
    """Answers by path, with faults."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        getattr(self, self.path.strip("/"))()
        self.close_connection = True

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def whole(self) -> None:
        self.head(200, Content_Length=len(CONTENT))
        self.wfile.write(CONTENT)

    def chunked(self) -> None:
        self.head(200, Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(CONTENT), CONTENT))

    def moved(self) -> None:
        self.head(302, Location="/whole", Content_Length=0)

    def absent(self) -> None:
        self.send_error(404)

    def cut(self) -> None:
        self.head(200, Content_Length=len(CONTENT))
        self.wfile.write(CONTENT[:100])

    def cut_chunk(self) -> None:
        self.head(200, Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%b" % (len(CONTENT), CONTENT[:100]))

    def no_http(self) -> None:
        self.wfile.write(b"220 this is a mail server\r\n")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def fetch(install: Install, tmp_path: Path) -> Fetch:
    """Run the command for a data set of a plug-in's, with its one file at an address."""

    def run(address: str, wanted: str | None = None, *, again: bool = False) -> int:
        sums = {} if wanted is None else {"train.jsonl": wanted}
        if not again:
            install(
                "codeact.preparers",
                "from dataclasses import replace\n"
                "from codeact.datasets.gsm8k.prepare import PREPARER\n"
                "PART = replace(PREPARER, name='mine', sums="
                f"{sums!r}, downloads={{'train.jsonl': {address!r}}})\n",
            )
        raw, out = tmp_path / "raw", tmp_path / "out"
        return main(["prepare", "task=mine", f"raw={raw}", f"out={out}", "download=true"])

    return run


@pytest.mark.parametrize("path", ["whole", "chunked", "moved"])
@pytest.mark.parametrize("wanted", [DIGEST, None])
def test_a_whole_file_is_fetched_and_prepared(
    server: str, fetch: Fetch, tmp_path: Path, path: str, wanted: str | None
) -> None:
    assert fetch(f"{server}/{path}", wanted) == 0
    assert (tmp_path / "raw" / "train.jsonl").read_bytes() == CONTENT
    assert (tmp_path / "raw" / SUMS).read_text() == f"{DIGEST}  train.jsonl\n"
    card = json.loads((tmp_path / "out" / "mine.card.json").read_bytes())
    assert card["raw_sha256"] == {"train.jsonl": DIGEST}
    assert card["files"]["gsm8k.jsonl"]["rows"] == 50


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("absent", "HTTP Error 404"),
        ("cut", f"the connection ended after 100 of {len(CONTENT):,} bytes"),
        ("cut_chunk", "IncompleteRead"),
        ("no_http", "mail server"),
    ],
)
def test_what_does_not_come_whole_leaves_nothing_behind(  # noqa: PLR0917
    server: str,
    fetch: Fetch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    path: str,
    told: str,
) -> None:
    assert fetch(f"{server}/{path}") == 1
    (line,) = capsys.readouterr().err.splitlines()
    for words in (f"{server}/{path} cannot be fetched", told, str(tmp_path / "raw/train.jsonl")):
        assert words in line
    assert list((tmp_path / "raw").iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_a_wrong_digest_leaves_nothing_behind(
    server: str, fetch: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = "0" * 64
    assert fetch(f"{server}/whole", wanted) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"digest {DIGEST}" in line
    assert f"should be {wanted}" in line
    assert list((tmp_path / "raw").iterdir()) == []


def test_a_server_that_is_not_there_is_told(
    fetch: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert fetch(f"http://127.0.0.1:{port}/whole") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "Connection refused); offline, copy the file to" in line
    assert list((tmp_path / "raw").iterdir()) == []


def test_a_file_that_has_changed_since_is_refused(
    server: str, fetch: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(f"{server}/whole") == 0
    (tmp_path / "raw" / "train.jsonl").write_bytes(b"other")
    assert fetch("", again=True) == 1
    said = capsys.readouterr().err
    other = hashlib.sha256(b"other").hexdigest()
    assert f"digest {other}, but {DIGEST} is known" in said
    (tmp_path / "raw" / SUMS).write_text("torn")
    assert fetch("", again=True) == 1
    assert "is no list of SHA-256 digests" in capsys.readouterr().err


def test_a_folder_that_cannot_be_is_told(
    server: str, fetch: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").write_text("a file")
    assert fetch(f"{server}/whole") == 1
    assert "cannot be a folder" in capsys.readouterr().err
