"""What formats that act by the API's function calling share: functions, examples, results."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from codeact.episode import protocol
from codeact.episode.effects import Counts
from codeact.episode.messages import (
    Answer,
    Message,
    RequestOptions,
    ToolCall,
    ToolSchema,
    assistant_message,
)
from codeact.episode.prompts.base import Action, Observation
from codeact.episode.prompts.calls import read_arguments, text_of
from codeact.episode.prompts.format import NOTHING_WRITTEN, ActionFormat
from codeact.episode.prompts.parsing import Fault
from codeact.episode.prompts.worked import Step
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task, ToolSpec
from codeact.exceptions import ConfigError

MOST_CALLS = 32
"""Calls of one message that are performed."""
ANSWER = "answer"
_ANSWER = ToolSchema(
    ANSWER,
    "Gives your final answer to the task, in the form that the task asks for.",
    {
        "type": "object",
        "properties": {"value": {"type": "string", "description": "The answer itself."}},
        "required": ["value"],
        "additionalProperties": False,
    },
)


class CallingFormat(ActionFormat):
    """Acts and answers by calls; several in a message are performed in order."""

    how_to_answer = "call answer(value)"

    # -- of each format

    @abstractmethod
    def functions(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> list[ToolSchema]:
        """The functions to act by; `answer` comes after them."""

    @abstractmethod
    def call(self, step: Step) -> tuple[str, dict[str, Any]]:
        """The call by which a step of an example acts."""

    @abstractmethod
    def performed(self, name: str, call: ToolCall, tools: tuple[ToolSpec, ...]) -> str:
        """Return the cell that a call runs; raises `Fault`."""

    def thinking(self, words: str) -> str:
        """Fill in whether to think first."""
        if self.style.thought:
            return words.format(think=_THINK, Think=_THINK.capitalize())
        return words.format(think="", Think="").replace("\n\ncall", "\n\nCall")

    # -- what the policy reads

    def opening(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Message]:
        """An example is a conversation of its own, with calls as the API has them."""
        head = self.head(turns, tools)
        now = f"Task:\n{task.prompt}\n"
        system: list[Message] = [{"role": "system", "content": head}] if self.style.system else []
        lead = "" if self.style.system else f"{head.strip()}{protocol.SEPARATOR}"
        if not self.style.example:
            return [*system, {"role": "user", "content": lead + now}]
        worked = self.worked(task, task_type, turns, tools)
        messages: list[Message] = [
            *system,
            {"role": "user", "content": f"{lead}An example.\n\nTask:\n{worked.task}\n"},
        ]
        for number, step in enumerate(worked.steps, 1):
            messages += self._shown(step, f"example{number}")
        return [*messages, {"role": "user", "content": f"{_NOW}{protocol.SEPARATOR}{now}"}]

    def _shown(self, step: Step, identifier: str) -> list[Message]:
        name, arguments = (ANSWER, {"value": step.answer}) if step.answer else self.call(step)
        call = ToolCall(
            id=identifier, name=name, arguments=json.dumps(arguments, ensure_ascii=False)
        )
        result = step.observation if step.observation is not None else _RIGHT
        return [
            {
                "role": "assistant",
                "content": step.thought if self.style.thought else "",
                "tool_calls": [call],
            },
            {"role": "tool", "content": result, "tool_call_id": identifier},
        ]

    def described(self, tools: tuple[ToolSpec, ...]) -> str:
        """Functions are described by their schemas."""
        return super().described(tools) if self.acts_by == "code" else ""

    def written(self, step: Step) -> str:
        raise NotImplementedError("examples of function calling are messages")

    def options(
        self, turns: TurnSettings, tools: tuple[ToolSpec, ...], *, plain: bool
    ) -> RequestOptions:
        """The functions, and no stop strings: some servers cut a call's arguments by them."""
        if plain:
            raise ConfigError(
                f"prompt={self.name} acts by function calling, which plain completions do not "
                "have: give model.api=chat, or another prompt, such as prompt=code"
            )
        self.refuse_reserved(tools)
        offered = self.functions(turns, tools) if turns.use_tools else []
        return RequestOptions(tools=(*offered, _ANSWER))

    def assistant(self, answer: Answer) -> Message:
        written = answer.text or ("" if answer.tool_calls else NOTHING_WRITTEN)
        return assistant_message(answer, written)

    # -- what the policy does

    def read(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Action]:
        if not answer.tool_calls:
            raise Fault("it calls no function")
        return [
            self._action(call, turns, tools, number)
            for number, call in enumerate(answer.tool_calls, 1)
        ]

    def _action(
        self, call: ToolCall, turns: TurnSettings, tools: tuple[ToolSpec, ...], number: int
    ) -> Action:
        name, identifier = call["name"], call["id"]
        if name == ANSWER:
            return self._proposal(call)
        fault = ""
        if number > MOST_CALLS:
            fault = f"a message may have {MOST_CALLS} calls at most"
        elif not turns.use_tools:
            fault = "there is nothing to call but answer"
        try:
            cell = "" if fault else self.performed(name, call, tools)
        except Fault as found:
            fault = str(found)
        if fault:
            return Action("invalid", "", _refused(fault), identifier)
        return Action("execute", cell, tool_call_id=identifier)

    def _proposal(self, call: ToolCall) -> Action:
        try:
            arguments = read_arguments(call["arguments"])
            fits = set(arguments) == {"value"} and arguments["value"] is not None
            text = text_of(arguments["value"], len(call["arguments"])) if fits else ""
            fault = (
                "" if text else 'the arguments of answer are {"value": "…"}, and that is not empty'
            )
        except Fault as found:
            text, fault = "", str(found)
        return Action("propose", text, _refused(fault) if fault else None, call["id"])

    def acted_until(self, text: str) -> int | None:
        """Calls come apart from the text, none of which is a place for the environment's words."""
        return 0

    # -- the environment

    def environment(
        self,
        observations: Sequence[Observation],
        counts: Counts,
        turns: TurnSettings,
        feedback: str | None,
    ) -> list[Message]:
        """A tool's message for each call; the last one also has the count-down and the feedback.

        Results stand directly after the calls, and servers take another role there badly.
        """
        if any(one.tool_call_id is None for one in observations):
            return super().environment(observations, counts, turns, feedback)
        texts = [one.text for one in observations]
        if after := self.count_down(counts, turns):
            texts[-1] += f"\n\n{after}"
        if feedback is not None:
            texts[-1] += f"\n\nExpert feedback:\n{feedback}\n"
        return [
            {"role": "tool", "content": text, "tool_call_id": one.tool_call_id or ""}
            for text, one in zip(texts, observations, strict=True)
        ]


def _refused(fault: str) -> str:
    return f"This call cannot be performed, because {fault}."


_THINK = "think first and write your reasoning as text, then "
_NOW = "The example is over. Here is your task."
_RIGHT = "The task is solved."
