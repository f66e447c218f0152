"""Plays how tasks are solved through action formats, by a policy that knows it.

A format that acts by code runs the program and gives what it prints as the answer. One that acts by
calls makes them one in a message. So a task that passes can be solved in that format.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from codeact.datasets.family import Family, Walkthrough
from codeact.episode.effects import Completion
from codeact.episode.messages import ToolCall
from codeact.episode.prompts import ActionFormat
from codeact.episode.prompts.calling import ANSWER, CallingFormat
from codeact.episode.prompts.worked import Step
from codeact.episode.record import EpisodeRecord
from codeact.episode.settings import EpisodeSettings, TurnSettings
from codeact.episode.task import Task
from codeact.exceptions import ConfigError
from codeact.experiment.driver import Assignment, Environment, RunIdentity, play_episode
from codeact.experiment.strategies import strategy
from codeact.graders.base import Mode
from codeact.models.base import Request
from codeact.models.scripted import ScriptedModel
from codeact.sandboxes.base import Sandbox
from codeact.tools import ToolBox

_AT_ONCE = 4
_DETAIL = 500
_OBSERVATION = "Observation:\n"
_THOUGHT = "This is how it is done."


class Stuck(msgspec.Struct, frozen=True):
    """A task whose walkthrough does not solve it in a format, and why."""

    task: str
    prompt: str
    reason: str


class Walked(NamedTuple):
    """How the walkthroughs of a family went in one format."""

    prompt: str
    tasks: int
    stuck: tuple[Stuck, ...]


async def walk(
    family: Family,
    tasks: Sequence[Task],
    prompts: Sequence[str],
    *,
    sandbox: Sandbox,
    mode: Mode,
    tools: ToolBox,
) -> list[Walked]:
    """Play each task's walkthrough in each format; none where the family has no walkthroughs.

    Raises `ConfigError` for a prompt that is no format of ours, or one without actions.
    """
    if family.walkthrough is None:
        return []
    formats = [_format(name) for name in prompts]
    free = asyncio.Semaphore(_AT_ONCE)

    async def check(task: Task, format_: ActionFormat) -> Stuck | None:
        assert family.walkthrough is not None
        walkthrough = family.walkthrough(task)
        async with free:
            assignment = Assignment(task, family, family.grader(mode), 0)
            record = await play_episode(
                assignment, _environment(format_, walkthrough, sandbox, tools)
            )
        reason = _reason(record)
        return Stuck(task.key, format_.name, reason[:_DETAIL]) if reason else None

    found = []
    for format_ in formats:
        stuck = await asyncio.gather(*(check(task, format_) for task in tasks))
        found.append(Walked(format_.name, len(tasks), tuple(one for one in stuck if one)))
    return found


def _format(name: str) -> ActionFormat:
    found = strategy(name)
    if not isinstance(found, ActionFormat) or found.acts_by == "nothing":
        raise ConfigError(
            f"formats: no walkthrough can be played by prompt={name}; give formats that act, such "
            "as formats=[code,json], or formats=[] for none"
        )
    return found


def _environment(
    format_: ActionFormat, walkthrough: Walkthrough, sandbox: Sandbox, tools: ToolBox
) -> Environment:
    turns = 2 if format_.acts_by == "code" else len(walkthrough.calls) + 1
    limits = TurnSettings(max_steps=turns, max_propose_solution=1, count_down=False)
    return Environment(
        identity=RunIdentity("walkthrough", "none", "walkthrough"),
        settings=EpisodeSettings(turns=limits),
        strategy=format_,
        policy=ScriptedModel(script_of(format_, walkthrough)),
        critic=None,
        sandbox=sandbox,
        tools=tools,
    )


def script_of(format_: ActionFormat, walkthrough: Walkthrough) -> Callable[[Request], Completion]:
    """Return the policy that plays a walkthrough in a format, without any count-down."""
    steps = _steps(format_, walkthrough)

    def script(request: Request) -> Completion:
        step = steps[request.turn]
        if not (step.code or step.tool):
            told = None if format_.acts_by == "code" else walkthrough.answer
            step = step._replace(answer=_observed(request) if told is None else told)
        return written_as(format_, step, request.turn)

    return script


def _steps(format_: ActionFormat, walkthrough: Walkthrough) -> list[Step]:
    """The turns of an episode; the last one is the answer, which is filled in then."""
    if format_.acts_by == "code":
        acts = [Step(_THOUGHT, code=walkthrough.program)]
    else:
        acts = [Step(_THOUGHT, tool=tool, arguments=given) for tool, given in walkthrough.calls]
    return [*acts, Step(_THOUGHT)]


def _observed(request: Request) -> str:
    """Return what came of the turn before."""
    content = str(request.messages[-1].get("content"))
    return content.removeprefix(_OBSERVATION).strip()


def written_as(format_: ActionFormat, step: Step, number: int) -> Completion:
    """Return a step as a policy writes it; `number` is that of its turn, for the call's id."""
    if not isinstance(format_, CallingFormat):
        return Completion(format_.written(step))
    name, arguments = (ANSWER, {"value": step.answer}) if step.answer else format_.call(step)
    call = ToolCall(id=f"call{number}", name=name, arguments=json.dumps(arguments))
    return Completion(step.thought, tool_calls=(call,))


def _reason(record: EpisodeRecord) -> str:
    """Return why an episode did not go as it should; nothing if it did."""
    if record.outcome.cause is not None:
        return f"{record.outcome.cause}: {record.outcome.error}"
    for number, turn in enumerate(record.turns, 1):
        if turn.action == "invalid" or turn.status not in (None, "ok"):
            return f"turn {number} ({turn.action}) went wrong: {turn.observation}"
    if not record.outcome.success:
        last = record.turns[-1]
        return f"the answer {last.content[:80]!r} is judged wrong: {last.detail}"
    return ""
