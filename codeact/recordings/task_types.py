"""What a published path says of a run's data sets, and a record does not: task type and split."""

from collections.abc import Callable
from pathlib import Path

TaskTypeOf = Callable[[str], str]
"""From a family's name to its task type; raises `ConfigError` for an unknown name."""
SplitOf = Callable[[str], str]
"""From a family's name to the split that its tasks are, or an empty text."""


class TaskTypes(dict[str, str]):
    """The task type of every data set of a run, looked up once each.

    A data set may go by another name than its family's; the run's own configuration says which.
    """

    def __init__(self, config: Path, task_type_of: TaskTypeOf) -> None:
        super().__init__()
        self._config = config
        self._task_type_of = task_type_of

    def __missing__(self, task_name: str) -> str:
        family = _of_set(self._config, task_name, "family") or task_name
        self[task_name] = found = self._task_type_of(family)
        return found


class Splits(dict[str, str]):
    """The split of every data set of a run: the configuration's word, else its family's."""

    def __init__(self, config: Path, split_of: SplitOf) -> None:
        super().__init__()
        self._config = config
        self._split_of = split_of

    def __missing__(self, task_name: str) -> str:
        told = _of_set(self._config, task_name, "split")
        if told is None:
            told = self._split_of(_of_set(self._config, task_name, "family") or task_name)
        self[task_name] = told
        return told


def _of_set(config: Path, task_name: str, key: str) -> str | None:
    """Return what a run's configuration says of a data set; None if it says nothing."""
    from omegaconf import OmegaConf

    try:
        found = OmegaConf.select(OmegaConf.load(config), f"task.sets.{task_name}.{key}")
    except Exception:  # a folder without its configuration, whatever it lacks or holds instead
        return None
    return None if found is None else str(found)
