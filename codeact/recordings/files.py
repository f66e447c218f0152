"""Finds recorded files: ``episodes.jsonl`` of run folders, and published ``results.jsonl``."""

from collections.abc import Iterable
from pathlib import Path

from codeact.exceptions import RecordingError
from codeact.recordings.published_paths import PUBLISHED

EPISODES = "episodes.jsonl"
_NAMES = (PUBLISHED, f"{PUBLISHED}.gz", EPISODES, f"{EPISODES}.gz")


def recording_files(source: str | Path) -> list[Path]:
    """List the files with recorded episodes at or below `source`; raises `RecordingError`."""
    root = Path(source)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise RecordingError(f"{root}: there is no such file or folder of recorded episodes")
    files = sorted(path for path in root.rglob("*.jsonl*") if path.name in _NAMES)
    if not files:
        raise RecordingError(f"{root}: holds none of {', '.join(_NAMES)}, at any depth")
    return files


def source_files(sources: Iterable[str]) -> list[Path]:
    """List every recorded file of the sources once, in path order within each source.

    Raises `RecordingError`.
    """
    files = [path for source in sources for path in recording_files(source)]
    return list({path.resolve(): path for path in files}.values())


def is_run(path: Path) -> bool:
    """Whether a recorded file belongs to one of our run folders."""
    return path.name.startswith(EPISODES)
