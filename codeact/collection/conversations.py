"""Reads files of training conversations: those of ``codeact select``, and general ones."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from codeact.collection.conversion import Conversation
from codeact.collection.shapes import conversation_of
from codeact.exceptions import RecordingError
from codeact.jsonl import SourceLine, Unreadable, decoded_lines
from codeact.recordings.published_paths import our_name
from codeact.recordings.trajectory import Problem

_ENDINGS = (".jsonl", ".jsonl.gz")
REPORT = "report.json"
"""What a selection, or another stage, says of itself in its folder."""
GENERAL = "general"
_FEWEST_PARTS = 3
"""An id of ours has more: task type, data set, task id, model, turn setting."""


class DataFile(NamedTuple):
    """A file of conversations; its `name` is its tier, or its own name otherwise."""

    name: str
    path: Path


def conversation_files(sources: Iterable[str]) -> list[DataFile]:
    """Return every file of the sources; a folder means the files directly in it, by name.

    Of a selection's folder the file with all tiers is left out, as it repeats the others. Files of
    one name in several folders get different names. Raises `RecordingError` where there is nothing.
    """
    paths: list[Path] = []
    for source in sources:
        root = Path(source)
        found = [root] if root.is_file() else _directly_in(root)
        if not found:
            raise RecordingError(f"{root}: there is no such file, or no .jsonl file in the folder")
        paths += found
    paths = list({path.resolve(): path for path in paths}.values())
    stems = [path.name.removesuffix(".gz").removesuffix(".jsonl") for path in paths]
    return [
        DataFile(stem if stems.count(stem) == 1 else f"{path.resolve().parent.name}-{stem}", path)
        for stem, path in zip(stems, paths, strict=True)
    ]


def _directly_in(folder: Path) -> list[Path]:
    whole = whole_file(folder)
    return sorted(path for path in folder.glob("*.jsonl*") if _is_one(path) and path.name != whole)


def whole_file(folder: Path) -> str:
    """Return the name of a selection's file with all tiers, or an empty text."""
    try:
        report = msgspec.json.decode((folder / REPORT).read_bytes(), type=_Report)
    except (OSError, msgspec.MsgspecError):
        return ""  # a folder without a report, or with that of something else
    # A file of somebody else's making is not led outside of its folder.
    return report.whole if report.whole == Path(report.whole).name else ""


class _Report(msgspec.Struct):
    whole: str = ""


def _is_one(path: Path) -> bool:
    return path.name.endswith(_ENDINGS) and path.is_file() and not path.name.startswith(".")


def read_conversations(path: Path, problems: list[Problem]) -> Iterator[Conversation]:
    """Yield every conversation of a file; other lines are added to `problems`."""
    for found in decoded_lines(path, _placed, "conversation"):
        if isinstance(found, Unreadable):
            problems.append(Problem.of(found))
            continue
        place, conversation = found
        if any(one["role"] == "assistant" for one in conversation.conversations):
            yield conversation
        else:
            problems.append(Problem(str(place), "has no message of the assistant"))


def _placed(line: bytes, place: SourceLine) -> tuple[SourceLine, Conversation]:
    return place, conversation_of(line, place)


def data_set_of(conversation: Conversation) -> str:
    """Return our name of the data set that an id names; of general conversations, `GENERAL`."""
    parts = conversation.id.split("/")
    return our_name(parts[1]) if len(parts) > _FEWEST_PARTS else GENERAL
