"""A plug-in for codeact: Roman numerals as a data set, with a grader, a tool, a model, a prompt."""

import re
from collections.abc import Iterator
from typing import Literal

from codeact.datasets.family import Family
from codeact.datasets.preparing import Choice, Preparer
from codeact.datasets.preparing.base import Journal, Made
from codeact.datasets.preparing.raw import Raw
from codeact.episode.effects import Verdict
from codeact.episode.prompts import CodeStrategy
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task, ToolSpec
from codeact.models.base import ModelSettings, Request
from codeact.models.scripted import ScriptedModel
from codeact.sandboxes.base import Sandbox
from codeact.tools import Tool

LETTERS = {1000: "M", 900: "CM", 500: "D", 400: "CD", 100: "C", 90: "XC", 50: "L", 40: "XL"}
LETTERS |= {10: "X", 9: "IX", 5: "V", 4: "IV", 1: "I"}


async def roman(number: int) -> str:
    """Write a number in Roman numerals; it runs on the host, called from the REPL."""
    text = ""
    for value, letters in LETTERS.items():
        count, number = divmod(number, value)
        text += letters * count
    return text


async def same_numeral(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade an answer: the numeral itself, in either case, and nothing else."""
    return Verdict(answer.strip().upper() == task.reference)


def read(raw: Raw, _choice: Choice, journal: Journal) -> Iterator[Made]:
    """Make a row of each raw record ``{"number": 14, "numeral": "XIV"}``."""
    for place, record in enumerate(raw.records("numbers.jsonl")):
        if not isinstance(record.value.get("number"), int):
            journal.refuse(record.where, "field 'number' is not a whole number")
            continue
        prompt = f"Write {record.value['number']} in Roman numerals."
        row = {"id": place, "prompt": prompt, "reference": record.value["numeral"]}
        yield Made("roman", row, record.where)


def play(request: Request) -> str:
    """Act as a policy that asks the tool first, and then answers what it read."""
    if request.turn == 0:
        (number,) = re.findall(r"Write (\d+) in Roman", request.messages[0]["content"])
        return f"<execute> print(roman({number})) </execute>"
    numeral = request.messages[-1]["content"].split("\n")[1]
    return f"<solution> {numeral} </solution>"


class RomanSettings(ModelSettings):
    """``model.kind=roman``: a policy for these tasks that needs no server."""

    kind: Literal["roman"]
    name: str = "roman"

    def create(self) -> ScriptedModel:
        """Make its client."""
        return ScriptedModel(play)


class BriefStrategy(CodeStrategy):
    """``prompt.strategy=brief``: the code strategy without an in-context example."""

    name = "brief"

    def first_message(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> str:
        """Keep the instruction with its tools, and the task."""
        whole = super().first_message(task, task_type, turns, tools).split("\n\n---\n\n")
        return "\n\n---\n\n".join([whole[0], whole[-1]])


FAMILY = Family(
    name="roman", task_type="reasoning", graders={"strict": same_numeral}, tools=("roman",)
)
PREPARER = Preparer(
    name="roman", family="roman", source="written for this example", licence="CC0-1.0", read=read
)
TOOL = Tool(
    ToolSpec("roman", "roman(number: int) -> str", "Writes a number in Roman numerals."), roman
)
