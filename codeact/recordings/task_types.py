"""The task type of a run's data sets: a part of what a published path says, and a run does not."""

from collections.abc import Callable
from pathlib import Path

TaskTypeOf = Callable[[str], str]
"""From a family's name to its task type; raises `ConfigError` for an unknown name."""


class TaskTypes(dict[str, str]):
    """The task type of every data set of a run, looked up once each.

    A data set may go by another name than its family's; the run's own configuration says which.
    """

    def __init__(self, config: Path, task_type_of: TaskTypeOf) -> None:
        super().__init__()
        self._config = config
        self._task_type_of = task_type_of

    def __missing__(self, task_name: str) -> str:
        self[task_name] = found = self._task_type_of(self._family(task_name))
        return found

    def _family(self, task_name: str) -> str:
        from omegaconf import OmegaConf

        try:
            found = OmegaConf.select(OmegaConf.load(self._config), f"task.sets.{task_name}.family")
            return str(found or task_name)
        except Exception:  # a folder without its configuration, whatever it lacks or holds instead
            return task_name
