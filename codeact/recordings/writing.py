"""The error of what cannot be written to a run folder."""

import errno
from pathlib import Path

from codeact.exceptions import DiskFull, RunFolderError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def not_written(path: Path, what: str, error: OSError) -> RunFolderError:
    """Return the error of a part of a file, with what to do; `DiskFull` where room may help."""
    kind = DiskFull if error.errno in _NO_ROOM else RunFolderError
    return kind(
        f"{path}: {what} cannot be written ({error.strerror}); what was finished before is safe: "
        "make room and run the same command again"
    )
