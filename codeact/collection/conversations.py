"""Reads files of training conversations, as ``codeact select`` writes them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from codeact.collection.conversion import Conversation
from codeact.exceptions import RecordingError
from codeact.jsonl import SourceLine, Unreadable, decoded_lines
from codeact.recordings.trajectory import Problem

_CONVERSATION = msgspec.json.Decoder(Conversation)
_ENDINGS = (".jsonl", ".jsonl.gz")


class DataFile(NamedTuple):
    """A file of conversations; its `name` is the tier's, or whatever else the file is called."""

    name: str
    path: Path


def conversation_files(sources: Iterable[str]) -> list[DataFile]:
    """Every file of the sources; a folder stands for the files right in it, by name.

    Names are made different where several folders have files of one name. Raises
    `RecordingError` where there is nothing.
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
    """Every conversation of a file; lines that hold none are added to `problems`."""
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
    return place, _CONVERSATION.decode(line)


def data_set_of(conversation: Conversation) -> str:
    """The data set that an id names; empty where it names none."""
    _, _, rest = conversation.id.partition("/")
    return rest.partition("/")[0]
