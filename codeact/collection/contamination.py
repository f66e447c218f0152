"""Whether a task comes from an evaluation set, by the share of its n-grams that are in one."""

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Self

from codeact.collection.settings import ContaminationSettings
from codeact.datasets.task_files import task_rows
from codeact.episode.messages import Message
from codeact.exceptions import TaskFileError
from codeact.resources import resolve_path

_WORD = re.compile(r"\w+")
_TASK = "Task:\n"


class NGramIndex:
    """Hashes of every run of `n` words of the evaluation sets' prompts; case does not matter.

    A text of fewer words is one run, and is found only where a whole prompt is the same.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._known: set[int] = set()

    @classmethod
    def read(cls, settings: ContaminationSettings) -> Self:
        """Read the files of the preset; raises `TaskFileError` with file, line and remedy."""
        grams = cls(settings.n)
        for name in settings.files:
            for prompt in _prompts(resolve_path(name), settings.fields):
                grams.add(prompt)
        return grams

    def add(self, prompt: str) -> None:
        """Count a prompt as one of the evaluation sets'."""
        self._known.update(self._hashes(prompt))

    def overlap(self, text: str) -> float:
        """Return the share of the text's n-grams that are in the evaluation sets; 0 for no text."""
        runs = list(self._hashes(text))
        return sum(run in self._known for run in runs) / len(runs) if runs else 0.0

    def _hashes(self, text: str) -> Iterator[int]:
        words = _WORD.findall(text.casefold())
        if not words:
            return
        for start in range(max(len(words) - self._n, 0) + 1):
            run = " ".join(words[start : start + self._n]).encode()
            yield int.from_bytes(blake2b(run, digest_size=8).digest())


def task_of(messages: Sequence[Message]) -> str:
    """Return the task of a conversation, its first user message."""
    first = next((each["content"] for each in messages if each["role"] == "user"), "")
    return first.removeprefix(_TASK)


def _prompts(path: Path, fields: Sequence[str]) -> Iterator[str]:
    for number, row in task_rows(path):
        found = next((row[field] for field in fields if isinstance(row.get(field), str)), None)
        if found is None:
            raise TaskFileError(
                f"{path}, line {number}: has none of the fields {', '.join(fields)} as a text; "
                "name its own in selection.steps.contamination.fields"
            )
        yield found
