"""Imports and calls W&B's library, as quietly as possible."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.files import private_folder
from codeact.wording import first_line

if TYPE_CHECKING:
    import wandb

OPENING = 30.0
UPLOADING = 60.0
"""Seconds for W&B to respond, and for it to take the rest when all is over."""
_ENDING = 5.0
"""Seconds for a process of W&B to end that has nothing to send."""


def library() -> Any:
    """Import W&B as late as possible, with its error reports to its makers switched off."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    # To find that our lists are no data frames, W&B would import pandas, which takes as long as W&B
    # itself. Told that there is no pandas, it goes by the name of a value's class.
    wandb.util.pd_available = "pandas" in sys.modules
    return wandb


def why_offline(mode: str) -> str | None:
    """Whether a key is there and taken, by W&B's own rules; it is never asked for."""
    if (chosen := os.environ.get("WANDB_MODE", "")) in ("offline", "dryrun"):
        return f"WANDB_MODE={chosen}"
    if mode == "offline":
        return "tracker.mode=offline"
    found = library()
    found.setup(settings=found.Settings(**_QUIET))
    try:
        return None if found.login(prompt=False) else "there is no key for it"
    except Exception as error:
        return first_line(error)


_QUIET: dict[str, Any] = {
    # Nothing on the terminal, and nothing of the machine, the code or the shell in W&B.
    "silent": True,
    "quiet": True,
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "save_code": False,
    "host": "",
    "program": "",
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "init_timeout": OPENING,
    "finish_timeout": UPLOADING,
}


class EarlyStart:
    """Has W&B imported, and its process started, while a run begins.

    The import takes half a second, and W&B looks five times a second whether its process is there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._start: threading.Thread | None = None
        threading.Thread(target=self._import, name="wandb import", daemon=True).start()

    def _import(self) -> None:
        # The caller who uses it later reports what is wrong.
        with suppress(Exception):
            found = library()
            with self._lock:
                if self._closed:
                    return
                self._start = threading.Thread(target=_set_up, name="wandb start", daemon=True)
                self._start.start()
            # What would otherwise be imported at a run's first and last moments.
            found.Table(columns=["-"], data=[["-"]])
            import_module("wandb.apis.public")

    def close(self) -> None:
        """See that W&B's process is gone, also where no run was sent; it waits a bounded time."""
        with self._lock:
            self._closed = True
        if self._start is not None:
            self._start.join(OPENING)
            end = threading.Thread(target=library().teardown, name="wandb end", daemon=True)
            end.start()
            # Where it still sends, W&B waits for that itself when the command exits.
            end.join(_ENDING)


def _set_up() -> None:
    with suppress(Exception):
        library().setup(settings=library().Settings(**_QUIET))


def open_run(folder: Path, mode: str, **described: Any) -> "wandb.Run":
    """Open a run that keeps its files in a folder; `described` goes to ``wandb.init``."""
    private_folder(folder / "wandb")
    run: wandb.Run = library().init(
        **described,
        mode=mode,
        dir=str(folder.absolute()),
        resume="allow",
        # Runs of a sweep are open side by side.
        reinit="create_new",
        settings=library().Settings(**_QUIET),
    )
    run.define_metric("*", step_metric="episodes/finished")
    return run


@contextmanager
def staging_in(folder: Path) -> Iterator[None]:
    """Have W&B keep a table that awaits its upload here, not in the user's home, unless told."""
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder.absolute())
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]
