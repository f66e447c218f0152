"""What a run is, as its folder keeps it in ``identity.json``."""

from pathlib import Path
from typing import Any, Protocol

import msgspec

from codeact.exceptions import RunFolderError

IDENTITY = "identity.json"
VERSION = 2
"""Of the rules by which definitions are made: see `codeact.experiment.identity`."""

Values = dict[str, Any]
"""Dotted keys of the configuration, and of what it points at, with JSON values."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is, by the rules of `version`. Records name it by `digest`."""

    version: int
    digest: str
    values: Values


class RequestedDefinition(Protocol):
    """The definition of a command's run, for comparison with a folder's."""

    @property
    def new(self) -> Definition:
        """The definition for a folder without episodes."""
        ...

    def resumed(self, folder: Path, played: str) -> Definition:
        """The definition to resume a folder by; raises `RunFolderError` if it is another run's.

        `played` is the settings digest in the folder's records.
        """
        ...


def read_definition(folder: Path) -> Definition | None:
    """Return a folder's definition, None if it has none. Raises `RunFolderError`."""
    file = folder / IDENTITY
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Definition)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise RunFolderError(
            f"{file}: is not what codeact wrote ({error}); fetch it from a copy, or choose another "
            "run_dir"
        ) from error
    if found.version > VERSION:
        raise RunFolderError(
            f"{file}: was written by a later version of codeact (identity version {found.version}, "
            f"and this one knows {VERSION}); resume the run with that, or choose another run_dir"
        )
    return found
