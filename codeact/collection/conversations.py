"""Reads files of training conversations: those of ``codeact select``, and general ones."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from codeact.collection.conversion import Conversation
from codeact.collection.shapes import conversation_of
from codeact.exceptions import RecordingError
from codeact.jsonl import SourceLine, Unreadable, decoded_lines
from codeact.recordings.trajectory import Problem

_ENDINGS = (".jsonl", ".jsonl.gz")
GENERAL = "general"
_FEWEST_PARTS = 3
"""An id of ours has more: task type, data set, task id, model, turn setting."""


class DataFile(NamedTuple):
    """A file of conversations; its `name` is its tier, or its own name otherwise."""

    name: str
    path: Path


def conversation_files(sources: Iterable[str]) -> list[DataFile]:
    """Return every file of the sources; a folder means the files directly in it, by name.

    Files of one name in several folders get different names. Raises `RecordingError` where there is
    nothing.
    """
    paths: list[Path] = []
    for source in sources:
        root = Path(source)
        found = [root] if root.is_file() else sorted(filter(_is_one, root.glob("*.jsonl*")))
        if not found:
            raise RecordingError(f"{root}: there is no such file, or no .jsonl file in the folder")
        paths += found
    paths = list({path.resolve(): path for path in paths}.values())
    stems = [path.name.removesuffix(".gz").removesuffix(".jsonl") for path in paths]
    return [
        DataFile(stem if stems.count(stem) == 1 else f"{path.resolve().parent.name}-{stem}", path)
        for stem, path in zip(stems, paths, strict=True)
    ]


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
    """Return the data set that an id names; of general conversations, `GENERAL`."""
    parts = conversation.id.split("/")
    return parts[1] if len(parts) > _FEWEST_PARTS else GENERAL
