"""Raw data sets to task files: each data set is one small file, found by name."""

from codeact.edge.preparing.base import Choice, Preparer
from codeact.edge.preparing.registry import get, names
from codeact.edge.preparing.writing import Card, prepare

__all__ = ["Card", "Choice", "Preparer", "get", "names", "prepare"]
