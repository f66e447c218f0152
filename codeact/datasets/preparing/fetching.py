"""Fetches one file over HTTP; what a connection that broke has left is gone on with.

By requests, which the environment's proxies reach; of pooch, the usual library for this, no release
resumes. A file appears under its name when it is whole; until then it is ``.NAME.part`` beside it.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from codeact import web
from codeact.datasets.preparing.addresses import Address
from codeact.exceptions import TaskFileError
from codeact.files import file_digest, replacing

if TYPE_CHECKING:
    from requests import Response

Tell = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes of it that are there, and its size (None: unknown)."""

_CONNECT, _SILENT = 10.0, 60.0
"""Seconds to connect, and without a byte."""
_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before another attempt, as long as no attempt brings anything."""
_LONGEST_PAUSE = 60.0
_BLOCK = 1 << 18
_MOST = 16 << 30
"""Bytes of a file whose size is not known."""
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class _Broken(Exception):
    """An attempt ended early; another one may bring the rest.

    `busy` says that the server is there and wants to be asked later, `wait` how much later.
    """

    def __init__(self, reason: str, *, busy: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.busy = busy
        self.wait = wait


def fetch(address: Address, path: Path, tell: Tell, *, verify: bool = True) -> str:
    """Fetch a file to `path` and return its SHA-256; raises `TaskFileError`.

    With `verify` it has to have the size and the digest that the address states. The bytes of an
    attempt that broke off stay, and the next call goes on after them.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part) as file:
            went_on = _load(address, file, part, path.name, tell, verify=verify)
            digest = file_digest(part)
            if went_on and verify and _differs(address, digest):
                # The pieces may be of two files: it is fetched once more, in one piece.
                _empty(file)
                _load(address, file, part, path.name, tell, verify=verify)
                digest = file_digest(part)
            if verify and _differs(address, digest):
                _forget(part)
                raise TaskFileError(
                    f"{address.url} gives a file with the SHA-256 digest {digest}, but it should "
                    f"be {address.sha256}: it has changed, or something on the way changes it; "
                    "verify=false takes it all the same"
                )
            os.fsync(file.fileno())
            part.replace(path)
            _forget(part)
    except OSError as error:
        raise TaskFileError(f"{path} cannot be written ({error.strerror or error})") from error
    return digest


def _differs(address: Address, digest: str) -> bool:
    return bool(address.sha256) and digest != address.sha256


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """Open what is there of a file, for this process alone; nothing is left of an empty one."""
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TaskFileError(f"{part}: another process is fetching it; wait for it") from error
        try:
            yield file
        finally:
            if part.exists() and part.stat().st_size == 0:
                _forget(part)


def _empty(file: IO[bytes]) -> None:
    file.truncate(0)
    file.seek(0, os.SEEK_END)


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _note(part: Path) -> Path:
    """The file that says what a part is of: its address, and the server's word for its version."""
    return part.with_name(f"{part.name}.json")


def _load(
    address: Address, file: IO[bytes], part: Path, name: str, tell: Tell, *, verify: bool
) -> bool:
    """Bring a part to its end; returns whether it was not fetched in one piece."""
    most = file.seek(0, os.SEEK_END)
    went_on, idle = most > 0, 0
    while True:
        try:
            _attempt(address, file, part, name, tell, verify=verify)
        except _Broken as broken:
            kept = file.seek(0, os.SEEK_END)
            idle = 0 if kept > most else idle + 1
            most = max(most, kept)
            if idle > len(_PAUSES) or not (most or broken.busy):
                raise _given_up(address, part, kept, str(broken)) from broken
            went_on = most > 0
            if idle:
                pause = _PAUSES[idle - 1] if broken.wait is None else broken.wait
                time.sleep(min(_LONGEST_PAUSE, pause))
        else:
            return went_on


def _given_up(address: Address, part: Path, kept: int, reason: str) -> TaskFileError:
    path = part.with_name(part.name.removeprefix(".").removesuffix(".part"))
    rest = f"; {kept:,} bytes of it are kept, and the same command goes on after them"
    return TaskFileError(
        f"{address.url} cannot be fetched ({reason}){rest if kept else ''}; give url=ADDRESS of a "
        f"mirror, or, offline, copy the file to {path} yourself"
    )


def _attempt(
    address: Address, file: IO[bytes], part: Path, name: str, tell: Tell, *, verify: bool
) -> None:
    """Send one request for what is missing; raises `_Broken` if that does not bring all of it."""
    import requests
    import urllib3

    start = file.tell()
    with requests.Session() as session:
        session.trust_env = not web.is_loopback(address.url)
        try:
            with session.get(
                address.url,
                headers=_headers(address, part, start),
                stream=True,
                timeout=(_CONNECT, _SILENT),
            ) as response:
                if _is_whole(response, start):
                    return
                total = _begin(address, response, file, part, verify=verify)
                most = _MOST if total is None else total
                for block in response.raw.stream(_BLOCK, decode_content=False):
                    file.write(block)
                    tell(name, file.tell(), total)
                    if file.tell() > most:
                        _empty(file)
                        raise _given_up(address, part, 0, f"it is longer than {most:,} bytes")
        # What urllib3 raises in the middle of a body is not always wrapped by requests.
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Broken(_words(error)) from error
        finally:
            file.flush()
    if total is not None and file.tell() < total:
        raise _Broken(f"the connection ended after {file.tell():,} of {total:,} bytes")


def _words(error: Exception) -> str:
    """What went wrong, without the layers that it came through."""
    import urllib3

    inner: object = error
    while isinstance(inner, Exception) and inner.args and isinstance(inner.args[-1], Exception):
        inner = inner.args[-1]
    if isinstance(inner, urllib3.exceptions.MaxRetryError) and inner.reason is not None:
        inner = inner.reason
    return " ".join(str(inner).split())[:300] or type(error).__name__


def _headers(address: Address, part: Path, start: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": "codeact"}
    if start:
        headers["Range"] = f"bytes={start}-"
        try:
            note = json.loads(_note(part).read_text("utf-8"))
        except (OSError, ValueError):
            return headers
        if note.get("url") == address.url and note.get("version"):
            headers["If-Range"] = note["version"]
    return headers


def _is_whole(response: "Response", there: int) -> bool:
    """Whether a server refuses to go on after what is there, because that is all."""
    whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    return response.status_code == 416 and whole == str(there)


def _begin(
    address: Address, response: "Response", file: IO[bytes], part: Path, *, verify: bool
) -> int | None:
    """Look at the head of a response and bring the part to where its body goes on.

    Returns the size of the whole file, None if the server does not say.
    """
    status, start = response.status_code, file.tell()
    if status == 416:
        _empty(file)
        raise _Broken("the server has less of it than is there; it is fetched from its beginning")
    if status in _PASSING:
        wait = web.retry_after(response.headers)
        raise _Broken(f"HTTP {status} {response.reason}", busy=True, wait=wait)
    if status not in (200, 206):
        raise _given_up(address, part, start, f"HTTP {status} {response.reason}")
    kind = response.headers.get("Content-Type", "")
    if kind.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
        raise _given_up(address, part, start, "a web page came in place of the file")
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    if status == 206:
        first, _, whole = response.headers.get("Content-Range", "").partition("/")
        if first.partition("-")[0].strip() != f"bytes {start}":
            _empty(file)
            raise _Broken("the server sends another part of it than was asked for")
        total = int(whole) if whole.isdecimal() else None if total is None else start + total
    elif start:
        _empty(file)
    if verify and total is not None and address.size is not None and total != address.size:
        _empty(file)
        raise TaskFileError(
            f"{address.url} is a file of {total:,} bytes, but it should have {address.size:,}: it "
            "has changed, or this is another one; verify=false takes it all the same"
        )
    version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    with replacing(_note(part)) as note:
        # A weak tag says that two files mean the same, not that they have the same bytes.
        strong = "" if version.startswith("W/") else version
        note.write(json.dumps({"url": address.url, "version": strong}).encode())
    return total
