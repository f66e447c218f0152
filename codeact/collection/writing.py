"""Output that is there whole or not at all: written under a hidden name, then renamed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from codeact.exceptions import ConfigError

HIDDEN = ".unfinished-"


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` if all went well; raises `ConfigError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{HIDDEN}{path.name}")
        try:
            with temporary.open("wb") as file:
                yield file
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"out={path}: cannot be written ({error.strerror})") from error


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write into, whose entries are moved to `path` if all went well.

    An entry of the same name is replaced, and others stay; raises `ConfigError`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=path) as temporary:
            yield Path(temporary)
            for entry in sorted(Path(temporary).iterdir()):
                if entry.is_dir():
                    shutil.rmtree(path / entry.name, ignore_errors=True)
                entry.replace(path / entry.name)
    except OSError as error:
        raise ConfigError(f"out={path}: cannot be written ({error.strerror})") from error
