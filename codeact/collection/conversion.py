"""Converts a trajectory to a conversation for fine-tuning (docs/selection.md, "Conversion")."""

import re
from collections.abc import Callable

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

    The environment's last message is left out: nothing follows it.
    """
    first, *rest = trajectory.messages
    if rest and rest[-1]["role"] == "user":
        rest.pop()
    if not rest:
        raise ValueError("there is no answer of the model in it")
    without_label = _LABELS[settings.label]
    messages = _opening(first["content"], settings)
    for message in rest:
        text = message["content"].strip()
        if message["role"] == "assistant":
            text = without_label(_thoughts_untagged(text))
            if settings.thoughts == "untagged":
                text = _outside_code(text, thoughts_untagged)
            if settings.after_action == "cut":
                text = ended(text) or text
        elif settings.thoughts == "untagged":
            observation, heading, feedback = text.partition(FEEDBACK)
            text = observation + heading + thoughts_untagged(feedback)
        messages.append({"role": message["role"], "content": text})
    task, experiment = trajectory.task, trajectory.experiment
    return Conversation(conversation_id(task, experiment, trajectory.sample, settings), messages)


def _opening(first: str, settings: ConversionSettings) -> list[Message]:
    """Return instruction and task, without the example between them."""
    instruction, *parts = first.split(_TASK, 2)
    if not parts:
        raise ValueError("its first message has no task after a line of dashes")
    for replacement in settings.instruction:
        instruction = instruction.replace(replacement.old, replacement.new)
    return [
        {"role": "system", "content": instruction.strip()},
        {"role": "user", "content": f"Task:\n{parts[-1].strip()}"},
    ]


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
