"""The words of all messages, which a search needs: a process of its own takes them in."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from codeact.exceptions import RecordingError
from codeact.recordings.index import Index

FEW = 1000
"""Episodes whose words a search itself takes in."""


def take_in_words(sources: Sequence[Path]) -> None:
    """Take in the words of each source's index; gives way to whatever else runs."""
    os.nice(10)
    for source in sources:
        with suppress(RecordingError), Index.open(source) as index:
            while index.index_texts():
                pass
