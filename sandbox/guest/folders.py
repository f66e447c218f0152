"""Emptying the folders of sessions that are gone."""

import itertools
import os
import time

from . import BUILTINS
from .cage import be_root_again

globals()["__builtins__"] = BUILTINS
monotonic = time.monotonic


def wiped(folder: str, uid: int | None) -> bool:
    """Empty a folder as its owner; tell whether it is empty now."""
    if uid is not None:
        os.setresuid(os.getuid(), uid, 0)
    try:
        return wipe(folder)
    except OSError:
        return False
    finally:
        if uid is not None:
            be_root_again()


def wipe(folder: str, seconds: float = 0.05) -> bool:
    """Delete what is in a folder, however deep: inner folders are moved up, not walked down.

    The server does nothing else meanwhile, so this stops after some `seconds`; the next call goes
    on. Tells whether the folder is empty.
    """
    names = (f".wipe-{number}" for number in itertools.count())
    deadline = monotonic() + seconds
    os.chmod(folder, 0o700)
    while entries := os.listdir(folder):
        for entry in entries:
            if monotonic() > deadline:
                return False
            path = f"{folder}/{entry}"
            try:
                os.unlink(path)
                continue
            except (IsADirectoryError, PermissionError):
                os.chmod(path, 0o700)
            for inner in os.listdir(path):
                try:
                    os.unlink(f"{path}/{inner}")
                except (IsADirectoryError, PermissionError):
                    os.chmod(f"{path}/{inner}", 0o700)
                    target = next(name for name in names if not os.path.lexists(f"{folder}/{name}"))
                    os.rename(f"{path}/{inner}", f"{folder}/{target}")
            os.rmdir(path)
    return True
