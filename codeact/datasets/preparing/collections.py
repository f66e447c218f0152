"""Several data sets that are prepared by one command, from one folder of raw files."""

from collections.abc import Mapping
from pathlib import Path

Collection = Mapping[str, tuple[str, ...]]
"""The data sets, each with its folder in the raw folder: the first name, or a later one."""

COLLECTIONS: Mapping[str, Collection] = {
    "codeact_instruct": {
        "apps": ("apps",),
        "alfworld": ("alfworld",),
        "math": ("math",),
        "hotpotqa": ("hotpotqa",),
        "strategyqa": ("strategyqa",),
        "wiki_table_questions": ("wiki_table_question", "wiki_table_questions"),
    }
}


def raw_folder(raw: Path, names: tuple[str, ...]) -> Path:
    """A data set's folder: the first one that exists, else the one to make."""
    return next((raw / name for name in names if (raw / name).exists()), raw / names[0])
