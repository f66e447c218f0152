"""Chosen episodes as training conversations, in the form that ``codeact select`` writes."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from codeact.collection.conversion import convert
from codeact.collection.settings import ConversionSettings
from codeact.datasets import task_type_of
from codeact.episode.record import encode
from codeact.jsonl import SourceLine
from codeact.recordings.run_folder import CONFIG
from codeact.recordings.task_types import TaskTypes
from codeact.recordings.trajectory import trajectory_of
from codeact.view.runs import ViewedRun


class ChosenConversations(NamedTuple):
    """Conversations, one JSON line each, and why other episodes have none."""

    lines: bytes
    left_out: list[str]


def conversations_of(
    run: ViewedRun, keys: Iterable[str], settings: ConversionSettings
) -> ChosenConversations:
    """Convert the episodes of some keys, in their order; raises `RecordingError`."""
    task_types = TaskTypes(run.index.source / CONFIG, task_type_of)
    lines: list[bytes] = []
    left_out: list[str] = []
    for key in keys:
        record = run.index.read(key)
        place = SourceLine(f"{run.index.source} {key}", 0)
        try:
            made = convert(trajectory_of(encode(record), place, task_types), settings)
        except ValueError as error:
            left_out.append(f"{key}: {error}")
        else:
            lines.append(msgspec.json.encode(made) + b"\n")
    return ChosenConversations(b"".join(lines), left_out)
