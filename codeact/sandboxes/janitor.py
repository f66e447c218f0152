"""Removes what a killed driver leaves behind, as soon as the driver is gone.

One small process for each driver that has servers: this file, run as a program with nothing but the
standard library. Its stdin is a pipe from the driver, over which it gets JSON lines:
``{"watch": FOLDER, "groups": […]}`` and ``{"forget": FOLDER}``. When the pipe ends, the
driver has ended. The janitor then removes what is still watched: the control groups with all
processes in them, and the folders. Servers end by themselves when their connection ends.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

END_SECONDS = 5.0
"""How long the driver's end waits for its own."""
PATIENCE_SECONDS = 30.0
"""How long it retries what cannot be removed at once."""


class Janitor:
    """The driver's end: starts the process with the first folder, ends it with the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[str, Sequence[str]] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, folder: str, groups: Sequence[str] = ()) -> None:
        """Have a folder and control groups removed if this process dies before `forget`."""
        with self._lock:
            self._watched[folder] = groups
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    # A signal to the driver's process group must not end this process.
                    start_new_session=True,
                    cwd="/",
                )
                for known in self._watched:
                    _tell(self._process, {"watch": known, "groups": self._watched[known]})
            else:
                _tell(self._process, {"watch": folder, "groups": groups})

    def forget(self, folder: str) -> None:
        """Stop watching a folder, which its owner has removed."""
        with self._lock:
            if self._watched.pop(folder, None) is None or self._process is None:
                return
            if self._watched:
                _tell(self._process, {"forget": folder})
                return
            process, self._process = self._process, None
        _tell(process, {"forget": folder})
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        # It ends now. No event loop waits for that, but the driver's own end does.
        threading.Thread(target=_see_off, args=(process,)).start()


def _see_off(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)


def _tell(process: "subprocess.Popen[bytes]", message: object) -> None:
    assert process.stdin is not None
    # If the janitor was killed, the next server starts it again.
    with contextlib.suppress(OSError):
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()


def main() -> None:
    """Read until the driver is gone, then remove what it left."""
    # A terminal's Ctrl-C is for the driver.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    left: dict[str, list[str]] = {}
    for line in sys.stdin:
        message = json.loads(line)
        if "watch" in message:
            left[message["watch"]] = message["groups"]
        else:
            left.pop(message["forget"], None)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for groups in left.values():
        for group in groups:
            while not remove_group(group) and time.monotonic() < deadline:
                time.sleep(0.02)
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)


def remove_group(folder: str) -> bool:
    """Kill all processes of a control group and remove it; return whether it is gone."""
    with contextlib.suppress(OSError), open(f"{folder}/cgroup.procs") as file:  # noqa: PTH123
        for pid in file.read().split():
            # 0 stands for a process in a pid namespace that is not visible here.
            if pid != "0":
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)
    try:
        os.rmdir(folder)  # noqa: PTH106
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


JANITOR = Janitor()
"""This process's own: there is one for all servers of all sandboxes."""

if __name__ == "__main__":
    main()
