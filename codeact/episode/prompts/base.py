"""What a prompt strategy is: all the words between the state machine and the policy."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from codeact.episode.effects import ActionKind, Counts
from codeact.episode.messages import Answer, Message, RequestOptions
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task, ToolSpec


class Action(msgspec.Struct, frozen=True):
    """One thing that a message of the policy does. `content` is the code or the answer.

    An action with a `refusal` is not performed: the policy reads the refusal as its observation. A
    ``propose`` counts as a proposal even then. `tool_call_id` is the call that the action came by.
    """

    kind: ActionKind
    content: str
    refusal: str | None = None
    tool_call_id: str | None = None


class Observation(msgspec.Struct, frozen=True):
    """What the policy is told of one of its actions."""

    text: str
    tool_call_id: str | None = None


class Style(msgspec.Struct, frozen=True):
    """What all formats can do with or without: an example, thoughts, a system message.

    `form` has servers keep a text to the form that a format gives it, where it gives one.
    """

    example: bool = True
    thought: bool = True
    system: bool = False
    form: bool = True


@runtime_checkable
class PromptStrategy(Protocol):
    """Renders what the policy reads and parses what it writes; holds no state.

    One that acts in the REPL by more than the policy's own code may have `setup`: trusted code that
    every session of its episodes runs first.
    """

    name: str

    def opening(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Message]:
        """The messages before the policy's first one: instruction, tools, example and task."""
        ...

    def options(
        self, turns: TurnSettings, tools: tuple[ToolSpec, ...], *, plain: bool
    ) -> RequestOptions:
        """What every policy request carries; `plain` is for plain-completion models."""
        ...

    def assistant(self, answer: Answer) -> Message:
        """The policy's message as the conversation keeps it."""
        ...

    def actions(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> Sequence[Action]:
        """What a message of the policy does, in order: at least one action, perhaps refused.

        It is read from the answer's text and tool calls, never from its reasoning. What it proposes
        does not depend on `tools`, so that recorded answers are found without them.
        """
        ...

    def environment(
        self,
        observations: Sequence[Observation],
        counts: Counts,
        turns: TurnSettings,
        feedback: str | None,
    ) -> list[Message]:
        """The environment's messages after a turn; one observation for each of its actions."""
        ...


def setup_of(strategy: PromptStrategy) -> str:
    """Return the code that sessions run for a strategy before the task's own; mostly none."""
    return str(getattr(strategy, "setup", ""))
