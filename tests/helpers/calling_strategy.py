"""A small strategy whose policy acts by calling functions: the plug-in of tests of native calls."""

import json
from collections.abc import Sequence

from codeact.episode import protocol
from codeact.episode.effects import ActionKind, Counts
from codeact.episode.messages import (
    Answer,
    Message,
    RequestOptions,
    ToolCall,
    ToolSchema,
    assistant_message,
)
from codeact.episode.prompts import Action, Observation
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task, ToolSpec

_TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
FUNCTIONS = (
    ToolSchema("python", "Runs a cell.", _TEXT),
    ToolSchema("answer", "Gives the answer.", _TEXT),
)

KINDS: dict[str, ActionKind] = {"python": "execute", "answer": "propose"}


class CallingStrategy:
    """``python(text)`` and ``answer(text)``; anything else is no action."""

    name = "calling"
    instruction = "Call python until you know the answer."
    functions = FUNCTIONS

    def opening(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Message]:
        return [
            {"role": "system", "content": self.instruction},
            {"role": "user", "content": task.prompt},
        ]

    def options(
        self, turns: TurnSettings, tools: tuple[ToolSpec, ...], *, plain: bool
    ) -> RequestOptions:
        return RequestOptions(tools=self.functions)

    def assistant(self, answer: Answer) -> Message:
        return assistant_message(answer, answer.text)

    def actions(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Action]:
        if not answer.tool_calls:
            return [Action("invalid", "", protocol.PARSE_FAILURE)]
        return [_action(call) for call in answer.tool_calls]

    def environment(
        self,
        observations: Sequence[Observation],
        counts: Counts,
        turns: TurnSettings,
        feedback: str | None,
    ) -> list[Message]:
        messages: list[Message] = [
            {"role": "tool", "content": one.text, "tool_call_id": one.tool_call_id}
            if one.tool_call_id is not None
            else {"role": "user", "content": one.text}
            for one in observations
        ]
        left = f"{turns.max_steps - counts.steps} turns are left."
        return [*messages, {"role": "user", "content": left}]


def _action(call: ToolCall) -> Action:
    try:
        text = json.loads(call["arguments"])["text"]
        return Action(KINDS[call["name"]], text, tool_call_id=call["id"])
    except (ValueError, LookupError, TypeError) as error:
        return Action("invalid", "", f"not understood: {error!r}", call["id"])
