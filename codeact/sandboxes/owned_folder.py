"""The folder of a guest's sockets, which says whose it is."""

import os
import tempfile
from pathlib import Path

from codeact.sandboxes.janitor import JANITOR
from codeact.sandboxes.owner import this_owner

PREFIX = "codeact-sandbox-"
OWNER_FILE = "owner"


def new_folder() -> Path:
    """Make a folder for sockets; the janitor removes it if this process dies before it does."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_short_tmp()))
    (folder / OWNER_FILE).write_text(this_owner())
    JANITOR.watch(str(folder))
    return folder


def _short_tmp() -> str:
    """Return a folder for sockets, whose paths may have at most 107 bytes."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= 60 else os.path.realpath("/tmp")  # noqa: S108
