"""Fetches raw files, only when asked to, and only what has the digest that it should have."""

import hashlib
import os
import urllib.request
from pathlib import Path

from codeact.edge.preparing.base import Preparer
from codeact.exceptions import ConfigError, TaskFileError

SUMS = "SHA256SUMS"
_SECONDS = 60.0
_BLOCK = 1 << 20


def download(preparer: Preparer, folder: Path) -> list[Path]:
    """Fetch a data set's raw files into `folder`; those that are there already stay.

    A file has to have the digest that the preparer states, or else the one that the folder's
    ``SHA256SUMS`` has kept from the first time; a digest seen for the first time is kept there.
    Raises `ConfigError` if the data set has no addresses, `TaskFileError` offline or if the digest
    differs.
    """
    if not preparer.downloads:
        raise ConfigError(
            f"{preparer.name} cannot be fetched for you; get {preparer.source} and give raw=FOLDER"
        )
    folder.mkdir(parents=True, exist_ok=True)
    known = {**_kept(folder), **preparer.sums}
    fetched = []
    for name, address in preparer.downloads.items():
        path = folder / name
        if not path.exists():
            _fetch(address, path, known.get(name))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if known.setdefault(name, digest) != digest:
            raise TaskFileError(
                f"{path} has the SHA-256 digest {digest}, but {known[name]} is known for it; "
                "remove it and fetch it again"
            )
        fetched.append(path)
    lines = [f"{digest}  {name}\n" for name, digest in sorted(known.items())]
    (folder / SUMS).write_text("".join(lines), "utf-8")
    return fetched


def _kept(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    if not path.is_file():
        return {}
    pairs = (line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines() if line)
    return {name: digest for digest, name in pairs}


def _fetch(address: str, path: Path, wanted: str | None) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with (
            urllib.request.urlopen(address, timeout=_SECONDS) as response,  # noqa: S310
            temporary.open("wb") as file,
        ):
            while block := response.read(_BLOCK):
                digest.update(block)
                file.write(block)
        if wanted is not None and digest.hexdigest() != wanted:
            raise TaskFileError(
                f"{address} gives a file with the SHA-256 digest {digest.hexdigest()}, but it "
                f"should be {wanted}: it has changed, or something on the way changes it"
            )
        temporary.replace(path)
    except OSError as error:
        raise TaskFileError(
            f"{address} cannot be fetched ({error}); offline, copy the file to {path} yourself"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
