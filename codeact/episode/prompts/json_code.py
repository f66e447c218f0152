"""The `json_code` strategy: act by Python in one JSON object, answer by another."""

import msgspec

from codeact.episode.messages import JSON, Answer, RequestOptions
from codeact.episode.prompts.base import Action
from codeact.episode.prompts.calls import encodable
from codeact.episode.prompts.format import ActionFormat
from codeact.episode.prompts.json_calls import (
    ANSWERING,
    HOW_TO_ANSWER,
    answer_of_object,
    end_of_object,
    object_of,
    words,
)
from codeact.episode.prompts.parsing import Fault, acting_object
from codeact.episode.prompts.worked import Step
from codeact.episode.settings import TurnSettings
from codeact.episode.task import ToolSpec

_ACTING = """\
You solve tasks with Python code that is run for you; variables are kept from turn to turn.

In every turn, write one JSON object and nothing else. It is one of these two:

1) Code that is run, of which you then read what it prints, for example:
{{{thought}"code": "total = 12 + 30\\nprint(total)"}}
2) Your final answer in the form that the task asks for, for example:
{{{thought}"answer": "42"}}
"""


class JsonCodeStrategy(ActionFormat):
    """``{"thought", "code"}`` or ``{"thought", "answer"}``, as the form of the whole text."""

    name = "json_code"
    acts_by = "code"
    how_to_go_on = (
        'To run code, write one JSON object {"code": "…"}, with line ends in the code as \\n. To '
        'answer, write {"answer": "…"}.'
    )
    how_to_answer = HOW_TO_ANSWER

    def instruction(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        return words(_ACTING if turns.use_tools else ANSWERING, thought=self.style.thought)

    def options(
        self, turns: TurnSettings, tools: tuple[ToolSpec, ...], *, plain: bool
    ) -> RequestOptions:
        options = super().options(turns, tools, plain=plain)
        if plain or not self.style.form:
            return options  # such servers take no form, and the text is read without
        return msgspec.structs.replace(options, response_format=self._form(turns))

    def _form(self, turns: TurnSettings) -> JSON:
        names = [*["thought"] * self.style.thought, *["code"] * turns.use_tools, "answer"]
        schema = {
            "type": "object",
            "properties": {name: {"type": "string"} for name in names},
            "additionalProperties": False,
        }
        return {"type": "json_schema", "json_schema": {"name": "turn", "schema": schema}}

    def written(self, step: Step) -> str:
        return object_of(step, {"code": step.code}, thought=self.style.thought)

    def read(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Action]:
        found = acting_object(answer.text, ("code", "answer"))
        if (proposal := answer_of_object(self, found, "code")) is not None:
            return [proposal]
        code = found.value["code"]
        if not isinstance(code, str) or not code.strip():
            raise Fault('"code" is no text with code in it')
        if not turns.use_tools:
            raise Fault("no code is run for this task")
        return [Action("execute", encodable(code))]

    def acted_until(self, text: str) -> int | None:
        return end_of_object(text, ("code", "answer"))
