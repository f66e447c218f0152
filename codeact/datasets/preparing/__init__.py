"""Raw data sets to task files: each data set is one small file, found by name."""

from codeact.datasets.preparing.base import Choice, Preparer
from codeact.datasets.preparing.preparers import get, name_for, names
from codeact.datasets.preparing.writing import Card, CollectionCard, Part, prepare, prepare_all

__all__ = [
    "Card",
    "Choice",
    "CollectionCard",
    "Part",
    "Preparer",
    "get",
    "name_for",
    "names",
    "prepare",
    "prepare_all",
]
