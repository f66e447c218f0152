"""Remove what owners that died left behind: folders of sockets, control groups, containers."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from codeact.sandboxes.control_group import left_groups
from codeact.sandboxes.janitor import remove_group
from codeact.sandboxes.owner import OWNER, owner_lives
from codeact.sandboxes.threads import in_thread

PREFIX = "codeact-sandbox-"
OWNER_FILE = "owner"
UNNAMED_SECONDS = 600.0
GROUP_SECONDS = 2.0


class Swept(msgspec.Struct, frozen=True):
    """One leftover that was removed, or why it could not be."""

    kind: str
    name: str
    problem: str = ""


async def sweep(engine: str | None = None, *, docker: bool = True) -> list[Swept]:
    """Remove leftovers of dead owners; what belongs to a live one is never touched."""
    swept = sweep_folders() + sweep_groups()
    if docker:
        swept += await in_thread(sweep_containers, engine)
    return swept


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
    """Tell whether nobody will use a folder again; raises OSError where it vanishes meanwhile."""
    made = folder.stat()
    if made.st_uid != os.geteuid():
        return False
    try:
        return not owner_lives((folder / OWNER_FILE).read_text())
    except FileNotFoundError:
        # Its maker is about to write its name, or died before it did.
        return time.time() - made.st_mtime > UNNAMED_SECONDS


def sweep_containers(engine: str | None = None) -> list[Swept]:
    """Remove the containers whose owners are dead; none, where no engine answers."""
    from codeact.exceptions import ExecutorUnavailable
    from codeact.sandboxes.docker.executor import connect

    swept = []
    try:
        client = connect(engine)
    except ExecutorUnavailable:
        return []
    with contextlib.closing(client):
        for container in client.containers.list(
            all=True, filters={"label": OWNER}, ignore_removed=True
        ):
            if owner_lives(container.labels.get(OWNER, "")):
                continue
            problem = ""
            try:
                container.remove(force=True, v=True)
            except Exception as error:
                # Another sweep, or the engine itself, may be faster.
                gone = "No such container" in str(error) or "already in progress" in str(error)
                problem = "" if gone else str(error)
            swept.append(Swept("container", str(container.name), problem))
    return swept
