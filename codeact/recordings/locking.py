"""Lets one process at a time write a run folder: by a kernel lock, or by a lock file.

The file names its owner in both cases, so that a refusal can say who writes the run.
"""

import errno
import fcntl
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

import msgspec

from codeact.exceptions import RunFolderError
from codeact.files import PRIVATE_FILE, replacing
from codeact.processes import boot_id, exists, pid_namespace, started_at

LOCK = "lock.json"
_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)

Keeper = Literal["flock", "file"]


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The process that writes a run, described so that no later one is mistaken for it.

    `boot`, `namespace` and `started` are the kernel's: of the machine, of the pids, of the process.
    `keeper` says whether the kernel keeps the lock, or this file is the lock itself.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str
    since: str
    keeper: Keeper

    @classmethod
    def here(cls, keeper: Keeper) -> Self:
        """Describe the process that runs this."""
        return cls(
            host=socket.gethostname(),
            boot=boot_id(),
            namespace=pid_namespace(),
            pid=os.getpid(),
            started=started_at(os.getpid()),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            keeper=keeper,
        )

    @property
    def is_dead(self) -> bool | None:
        """Whether the owner has ended; None if it ran on another machine or container."""
        if self.host != socket.gethostname():
            return None
        if self.boot != boot_id():
            return True
        if self.namespace != pid_namespace():
            return None
        if not self.started:
            return not exists(self.pid)
        return started_at(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class Lock:
    """A run folder's lock, held until `release`; `notice` is what the user should know of it."""

    def __init__(self, path: Path, owner: Owner, notice: str | None) -> None:
        self.notice = notice
        self._path = path
        self._owner = owner

    @classmethod
    def taken(cls, folder: Path, file: int) -> Self:
        """Take the lock of a folder, by a `file` that is open in it; raises `RunFolderError`."""
        path = folder / LOCK
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refusal(folder, _read(path)) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise RunFolderError(f"{folder}: cannot be locked ({error.strerror})") from error
            return cls._by_file(folder, error.strerror or "not supported")
        holder = _read(path)
        if holder is not None and holder.keeper == "file" and holder.is_dead is not True:
            raise _refusal(folder, holder)
        owner = Owner.here("flock")
        # The kernel keeps this lock: the file only says whose it is, and can be missing.
        with suppress(OSError), replacing(path, private=True) as stream:
            stream.write(_encoded(owner))
        return cls(path, owner, None)

    @classmethod
    def _by_file(cls, folder: Path, why: str) -> Self:
        path, owner = folder / LOCK, Owner.here("file")
        notice = (
            f"{folder}: its file system has no locks ({why}), so {LOCK} in it says who writes the "
            "run; do not give the folder to two commands at once on different machines"
        )
        if not _create(path, owner):
            holder = _read(path)
            if holder is None or holder.is_dead is not True:
                raise _refusal(folder, holder)
            if not _removed(path, holder) or not _create(path, owner):
                raise _refusal(folder, _read(path))
            notice += f". The lock of {holder}, which has ended, was taken over"
        return cls(path, owner, notice)

    def release(self) -> None:
        """Release the lock. For a kernel lock, close the open file, too."""
        with suppress(OSError):
            if _read(self._path) == self._owner:
                self._path.unlink()


def is_written(folder: Path) -> bool:
    """Whether a process that may be alive is writing a run folder just now."""
    owner = _read(folder / LOCK)
    return owner is not None and owner.is_dead is not True


def _refusal(folder: Path, holder: Owner | None) -> RunFolderError:
    who = "another codeact" if holder is None else f"another codeact ({holder})"
    words = f"{folder}: {who} is writing this run; wait for it, or choose another run_dir"
    if holder is None or holder.keeper == "file":
        words += f". If that one has ended, remove {folder / LOCK}"
    return RunFolderError(words)


def _create(path: Path, owner: Owner) -> bool:
    """Write a lock file where there is none; raises `RunFolderError` where that is impossible."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    except FileExistsError:
        return False
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written ({error.strerror})") from error
    with os.fdopen(file, "wb") as stream:
        stream.write(_encoded(owner))
    return True


def _removed(path: Path, dead: Owner) -> bool:
    """Remove the file of a dead owner, and no other that has come in its place meanwhile."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.rename(aside)
    except OSError:
        return False
    if _read(aside) == dead:
        aside.unlink()
        return True
    with suppress(OSError):
        os.link(aside, path)
    aside.unlink(missing_ok=True)
    return False


def _read(path: Path) -> Owner | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _encoded(owner: Owner) -> bytes:
    return msgspec.json.format(msgspec.json.encode(owner)) + b"\n"
