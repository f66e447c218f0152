"""Remove the folders and control groups that dead owners left behind."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from codeact.sandboxes.control_group import left_groups
from codeact.sandboxes.janitor import remove_group
from codeact.sandboxes.owned_folder import OWNER_FILE, PREFIX
from codeact.sandboxes.owner import owner_lives

UNNAMED_SECONDS = 600.0
GROUP_SECONDS = 2.0


class Swept(msgspec.Struct, frozen=True):
    """One leftover that was removed, or why it could not be."""

    kind: str
    name: str
    problem: str = ""


def sweep_folders() -> list[Swept]:
    """Remove the socket folders whose makers are dead."""
    swept = []
    for parent in {tempfile.gettempdir(), os.path.realpath("/tmp")}:  # noqa: S108
        for folder in Path(parent).glob(f"{PREFIX}*"):
            try:
                left = _left(folder)
            except OSError:
                # Its owner has just removed it.
                continue
            if left:
                shutil.rmtree(folder, ignore_errors=True)
                problem = "it could not be removed" if folder.exists() else ""
                swept.append(Swept("folder", str(folder), problem))
    return swept


def sweep_groups(left: Iterable[str] | None = None) -> list[Swept]:
    """Remove the control groups whose makers are dead, and end what is in them."""
    swept = []
    for group in left_groups() if left is None else left:
        deadline = time.monotonic() + GROUP_SECONDS
        while not (gone := remove_group(group)) and time.monotonic() < deadline:
            time.sleep(0.02)
        swept.append(Swept("control group", group, "" if gone else "it could not be removed"))
    return swept


def _left(folder: Path) -> bool:
    """Return whether a folder's owner is gone; raises OSError if the folder is, too."""
    made = folder.stat()
    if made.st_uid != os.geteuid():
        return False
    try:
        return not owner_lives((folder / OWNER_FILE).read_text())
    except FileNotFoundError:
        # Its maker is about to write its name, or died before it did.
        return time.time() - made.st_mtime > UNNAMED_SECONDS
