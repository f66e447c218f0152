"""The `recorded` strategy: first messages as recorded episodes have them, all else as in `code`."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from codeact.episode import protocol
from codeact.episode.prompts.code import CodeStrategy
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task, ToolSpec

KIND = "task_type"
"""The field of a task's metadata by which one data set has several prompts (ALFWorld's)."""

_TASK = f"{protocol.SEPARATOR}Task:\n"


class Preambles(NamedTuple):
    """What stands before the task in the first messages of one data set.

    `by_task` has the tasks' ids, `by_kind` the kinds of tasks, where the set has several preambles.
    """

    texts: tuple[str, ...]
    by_task: Mapping[str, str] = {}
    by_kind: Mapping[str, str] = {}

    def of(self, task: Task) -> str | None:
        """The preamble of a task; None where it cannot be told which one is its own."""
        if len(self.texts) == 1:
            return self.texts[0]
        kind = str(task.metadata.get(KIND, ""))
        return self.by_task.get(task.id) or self.by_kind.get(kind)


class RecordedStrategy(CodeStrategy):
    """Instruction, tools and example as recorded, for the data sets of one run.

    `preambles` are by the data set's name. They state the run's limits, so that they hold for its
    turn setting alone.
    """

    name = "recorded"

    def __init__(self, preambles: Mapping[str, Preambles]) -> None:
        self.preambles = preambles

    def first_message(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> str:
        """Return the recorded instruction and example with the task; raises `KeyError`."""
        found = self.preambles[task.name].of(task)
        if found is None:
            raise KeyError(task.key)
        return f"{found}{_TASK}{task.prompt}\n"

    def unprompted(self, tasks: Iterable[Task]) -> list[Task]:
        """List the tasks that have no recorded prompt."""
        return [
            task
            for task in tasks
            if task.name not in self.preambles or self.preambles[task.name].of(task) is None
        ]


def preamble_of(first_message: str, prompt: str) -> str:
    """Return what stands before the task in a first message; raises `ValueError`.

    That is the instruction and the example, which three dashes set apart.
    """
    tail = f"{_TASK}{prompt}\n"
    if first_message.endswith(tail):
        preamble = first_message.removesuffix(tail)
    else:
        preamble = first_message.rpartition(_TASK)[0]
    if protocol.SEPARATOR not in preamble:
        raise ValueError("its first message is not instruction, example and task, set apart by ---")
    return preamble
