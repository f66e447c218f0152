"""Filters: small named questions about one trajectory, each with cases of both answers beside it.

A filter answers whether the trajectory may be kept. `FILTERS` has all of them by name; a preset
names those that it asks, in its order. Rules: postprocess.md, "Select".
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from codeact.collection.trajectory import Experiment, Place, TaskKey, Trajectory
from codeact.episode.effects import Counts

if TYPE_CHECKING:
    from codeact.collection.settings import SelectionSettings

Keeps = Callable[[Trajectory, "SelectionSettings"], bool]

FIRST = "Be brief.\n\n---\n\nTask:\nAn example.\n\n---\n\nTask:\nAdd 1 and 1.\n"
FAILED = "Observation:\nNameError: name 'x' is not defined\n"
WORKED = "Observation:\n2\n"
CODE = "Assistant:\n<execute> 1 + 1 </execute>\n"
PROPOSAL = "Assistant:\n<solution> 2 </solution>\n"


def example(*texts: str, invalid: int = 0, task_name: str = "math") -> Trajectory:
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
        place=Place("example", 1),
    )


class Filter(NamedTuple):
    """A question with its name, and trajectories that show both of its answers."""

    name: str
    keeps: Keeps
    kept: Sequence[Trajectory]
    dropped: Sequence[Trajectory]


FILTERS: dict[str, Filter] = {}


def register(
    name: str, *, kept: Sequence[Trajectory], dropped: Sequence[Trajectory]
) -> Callable[[Keeps], Keeps]:
    """Make a function a filter; a test asks it about its cases."""

    def add(keeps: Keeps) -> Keeps:
        FILTERS[name] = Filter(name, keeps, kept, dropped)
        return keeps

    return add


@register(
    "excluded_tasks",
    kept=[example(CODE, WORKED, PROPOSAL)],
    dropped=[example(CODE, WORKED, PROPOSAL, task_name="strategyqa")],
)
def _excluded_tasks(trajectory: Trajectory, settings: "SelectionSettings") -> bool:
    """Rule 9: data sets with too many short cuts are left out."""
    return trajectory.task.task_name not in settings.excluded_tasks


@register(
    "invalid_only",
    kept=[example(CODE, WORKED, PROPOSAL)],
    dropped=[example("Assistant:\nHm.\n", WORKED, PROPOSAL, invalid=1), example(PROPOSAL)],
)
def _invalid_only(trajectory: Trajectory, _: "SelectionSettings") -> bool:
    """Rule 10: all turns before the last were invalid, or there were none."""
    return trajectory.turns - 1 != trajectory.counts.invalid_action


@register(
    "odd_history",
    kept=[example(CODE, WORKED, PROPOSAL)],
    dropped=[example(CODE, WORKED, WORKED, PROPOSAL)],
)
def _odd_history(trajectory: Trajectory, _: "SelectionSettings") -> bool:
    """Rule 11: an empty answer left no message, so that roles do not alternate."""
    return len(trajectory.history) % 2 == 0


@register(
    "all_turns_failed",
    kept=[example(CODE, WORKED, PROPOSAL), example(CODE, FAILED, CODE, WORKED, PROPOSAL)],
    dropped=[
        example(PROPOSAL),
        example(CODE, FAILED, PROPOSAL),
        example(PROPOSAL, "Observation:\nYour answer is wrong.\n", PROPOSAL),
    ],
)
def _all_turns_failed(trajectory: Trajectory, _: "SelectionSettings") -> bool:
    """Rule 12: every turn before the last was a proposal or code that raised."""
    between = [message["content"] for message in trajectory.messages[1:-1]]
    return any(
        "<solution>" not in answer and not ("<execute>" in answer and "Error" in observation)
        for answer, observation in zip(between[::2], between[1::2], strict=False)
    )
