"""The server's options, which its owner leaves beside its sockets."""

import os
import time
from typing import TypedDict

from . import BUILTINS
from .frames import DECODE

globals()["__builtins__"] = BUILTINS
EARLY_FILE = "early"
OPTIONS_SECONDS = 60.0  # How long the server waits for its options, from wherever they come.


class Limits(TypedDict):
    """What one session may take."""

    memory_mb: int
    disk_mb: int
    inodes: int
    processes: int
    files: int
    output_bytes: int
    value_bytes: int
    tool_bytes: int


class Options(TypedDict):
    """All that an owner says; folders are paths within the sandbox."""

    limits: Limits
    slots: int
    warm: int
    preload: list[str]
    modules: list[list[str]]
    patience: float
    uid: int
    owner: int
    mount: bool
    apart: bool
    sockets: str
    slot_root: str
    scratch: str


def read_early(folder: str) -> list[str]:
    """Return the libraries to import while the options are still to come; mostly none.

    The owner has left them before this program began, in a file of their own.
    """
    try:
        with open(f"{folder}/{EARLY_FILE}", "rb") as file:
            names: list[str] = DECODE(file.read().decode())
    except FileNotFoundError:
        return []
    os.unlink(f"{folder}/{EARLY_FILE}")
    return names


def read_options(folder: str) -> Options:
    """Take the options out of the folder of the sockets, where no session can look.

    Every session could read a command line, and these hold the text of the graders' programs.
    """
    path = f"{folder}/options"
    deadline = time.monotonic() + OPTIONS_SECONDS
    while True:
        if os.geteuid() == 0 and os.stat(folder).st_uid != 0:
            os.chown(folder, 0, 0)
        if os.path.exists(path):
            break
        if time.monotonic() > deadline:
            raise TimeoutError("no options came")
        time.sleep(0.005)
    if os.geteuid() == 0:
        os.chown(path, 0, 0)
    with open(path, "rb") as file:
        options: Options = DECODE(file.read().decode())
    os.unlink(path)
    return options
