"""Gets a data set's raw files, only on request: fetches, checks and unpacks what is not there."""

from pathlib import Path

from codeact.datasets.preparing.addresses import ADDRESSES, Address, Addresses, mirrored
from codeact.datasets.preparing.base import Preparer
from codeact.datasets.preparing.fetching import Tell, fetch
from codeact.datasets.preparing.unpacking import remove_unfinished, unpack
from codeact.exceptions import ConfigError, TaskFileError
from codeact.files import file_digest, replacing

SUMS = "SHA256SUMS"


def addresses_of(preparer: Preparer) -> Addresses:
    """Where a data set's raw files are published; raises `ConfigError` if that is not known."""
    own = {
        name: address if isinstance(address, Address) else Address(address)
        for name, address in preparer.downloads.items()
    }
    own = {
        name: address._replace(sha256=preparer.sums.get(name, address.sha256))
        for name, address in own.items()
    }
    if found := {**ADDRESSES.get(preparer.name, {}), **own}:
        return found
    raise ConfigError(
        f"{preparer.name} cannot be fetched for you; get {preparer.source} and give raw=FOLDER"
    )


def download(
    preparer: Preparer,
    folder: Path,
    tell: Tell,
    *,
    url: str | None = None,
    verify: bool = True,
) -> list[str]:
    """Fetch a data set's raw files into `folder`; those that are there already stay.

    `url` is a mirror. A file has to have the digest that is published, or else the one that the
    folder's ``SHA256SUMS`` has kept from the first time; a digest seen for the first time is kept
    there. Returns lines about files that could not be had and are not needed. Raises `ConfigError`
    if the data set has no addresses, `TaskFileError` offline, or if a file is not what it should be
    and `verify` is on.
    """
    addresses = addresses_of(preparer)
    if url is not None:
        addresses = mirrored(addresses, url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"raw={folder} cannot be a folder ({error.strerror})") from error
    raw = _RawFolder(folder, tell, verify=verify)
    notices = []
    try:
        for name, address in addresses.items():
            if notice := raw.get(name, address):
                notices.append(notice)
    finally:
        # What came stays known, also when a later file cannot be had.
        raw.keep_digests()
    return notices


class _RawFolder:
    """A data set's raw files, and the digests that are known of them."""

    def __init__(self, folder: Path, tell: Tell, *, verify: bool) -> None:
        self._folder = folder
        self._tell = tell
        self._verify = verify
        self._kept = _kept(folder)
        self._digests: dict[str, str] = {}

    def get(self, name: str, address: Address) -> str:
        """Bring one file to where it belongs; returns why it is not there, if it may lack."""
        path = self._folder / name
        mark = path.with_name(f".{path.name}.unpacked")
        unpacked = mark.read_text("utf-8").strip() if mark.is_file() else ""
        if address.archive and unpacked and not path.exists():
            return ""  # an archive that was removed once its files were there
        wanted = (address.sha256 or self._kept.get(name, "")) if self._verify else ""
        if path.exists():
            digest = file_digest(path)
        else:
            try:
                expected = address._replace(sha256=wanted)
                digest = fetch(expected, path, self._tell, verify=self._verify)
            except TaskFileError as error:
                if not address.gone:
                    raise
                return f"{error}. {address.gone}"
        if wanted and digest != wanted:
            raise TaskFileError(
                f"{path} has the SHA-256 digest {digest}, but {wanted} is known for it; "
                "remove it and fetch it again"
            )
        self._digests[name] = digest
        if address.archive and unpacked != digest:
            remove_unfinished(path.parent)
            unpack(path, path.parent)
            mark.write_text(f"{digest}\n", "utf-8")
        return ""

    def keep_digests(self) -> None:
        """Write the digests of what is there beside it."""
        if self._digests:
            known = sorted({**self._kept, **self._digests}.items())
            with replacing(self._folder / SUMS) as file:
                file.write("".join(f"{digest}  {name}\n" for name, digest in known).encode())


def _kept(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    if not path.is_file():
        return {}
    lines = path.read_text("utf-8", "replace").splitlines()
    found = {name: digest for digest, _, name in (line.partition("  ") for line in lines if line)}
    if "" in found:
        raise TaskFileError(f"{path} is no list of SHA-256 digests and names; remove it")
    return found
