"""Unpacks a raw archive, tar (compressed or not) or zip: all of it, or nothing.

An archive is not trusted. Refused are members other than files and folders, names that lead
outside, and names that occur twice. The number of files and bytes is bounded.
"""

import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from codeact.exceptions import TaskFileError

MOST_BYTES, MOST_FILES = 8 << 30, 500_000
_BLOCK = 1 << 20


class _Member(NamedTuple):
    """One entry: its name as it stands, and what is read of it; None for a folder."""

    name: str
    content: IO[bytes] | None


def unpack(archive: Path, folder: Path) -> int:
    """Unpack into `folder`, beside what is there, and return the number of files.

    Raises `TaskFileError`; then nothing has been unpacked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
            files = _written(archive, Path(temporary))
            for name in files:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                (Path(temporary) / name).replace(target)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError) as error:
        raise TaskFileError(
            f"{archive} is no whole archive ({error}); remove it and fetch it again"
        ) from error
    except NotImplementedError as error:
        raise TaskFileError(f"{archive} cannot be unpacked: {error}") from error
    except OSError as error:
        raise TaskFileError(f"{archive} cannot be unpacked to {folder}: {error}") from error
    return len(files)


def _written(archive: Path, folder: Path) -> dict[PurePosixPath, None]:
    """Write every member below `folder`, and return the names of the files in their order."""
    files: dict[PurePosixPath, None] = {}
    room = MOST_BYTES
    with ExitStack() as stack:
        for member in _members(archive, stack):
            name = _inside(archive, member.name)
            if member.content is None:
                continue
            if name in files:
                raise _refused(archive, member.name, "is there twice")
            files[name] = None
            if len(files) > MOST_FILES:
                raise _refused(archive, member.name, f"is one file more than {MOST_FILES:,}")
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                while block := member.content.read(min(_BLOCK, room + 1)):
                    room -= len(block)
                    if room < 0:
                        why = f"goes beyond {MOST_BYTES:,} bytes in all"
                        raise _refused(archive, member.name, why)
                    file.write(block)
    if not files:
        raise TaskFileError(f"{archive} is an archive without a file; remove it and fetch it again")
    return files


def _inside(archive: Path, name: str) -> PurePosixPath:
    """A member's path below the folder; refuses one that leads elsewhere, on any system."""
    path = PurePosixPath(name)
    unfit = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    if unfit or ":" in (path.parts[0] if path.parts else ""):
        raise _refused(archive, name, "leads outside of the folder")
    return path


def _members(archive: Path, stack: ExitStack) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        yield from _of_zip(archive, stack.enter_context(zipfile.ZipFile(archive)))
    else:
        opened = stack.enter_context(tarfile.open(archive, "r|*"))  # noqa: SIM115
        yield from _of_tar(archive, opened)


def _of_zip(archive: Path, opened: zipfile.ZipFile) -> Iterator[_Member]:
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, info.filename, "is a link or a device")
        if info.flag_bits & 1:
            raise _refused(archive, info.filename, "is encrypted")
        if info.is_dir():
            yield _Member(info.filename, None)
        else:
            with opened.open(info) as content:
                yield _Member(info.filename, content)


def _of_tar(archive: Path, opened: tarfile.TarFile) -> Iterator[_Member]:
    for info in opened:
        if not (info.isreg() or info.isdir()):
            raise _refused(archive, info.name, "is a link or a device")
        yield _Member(info.name, opened.extractfile(info) if info.isreg() else None)


def _refused(archive: Path, name: str, why: str) -> TaskFileError:
    return TaskFileError(
        f"{archive}: its member {name[:200]!r} {why}; nothing of it has been unpacked"
    )


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes have left of an archive."""
    for left in folder.glob(".unpacking-*"):
        shutil.rmtree(left, ignore_errors=True)
