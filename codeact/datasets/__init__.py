"""The data sets that codeact knows, and how more are added."""

from codeact.datasets.families import get, names, split_of, task_type_of
from codeact.datasets.family import Family, RowError
from codeact.datasets.task_files import load_tasks, read_tasks

__all__ = [
    "Family",
    "RowError",
    "get",
    "load_tasks",
    "names",
    "read_tasks",
    "split_of",
    "task_type_of",
]
