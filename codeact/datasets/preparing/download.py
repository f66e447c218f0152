"""Downloads raw files, only on request, and checks their digests."""

import hashlib
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

from codeact.datasets.preparing.base import Preparer
from codeact.exceptions import ConfigError, TaskFileError
from codeact.files import file_digest, replacing

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"raw={folder} cannot be a folder ({error.strerror})") from error
    known = {**_kept(folder), **preparer.sums}
    fetched = []
    for name, address in preparer.downloads.items():
        path = folder / name
        if not path.exists():
            _fetch(address, path, known.get(name))
        digest = file_digest(path)
        if known.setdefault(name, digest) != digest:
            raise TaskFileError(
                f"{path} has the SHA-256 digest {digest}, but {known[name]} is known for it; "
                "remove it and fetch it again"
            )
        fetched.append(path)
    lines = [f"{digest}  {name}\n" for name, digest in sorted(known.items())]
    with replacing(folder / SUMS) as file:
        file.write("".join(lines).encode())
    return fetched


def _kept(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    if not path.is_file():
        return {}
    lines = path.read_text("utf-8", "replace").splitlines()
    found = {name: digest for digest, _, name in (line.partition("  ") for line in lines if line)}
    if "" in found:
        raise TaskFileError(f"{path} is no list of SHA-256 digests and names; remove it")
    return found


def _fetch(address: str, path: Path, wanted: str | None) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(address, timeout=_SECONDS) as response,  # noqa: S310
            replacing(path) as file,
        ):
            while block := response.read(_BLOCK):
                digest.update(block)
                size += file.write(block)
            stated = response.headers.get("Content-Length")
            # The standard library takes a body that ends too early for a whole one.
            if stated is not None and int(stated) != size:
                raise ConnectionError(
                    f"the connection ended after {size:,} of {int(stated):,} bytes"
                )
            if wanted is not None and digest.hexdigest() != wanted:
                raise TaskFileError(
                    f"{address} gives a file with the SHA-256 digest {digest.hexdigest()}, but it "
                    f"should be {wanted}: it has changed, or something on the way changes it"
                )
    except (OSError, HTTPException, ValueError) as error:
        reason = " ".join(str(error.reason if type(error) is URLError else error).split())
        raise TaskFileError(
            f"{address} cannot be fetched ({reason}); offline, copy the file to {path} yourself"
        ) from error
