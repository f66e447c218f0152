"""The `json` strategy: act by one JSON object that names a tool, answer by another."""

import json
from collections.abc import Mapping

from codeact.episode.messages import Answer
from codeact.episode.prompts.base import Action
from codeact.episode.prompts.calls import SETUP, code_of_call, refuse_long, shortened, text_of
from codeact.episode.prompts.format import ActionFormat
from codeact.episode.prompts.parsing import Fault, ObjectFound, acting_object
from codeact.episode.prompts.worked import Step
from codeact.episode.settings import TurnSettings
from codeact.episode.task import ToolSpec

_ACTING = """\
You solve tasks with the help of tools.

In every turn, write one JSON object and nothing else. It is one of these two:

1) A call of a tool, whose result you then read, for example:
{{{thought}"tool": "add", "arguments": {{"first": 12, "second": 30}}}}
2) Your final answer in the form that the task asks for, for example:
{{{thought}"answer": "42"}}
"""
ANSWERING = """\
You solve tasks step by step.

Write one JSON object and nothing else, with your final answer in the form that the task asks for, \
for example:
{{{thought}"answer": "42"}}
"""
_THOUGHT = '"thought": "I should add the two prices.", '
HOW_TO_ANSWER = 'write {"answer": "…"}'


class JsonStrategy(ActionFormat):
    """``{"thought", "tool", "arguments"}`` or ``{"thought", "answer"}`` in the text."""

    name = "json"
    acts_by = "tools"
    reserved = ("call_tool",)
    setup = SETUP
    how_to_go_on = (
        'To call a tool, write one JSON object {"tool": NAME, "arguments": {NAME: VALUE}}. To '
        'answer, write {"answer": "…"}.'
    )
    how_to_answer = HOW_TO_ANSWER

    def instruction(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        acts = turns.use_tools and tools
        return words(_ACTING if acts else ANSWERING, thought=self.style.thought)

    def written(self, step: Step) -> str:
        act = {"tool": step.tool, "arguments": dict(step.arguments)}
        return object_of(step, act, thought=self.style.thought)

    def read(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Action]:
        found = acting_object(answer.text, ("tool", "answer"))
        if (proposal := answer_of_object(self, found, "tool")) is not None:
            return [proposal]
        name, arguments = found.value["tool"], found.value.get("arguments", {})
        refuse_long(answer.text[found.start : found.end])
        if not isinstance(name, str):
            raise Fault(f'"tool" is {shortened(name)}, which is no name')
        if not isinstance(arguments, dict):
            raise Fault('"arguments" is no JSON object')
        return [Action("execute", code_of_call(name, arguments, tools))]

    def acted_until(self, text: str) -> int | None:
        return end_of_object(text, ("tool", "answer"))


def words(text: str, *, thought: bool) -> str:
    """Return an instruction whose example objects have a thought, or none."""
    return text.format(thought=_THOUGHT if thought else "")


def object_of(step: Step, act: Mapping[str, object], *, thought: bool) -> str:
    """Return an example's turn as one JSON object."""
    first = {"thought": step.thought} if thought else {}
    then = {"answer": step.answer} if step.answer else act
    return json.dumps({**first, **then}, ensure_ascii=False)


def answer_of_object(format_: ActionFormat, found: ObjectFound, other: str) -> Action | None:
    """Return the proposal that an object is, None for one that acts by its key `other`."""
    value = found.value
    if "answer" not in value:
        return None
    if value.get(other) is not None:
        raise Fault(f'its JSON object has both "answer" and "{other}", and a turn is one of them')
    try:
        answer = value["answer"]
        text = "" if answer is None else text_of(answer, found.end - found.start)
    except Fault as fault:
        return format_.refused_answer(fault)
    return Action("propose", text) if text else format_.refused_answer('its "answer" is empty')


def end_of_object(text: str, keys: tuple[str, ...]) -> int | None:
    """Return where the object of a text ends; None where there is none to act on."""
    try:
        return acting_object(text, keys).end
    except Fault:
        return None
