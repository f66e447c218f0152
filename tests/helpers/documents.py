"""Reads the repository's documents: their fenced blocks, and the commands in these."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: where its text begins, the word after its fence, and its text."""

    file: Path
    line: int
    language: str
    text: str


class Command(NamedTuple):
    """A command of a document, with the output that a ``console`` block shows beneath it."""

    file: Path
    line: int
    text: str
    output: str | None = None

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.text}"


def blocks(file: Path) -> Iterator[Block]:
    """All fenced blocks of a document, in its order."""
    text = file.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        yield Block(file, text.count("\n", 0, match.start(2)) + 1, match[1], match[2])


def commands(file: Path) -> Iterator[Command]:
    """All commands of a document: lines of ``sh`` blocks, and those after ``$`` in ``console``."""
    for block in blocks(file):
        if block.language == "sh":
            yield from _lines(block)
        elif block.language == "console":
            for match in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
                line = block.line + block.text.count("\n", 0, match.start())
                yield Command(file, line, match[1], match[2])


def _lines(block: Block) -> Iterator[Command]:
    begun, whole = 0, ""
    for number, line in enumerate(block.text.splitlines(), block.line):
        begun = begun if whole else number
        whole += line.removesuffix("\\")
        if line.endswith("\\"):
            continue
        if shlex.split(whole, comments=True):
            yield Command(block.file, begun, " ".join(whole.split("#")[0].split()))
        whole = ""
