"""Our own small tasks and the encyclopaedia they draw on: runs without network or downloads.

The files have the fields of the published task files. People, places and ships in them are
invented, so that the two-hop questions can be answered from the encyclopaedia alone.
"""

from importlib.resources import files
from pathlib import Path


def tasks_path(family: str) -> Path:
    """Where the tasks of a family (``gsm8k``, say) are; the file is not opened here."""
    return _root() / "tasks" / f"{family}.jsonl"


def encyclopaedia_path() -> Path:
    """Pages as ``{"title", "text"}`` lines: what `wikipedia_search` answers from offline."""
    return _root() / "encyclopaedia.jsonl"


def _root() -> Path:
    return Path(str(files(__name__)))
