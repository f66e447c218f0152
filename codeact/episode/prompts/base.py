"""What a prompt strategy is: all the words between the state machine and the policy."""

from typing import Literal, Protocol, runtime_checkable

import msgspec

from codeact.episode.effects import Counts
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task, ToolSpec


class Action(msgspec.Struct, frozen=True):
    """What a message of the policy means. `content` is the code or the answer.

    A ``propose`` with empty content is a proposal that could not be parsed: it still counts as a
    proposal. An ``execute`` with empty content counts as an invalid action.
    """

    kind: Literal["execute", "propose"]
    content: str


@runtime_checkable
class PromptStrategy(Protocol):
    """Renders what the policy reads and parses what it writes; holds no state."""

    name: str

    def first_message(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> str:
        """Instruction, tools, one in-context example and the task, as one user message."""
        ...

    def stop(self, *, plain: bool) -> tuple[str, ...]:
        """Stop strings of every policy request; `plain` for plain-completion models."""
        ...

    def parse(self, text: str) -> Action:
        """The action that a policy message is."""
        ...

    def assistant(self, text: str) -> str:
        """A policy message as the conversation keeps it."""
        ...

    def environment(
        self, observation: str, counts: Counts, turns: TurnSettings, feedback: str | None
    ) -> str:
        """The environment's message after a turn."""
        ...
