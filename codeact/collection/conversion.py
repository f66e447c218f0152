"""Converts a trajectory to a conversation for fine-tuning (docs/selection.md, "Conversion")."""

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from codeact.collection.actions import ended
from codeact.collection.settings import ConversionSettings
from codeact.collection.tags import FEEDBACK, thoughts_untagged
from codeact.episode.messages import Message
from codeact.episode.protocol import ASSISTANT_PREFIX
from codeact.recordings.published_paths import published_name
from codeact.recordings.trajectory import Experiment, TaskKey, Trajectory

_TASK = "\n---\n\nTask:"
_THOUGHT = re.compile(r"<thought>(.*?)</thought>", re.DOTALL)
_LABEL = re.compile("Assistant[:：]")  # some models write the colon in its full-width form
_CODE = re.compile(r"(<execute>.*?</execute>)", re.DOTALL)


class Conversation(msgspec.Struct, omit_defaults=True):
    """One line of a data set. `untrained` are places of messages that its source does not train."""

    id: str
    conversations: list[Message]
    untrained: list[int] = []


def conversation_id(
    task: TaskKey, experiment: Experiment, sample: int, settings: ConversionSettings
) -> str:
    """Return the published id, or one that is unique within a collection."""
    parts = [*task, experiment.model, experiment.turn_setting]
    if settings.ids == "published":
        parts[1] = published_name(task.task_name)
    if settings.ids == "unique":
        parts += [experiment.feedback, experiment.settings, str(sample)]
    return "/".join(part for part in parts if part)


def convert(trajectory: Trajectory, settings: ConversionSettings) -> Conversation:
    """Return the conversation of a trajectory; raises `ValueError` where there is none.

    What the environment said last is left out: nothing follows it.
    """
    begin, end = _bounds(trajectory)
    if begin >= end:
        raise ValueError("there is no answer of the model in it")
    messages = _opening(trajectory, begin, settings)
    messages += [_converted(message, settings) for message in trajectory.messages[begin:end]]
    task, experiment = trajectory.task, trajectory.experiment
    return Conversation(conversation_id(task, experiment, trajectory.sample, settings), messages)


def shared_messages(trajectory: Trajectory, conversation: Conversation) -> int:
    """Return how many of a conversation's first messages its own policy did not bring about.

    They are the opening, and the restored turns of the episode that it continues.
    """
    own = _bounds(trajectory).end - first_own_message(trajectory)
    return len(conversation.conversations) - max(own, 0)


def first_own_message(trajectory: Trajectory) -> int:
    """Return the place of the first message that is the own policy's, in the history."""
    if trajectory.played is None:
        return 1 + 2 * trajectory.restored
    places = [*trajectory.places, len(trajectory.history)]
    return places[min(trajectory.restored, len(places) - 1)]


class _Bounds(NamedTuple):
    """Where the turns of a history begin, and where what is kept of them ends."""

    begin: int
    end: int


def _bounds(trajectory: Trajectory) -> _Bounds:
    if trajectory.played is None:
        messages = trajectory.messages
        has_last = len(messages) > 1 and messages[-1]["role"] == "user"
        return _Bounds(1, len(messages) - has_last)
    places = trajectory.places
    return _Bounds(places[0], places[-1] + 1) if places else _Bounds(0, 0)


def _converted(message: Message, settings: ConversionSettings) -> Message:
    """One message after the opening; tools' results stay as they are."""
    if message["role"] == "tool":
        return message.copy()
    text = message["content"].strip()
    if message["role"] == "assistant":
        text = _LABELS[settings.label](_thoughts_untagged(text))
        if settings.thoughts == "untagged":
            text = _outside_code(text, thoughts_untagged)
        if settings.after_action == "cut" and "tool_calls" not in message:
            text = ended(text) or text
    elif settings.thoughts == "untagged":
        observation, heading, feedback = text.partition(FEEDBACK)
        text = observation + heading + thoughts_untagged(feedback)
    made: Message = {"role": message["role"], "content": text}
    if "reasoning" in message:
        made["reasoning"] = message["reasoning"]
    if "tool_calls" in message:
        made["tool_calls"] = message["tool_calls"]
    return made


def _opening(trajectory: Trajectory, begin: int, settings: ConversionSettings) -> list[Message]:
    """Return instruction and task of the messages in front, without the examples among them."""
    if trajectory.played is None:
        instruction, task = _split(trajectory.messages[0]["content"])
        return [_system(instruction, settings), {"role": "user", "content": task}]
    opening = trajectory.messages[:begin]
    if not opening or opening[-1]["role"] != "user":
        raise ValueError("no message of the user with the task stands before its first turn")
    # Examples that are messages end with an answer; what follows the last one is the task.
    answers = [n for n, one in enumerate(opening) if one["role"] in ("assistant", "tool")]
    after = answers[-1] + 1 if answers else 0
    instructions = [one["content"].strip() for one in opening if one["role"] == "system"]
    asked = [one["content"].strip() for one in opening[after:] if one["role"] == "user"]
    if _TASK in asked[-1]:
        instruction, asked[-1] = _split(asked[-1])
        instructions.append(instruction.strip())
    made = [_system("\n\n".join(instructions), settings)] if any(instructions) else []
    made += [{"role": "user", "content": one} for one in asked]
    return made


def _split(first: str) -> tuple[str, str]:
    """Split a first message into instruction and task, without the example between them."""
    instruction, *parts = first.split(_TASK, 2)
    if not parts:
        raise ValueError("its first message has no task after a line of dashes")
    return instruction, f"Task:\n{parts[-1].strip()}"


def _system(text: str, settings: ConversionSettings) -> Message:
    for replacement in settings.instruction:
        text = text.replace(replacement.old, replacement.new)
    return {"role": "system", "content": text.strip()}


def _thoughts_untagged(text: str) -> str:
    text = text.removeprefix(ASSISTANT_PREFIX).strip()
    within, behind = _until_last(text, "</thought>")
    return _THOUGHT.sub(lambda found: found[1].strip(), within) + behind


def _until_last(text: str, tag: str) -> tuple[str, str]:
    """Split after the last closing `tag`: behind it no pair is looked for, at squared cost."""
    end = text.rfind(tag)
    return (text[: end + len(tag)], text[end + len(tag) :]) if end >= 0 else ("", text)


def _everywhere(text: str) -> str:
    return _LABEL.sub("", text)


def _outside_code(text: str, change: Callable[[str], str] = _everywhere) -> str:
    within, behind = _until_last(text, "</execute>")
    pieces = _CODE.split(within)
    pieces[-1] += behind
    pieces[::2] = map(change, pieces[::2])
    return "".join(pieces).strip()


_LABELS: dict[str, Callable[[str], str]] = {
    "everywhere": _everywhere,
    "outside_code": _outside_code,
}
