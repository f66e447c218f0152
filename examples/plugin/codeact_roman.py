"""A plug-in for codeact: Roman numerals, with every part that a plug-in can have."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from codeact.datasets.family import Family
from codeact.datasets.preparing import Choice, Preparer
from codeact.datasets.preparing.base import Journal, Made
from codeact.datasets.preparing.raw import Raw
from codeact.episode.effects import Verdict
from codeact.episode.prompts import CodeStrategy
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task, ToolSpec
from codeact.experiment.config.trackers import TrackerSettings
from codeact.models.base import ModelSettings, Request
from codeact.models.scripted import ScriptedModel
from codeact.results.trackers.base import FinalUpdate, MetricsRow, Notice, TrackedRun
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


class LinesSettings(TrackerSettings):
    """``tracker=lines``: the numbers of a run as JSON lines, in its folder."""

    tracker_class: ClassVar[str] = "codeact_roman:LinesTracker"

    kind: Literal["lines"]


class LinesTracker:
    """Writes every row that it is told to ``rows.jsonl``."""

    label = "lines"
    patience = 5.0

    def __init__(self, notice: Notice) -> None:
        self._notice = notice

    def obstacle(self, settings: TrackerSettings) -> str | None:
        """Nothing is needed."""
        return None

    def begin(self, run: TrackedRun) -> bool:
        return run.owed > 0

    def open(self, run: TrackedRun) -> None:
        """Nothing has to be opened."""

    def log(self, run: TrackedRun, sent: MetricsRow) -> None:
        with (run.folder.path / "rows.jsonl").open("a") as file:
            file.write(json.dumps({"step": sent.step, **sent.row}) + "\n")

    def finish(self, run: TrackedRun, final: FinalUpdate) -> None:
        self.log(run, final.sent)

    def close(self) -> None:
        """Nothing is open."""

    def unsent(self, folders: Sequence[Path]) -> str:
        return f"rows.jsonl is not complete in {', '.join(map(str, folders))}"


FAMILY = Family(
    name="roman", task_type="reasoning", graders={"strict": same_numeral}, tools=("roman",)
)
PREPARER = Preparer(
    name="roman", family="roman", source="written for this example", licence="CC0-1.0", read=read
)
TOOL = Tool(
    ToolSpec("roman", "roman(number: int) -> str", "Writes a number in Roman numerals."), roman
)
