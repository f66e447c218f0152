"""A guest that begins to import its libraries before the settings of its sandbox are known.

To compose and validate a configuration takes half a second, and a guest needs more than that to
import its libraries. A command that will most likely need a local sandbox has a guest begin first
(`HEAD_START.begin`); `LocalSandbox` takes it where the settings turn out to allow that, and else it
is ended. No session exists before the settings are there, and all limits are set by then.

Nothing here imports what takes long.
"""

import json
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

from codeact.exceptions import ExecutorUnavailable
from codeact.sandboxes.bubblewrap import (
    SERVER_PROCESSES,
    caged_command,
    find_bubblewrap,
    kill_guest,
    start_guest,
)
from codeact.sandboxes.control_group import (
    ControlGroup,
    GroupLimits,
    has_scopes,
    make_group,
    most_memory_mb,
)
from codeact.sandboxes.guest_program import PRELOAD
from codeact.sandboxes.host_python import find_python
from codeact.sandboxes.janitor import JANITOR, remove_group
from codeact.sandboxes.owned_folder import new_folder

EARLY_FILE = "early"
"""Where the guest looks for the libraries to import while its options are still to come."""
_END_SECONDS = 10.0


class EarlyGuest(NamedTuple):
    """A guest that waits for its options. It has imported `PRELOAD`, with this interpreter."""

    folder: Path
    group: ControlGroup | None
    process: "subprocess.Popen[bytes]"

    def discard(self) -> None:
        """End a guest that is not needed, with all that is its own; this blocks for a moment."""
        try:
            if kill_guest(self.process):
                self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        _remove(self.folder, self.group)


class HeadStart:
    """Holds at most one guest that has begun and is not taken yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guest: EarlyGuest | None = None

    def begin(self) -> None:
        """Start a guest, where it is sure to be as good as one that is started later.

        Without bubblewrap it would not be, nor where systemd makes the control group: a scope's
        limits stay as they are. What fails here fails again later, and is reported then.
        """
        bubblewrap = find_bubblewrap()
        if bubblewrap is None:
            return
        with self._lock:
            if self._guest is None:
                self._guest = _started(bubblewrap)

    def take(self) -> EarlyGuest | None:
        """Return the guest, if there is one; it is the caller's from now on."""
        with self._lock:
            guest, self._guest = self._guest, None
        return guest


def _started(bubblewrap: str) -> EarlyGuest | None:
    try:
        folder = new_folder()
    except OSError:
        return None
    group = None
    try:
        group = make_group(GroupLimits(most_memory_mb() << 20, SERVER_PROCESSES), scope=False)
        if group is not None:
            JANITOR.watch(str(folder), group.folders)
        if group is not None or not has_scopes():
            (folder / EARLY_FILE).write_text(json.dumps(PRELOAD))
            command = caged_command(bubblewrap, find_python(None), folder, group)
            return EarlyGuest(folder, group, start_guest(command, folder, group))
    except (OSError, ExecutorUnavailable):
        pass
    _remove(folder, group)
    return None


def _remove(folder: Path, group: ControlGroup | None) -> None:
    deadline = time.monotonic() + _END_SECONDS
    for made in group.folders if group is not None else ():
        while not remove_group(made) and time.monotonic() < deadline:
            time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)
    JANITOR.forget(str(folder))


HEAD_START = HeadStart()
"""This process's own."""
