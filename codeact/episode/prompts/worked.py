"""Worked examples in parts, so that each format shows the same one in its own form."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

from codeact.episode import protocol

_ASSISTANT = f"\n\n{protocol.ASSISTANT_PREFIX}\n"
_OBSERVATION = "\n\nObservation:\n"


class Step(NamedTuple):
    """One turn: a thought, then code, a call of a tool, or an answer; and what came of it.

    A last step may have no observation: an answer ends the episode, or a cell that solves it.
    """

    thought: str
    code: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] = {}
    answer: str = ""
    observation: str | None = None


class Worked(NamedTuple):
    """A whole episode: the task's text, and its turns."""

    task: str
    steps: tuple[Step, ...]


@cache
def read_example(text: str) -> Worked:
    """Read an example that is written as `code` shows it."""
    task, *turns = text.strip("\n").split(_ASSISTANT)
    return Worked(task.removeprefix("Task:\n"), tuple(map(_step, turns)))


def own_example(example: Mapping[str, Any], by: Literal["code", "tools"]) -> Worked:
    """Take the example that a task brings: its text, and its steps as they are done `by`.

    A task has it in its metadata, so that it shows the task's own tools on data of its own.
    """
    return Worked(example["task"], tuple(Step(**step) for step in example[f"by_{by}"]))


def _step(turn: str) -> Step:
    written, _, observed = turn.partition(_OBSERVATION)
    return Step(
        thought=protocol.between_tags(written, "thought"),
        code=protocol.between_tags(written, "execute"),
        answer=protocol.between_tags(written, "solution"),
        observation=observed or None,
    )
