"""What a published path says of a run's data sets, and a record does not: task type and split."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

TaskTypeOf = Callable[[str], str]
"""From a family's name to its task type; raises `ConfigError` for an unknown name."""
SplitOf = Callable[[str], str]
"""From a family's name to the split that its tasks are, or an empty text."""


class _OfSets(dict[str, str]):
    """A fact of every data set of a run, looked up once each; `own` is its key there, if any.

    A data set may go by another name than its family's; the run's own configuration says which.
    """

    own: ClassVar[str | None] = None

    def __init__(self, config: Path, of_family: Callable[[str], str]) -> None:
        super().__init__()
        self._config = config
        self._of_family = of_family

    def __missing__(self, task_name: str) -> str:
        told = _of_set(self._config, task_name, self.own) if self.own else None
        if told is None:
            told = self._of_family(_of_set(self._config, task_name, "family") or task_name)
        self[task_name] = told
        return told


class TaskTypes(_OfSets):
    """The task type of every data set of a run: that of its family."""


class Splits(_OfSets):
    """The split of every data set of a run: the configuration's word, else its family's."""

    own = "split"


def _of_set(config: Path, task_name: str, key: str) -> str | None:
    """Return what a run's configuration says of a data set; None if it says nothing."""
    from omegaconf import OmegaConf

    try:
        found = OmegaConf.select(OmegaConf.load(config), f"task.sets.{task_name}.{key}")
    except Exception:  # a folder without its configuration, whatever it lacks or holds instead
        return None
    return None if found is None else str(found)
