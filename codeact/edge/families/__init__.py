"""The data sets that codeact knows, and how more are added."""

from codeact.edge.families.base import Family, RowError
from codeact.edge.families.files import load_tasks, task_lines
from codeact.edge.families.registry import get, names

__all__ = ["Family", "RowError", "get", "load_tasks", "names", "task_lines"]
