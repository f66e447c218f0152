"""Filters: named tests of one trajectory, each with examples that it keeps and drops.

A filter returns whether the trajectory may be kept. `FILTERS` has all of them by name; a preset
names those that it applies, in its order. docs/selection.md lists them.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from codeact.collection.actions import invented_at, trailing_text
from codeact.collection.filter_views import (
    acted,
    all_failed,
    shown,
    task_text,
    texts,
    unanswered_actions,
)
from codeact.episode.effects import Counts
from codeact.episode.protocol import PARSE_FAILURE
from codeact.jsonl import SourceLine
from codeact.recordings.trajectory import Experiment, TaskKey, Trajectory


class FilterSettings(Protocol):
    """What filters read of a selection's settings."""

    @property
    def excluded_tasks(self) -> list[str]: ...

    @property
    def leaks(self) -> Literal["feedback", "observation"]: ...


Keeps = Callable[[Trajectory, FilterSettings], bool]

FIRST = "Be brief.\n\n---\n\nTask:\nAn example.\n\n---\n\nTask:\nAdd 1 and 1.\n"
FAILED = "Observation:\nNameError: name 'x' is not defined\n"
WORKED = "Observation:\n2\n"
CODE = "Assistant:\n<execute> 1 + 1 </execute>\n"
PROPOSAL = "Assistant:\n<solution> 2 </solution>\n"


LEAK = "Observation:\nYour answer is wrong.\n\nExpert feedback:\nNo, it is Ombrey Castle.\n"
LEFT = "\nYou have 10 steps left and 1 chances to propose solution left.\n"
HINT = "Observation:\n2\n\nExpert feedback:\nNo, think of castles.\n"


def example(
    *texts: str, invalid: int = 0, task_name: str = "math", reference: object = None
) -> Trajectory:
    """A solved trajectory for a filter's cases: what follows the first message, in turn.

    Texts that begin with ``Observation:`` are the environment's, all others the model's.
    """
    roles = ["user" if text.startswith("Observation:") else "assistant" for text in texts]
    messages = [("user", FIRST), *zip(roles, texts, strict=True)]
    return Trajectory(
        task=TaskKey("reasoning", task_name, "1"),
        experiment=Experiment("m", "", "", "max5_p2+tool+cd"),
        history=[
            msgspec.Raw(msgspec.json.encode({"role": role, "content": text}))
            for role, text in messages
        ],
        success=True,
        counts=Counts(propose_solution=1, invalid_action=invalid),
        reference=msgspec.Raw(msgspec.json.encode(reference)),
        place=SourceLine("example", 1),
    )


class Filter(NamedTuple):
    """A filter with its name, and trajectories that it keeps and drops."""

    name: str
    keeps: Keeps
    kept: Sequence[Trajectory]
    dropped: Sequence[Trajectory]


FILTERS: dict[str, Filter] = {}


def register(
    name: str, *, kept: Sequence[Trajectory], dropped: Sequence[Trajectory]
) -> Callable[[Keeps], Keeps]:
    """Register a function as a filter; a test applies it to its examples."""

    def add(keeps: Keeps) -> Keeps:
        FILTERS[name] = Filter(name, keeps, kept, dropped)
        return keeps

    return add


@register(
    "excluded_tasks",
    kept=[example(CODE, WORKED, PROPOSAL)],
    dropped=[example(CODE, WORKED, PROPOSAL, task_name="strategyqa")],
)
def _excluded_tasks(trajectory: Trajectory, settings: FilterSettings) -> bool:
    """Drop data sets with too many short cuts."""
    return trajectory.task.task_name not in settings.excluded_tasks


@register(
    "invalid_only",
    kept=[example(CODE, WORKED, PROPOSAL)],
    dropped=[example("Assistant:\nHm.\n", WORKED, PROPOSAL, invalid=1), example(PROPOSAL)],
)
def _invalid_only(trajectory: Trajectory, _: FilterSettings) -> bool:
    """Drop trajectories whose turns before the last were all invalid, or that had none."""
    return trajectory.turns - 1 != trajectory.counts.invalid_action


@register(
    "odd_history",
    kept=[example(CODE, WORKED, PROPOSAL)],
    dropped=[example(CODE, WORKED, WORKED, PROPOSAL)],
)
def _odd_history(trajectory: Trajectory, _: FilterSettings) -> bool:
    """Drop trajectories where an empty answer left no message: roles do not alternate.

    Where turns name their messages, none is missing.
    """
    return trajectory.played is not None or len(trajectory.history) % 2 == 0


@register(
    "all_turns_failed",
    kept=[example(CODE, WORKED, PROPOSAL), example(CODE, FAILED, CODE, WORKED, PROPOSAL)],
    dropped=[
        example(PROPOSAL),
        example(CODE, FAILED, PROPOSAL),
        example(PROPOSAL, "Observation:\nYour answer is wrong.\n", PROPOSAL),
    ],
)
def _all_turns_failed(trajectory: Trajectory, _: FilterSettings) -> bool:
    """Drop trajectories in which each turn before the last was a proposal or code that raised."""
    return not all_failed(trajectory)


HABITS = ("several_actions", "invented_environment", "trailing_text")
"""What no model should learn from a solution, whatever the data is used for."""
TWICE = "Assistant:\n<execute> a = 1 </execute>\nThen:\n<execute> a </execute>\n"
QUOTED = "Assistant:\n<execute>\nprint('''\nOut[1]: 1\nYou have 1 step left''')\n</execute>\n"
LOUD = "Assistant:\nI add them.\n<execute> 1 + 1 </execute>\nThis prints 2.\n"
FENCED = "Assistant:\n```\n<execute> 1 + 1 </execute>\n```\n"
PLANNED = "Assistant:\nOutput: a number. You have 2 steps left is what I read.\n"


@register(
    "several_actions",
    kept=[
        example(CODE, WORKED, PROPOSAL),
        example(CODE, WORKED, "Assistant:\nSay </execute> or <solution> 2 </solution>\n"),
        example("Assistant:\nNone at all.\n", WORKED, LOUD, WORKED, PROPOSAL),
    ],
    dropped=[
        example(TWICE, WORKED, PROPOSAL),
        example(CODE, WORKED, CODE + PROPOSAL),
        example(CODE, WORKED, PROPOSAL + PROPOSAL),
        example(CODE, WORKED, "<execute> <solution> 2 </solution> </execute>"),
    ],
)
def _several_actions(trajectory: Trajectory, _: FilterSettings) -> bool:
    """A turn has more than one action, so that its answer is not to one of them.

    Several that each got an observation of their own are no fault.
    """
    return not unanswered_actions(trajectory)


@register(
    "invented_environment",
    kept=[
        example(CODE, WORKED, PROPOSAL),
        example(QUOTED, WORKED, PROPOSAL),
        example(PLANNED + CODE, WORKED, PROPOSAL),
        example("Assistant:\nMy observation: it is 2.\n" + CODE, WORKED, PROPOSAL),
        example(CODE, WORKED, "Assistant:\nI have 1 step left, so:\n<solution> 2 </solution>\n"),
    ],
    dropped=[
        example(CODE + "Observation:\n2\n", WORKED, PROPOSAL),
        example(CODE + "**Observation:** 2\n", WORKED, PROPOSAL),
        example("Assistant:\nUser: Observation:\n2\n" + PROPOSAL, WORKED, PROPOSAL),
        example(CODE, WORKED, PROPOSAL + "You have 3 steps left and 1 chance to propose left.\n"),
        example(CODE, WORKED, PROPOSAL + "You should take the last step to propose a solution.\n"),
        example(CODE + "\nExpert feedback:\nGood.\n", WORKED, PROPOSAL),
        example(CODE + "Output:\n2\n", WORKED, PROPOSAL),
        example(CODE, WORKED, PROPOSAL + "<thought> I have no more steps left. </thought>"),
        example(CODE + "Out[1]: 2\n", WORKED, PROPOSAL),
        example(CODE, WORKED, PROPOSAL + "Your answer is wrong.\n", WORKED, PROPOSAL),
        example("<execute> 1\nObservation:\n1\n</execute>", WORKED, PROPOSAL),
        example(CODE, WORKED, PROPOSAL + "\nTask:\nAdd 2 and 2.\n"),
    ],
)
def _invented_environment(trajectory: Trajectory, _: FilterSettings) -> bool:
    """The model wrote what only the environment says: observations, count-downs, feedback."""
    return all(invented_at(turn) is None for turn in texts(trajectory))


@register(
    "trailing_text",
    kept=[
        example(CODE, WORKED, PROPOSAL),
        example(FENCED, WORKED, "Assistant:\nIt is <solution> 2 </solution>.\n"),
        example("Assistant:\n<thought> I add. <execute> 1 + 1 </execute> </thought>\n", WORKED),
        example("Assistant:\nNone at all.\n", WORKED, PROPOSAL),
    ],
    dropped=[
        example(LOUD, WORKED, PROPOSAL),
        example(CODE, WORKED, "Assistant:\n<solution> 2 </solution> apples\n"),
        example(TWICE, WORKED, PROPOSAL),
    ],
)
def _trailing_text(trajectory: Trajectory, _: FilterSettings) -> bool:
    """Drop turns that go on after an action, before the model could know its result."""
    return not any(map(trailing_text, texts(trajectory)))


SAME = "Observation:\nOut[2]: 2\nYou have 2 steps left and 2 chances to propose solution left.\n"
OTHER = "Assistant:\n<execute> x = 2 </execute>\n"
WRONG = "Observation:\nYour answer is wrong.\n"


@register(
    "repeated_turn",
    kept=[
        example(CODE, WORKED, PROPOSAL),
        example(CODE, FAILED, OTHER, WORKED, CODE, FAILED, PROPOSAL),
        example(CODE, FAILED, CODE, WORKED, PROPOSAL),
        example(PROPOSAL, WRONG, "Assistant:\n<solution> 3 </solution>\n"),
        example("Assistant:\nHm.\n", WORKED, "Assistant:\nHm.\n", WORKED, PROPOSAL),
        example(),
    ],
    dropped=[
        example(CODE, "Observation:\nOut[1]: 2\n", CODE, SAME, PROPOSAL),
        example(CODE, WORKED, "Assistant:\nAgain:\n<execute>1 + 1</execute>\n", WORKED, PROPOSAL),
        example(CODE, WORKED, PROPOSAL, WRONG, CODE, HINT, PROPOSAL),
        example(PROPOSAL, WRONG, CODE, WORKED, PROPOSAL),
    ],
)
def _repeated_turn(trajectory: Trajectory, _: FilterSettings) -> bool:
    """Drop trajectories that run the last cell again to see the same, or repeat a proposal.

    With another cell in between it may be a test that is run again after a change.
    """
    last_cell, proposed = None, set()
    for action, observation in acted(trajectory):
        if action.startswith("<solution>"):
            if action in proposed:
                return False
            proposed.add(action)
        elif (action, observation) == last_cell:
            return False
        else:
            last_cell = (action, observation)
    return True


_COMMA = re.compile(r",(?<=\d,)(?=\d{3})")  # starts with a rare character, to be quick
_TRIVIAL = {"yes", "no", "true", "false", "none"}


@register(
    "gold_leak",
    kept=[
        example(CODE, HINT, "Ombrey Castle", LEAK, PROPOSAL, reference="Ombrey Castle"),
        example(CODE, "Observation:\nOmbrey Castle\n", CODE, LEAK, reference="Ombrey Castle"),
        example(CODE, "Observation:\n42\n", PROPOSAL, reference=42),
        example(CODE, LEAK, PROPOSAL, reference="n"),
        example("Hm.", f"Observation:\n{PARSE_FAILURE}\n", CODE, WORKED, PROPOSAL, reference=42),
        example(PROPOSAL, f"Observation:\nNo.{LEFT}", CODE, WORKED, PROPOSAL, reference=10),
        example(CODE, LEAK, PROPOSAL, reference="No"),
        example(CODE, LEAK, PROPOSAL, reference="brey"),
        example(CODE, "Observation:\n\nExpert feedback:\nAdd 1 and 1", reference="Add 1 and 1."),
        example(CODE, LEAK, PROPOSAL, reference=None),
    ],
    dropped=[
        example(CODE, LEAK, PROPOSAL, reference="ombrey castle"),
        example(CODE, LEAK, PROPOSAL, reference=["Elsewhere", "Ombrey  Castle"]),
        example(PROPOSAL, "Observation:\nNo: 1,684.\n", PROPOSAL, reference=1684.0),
    ],
)
def _gold_leak(trajectory: Trajectory, settings: FilterSettings) -> bool:
    """The reference was shown before the model had said it, or its code had printed it.

    A reference of one letter or digit, yes and no are found anywhere and tell nothing; nor does
    one that stands in the task itself, nor what the protocol's own words say. What is no text,
    number or list of them is never shown.
    """
    task = _normal(task_text(trajectory))
    pieces = [(_normal(said), by_others) for said, by_others in shown(trajectory, settings.leaks)]
    for answer in _answers(msgspec.json.decode(trajectory.reference)):
        if _shows(task, answer):
            continue
        if next((by_others for said, by_others in pieces if _shows(said, answer)), False):
            return False
    return True


def _shows(text: str, answer: str) -> bool:
    """Whether an answer stands in a text, as a word or number of its own; both are normal."""
    if answer not in text:  # hardly any text has it, and this check takes a tenth of the time
        return False
    return bool(re.search(rf"(?<![\w.]){re.escape(answer)}(?!\w|\.\d)", text))


def _answers(reference: object) -> Iterator[str]:
    """The forms of a reference that are worth looking for."""
    if isinstance(reference, list):
        for one in reference:
            yield from _answers(one)
    elif isinstance(reference, str | int | float) and not isinstance(reference, bool):
        text = _normal(str(reference)).removesuffix(".0")
        if sum(map(str.isalnum, text)) > 1 and text not in _TRIVIAL:
            yield text


def _normal(text: str) -> str:
    """Case, runs of white space and commas in numbers tell nothing."""
    return _COMMA.sub("", " ".join(text.casefold().split()))
