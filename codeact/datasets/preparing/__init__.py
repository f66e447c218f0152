"""Raw data sets to task files: each data set is one small file, found by name."""

from codeact.datasets.preparing.base import Choice, Preparer
from codeact.datasets.preparing.preparers import get, name_for, names
from codeact.datasets.preparing.writing import Card, prepare

__all__ = ["Card", "Choice", "Preparer", "get", "name_for", "names", "prepare"]
