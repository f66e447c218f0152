"""Data sets of a hub: parquet and a card in a folder, and the way to the hub."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from codeact.collection.card import Split, card
from codeact.collection.convert_settings import ConvertConfig
from codeact.collection.examples import encoded
from codeact.episode.messages import JSON
from codeact.exceptions import ConfigError
from codeact.recordings.trajectory import Problem

CARD = "README.md"


class SplitRows:
    """The rows of a split to be, on disk, and which keys their messages have.

    All splits of a data set need the same columns, and only the last row tells which.
    """

    def __init__(self, rows: Iterable[JSON], folder: Path) -> None:
        """`folder` is where a nameless file is made; `close` removes it."""
        self.keys: set[str] = set()
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - until `close`
        for row in rows:
            self._file.write(encoded(row))
            for message in row["conversations"]:
                self.keys |= message.keys()

    def close(self) -> None:
        self._file.close()

    def rows(self, more: Sequence[str]) -> Iterator[JSON]:
        """Yield the rows; messages that lack one of the keys `more` have null there."""
        nothing = dict.fromkeys(more)
        self._file.seek(0)
        for line in self._file:
            row: JSON = msgspec.json.decode(line)
            row["conversations"] = [nothing | message for message in row["conversations"]]
            yield row


MORE = ("reasoning", "tool_calls", "tool_call_id")
"""Columns of messages that are there only where a message of the data set has one."""


def write_split(
    rows: SplitRows,
    folder: Path,
    name: str,
    sources: Sequence[Path],
    *,
    masked: bool,
    more: Sequence[str] = (),
) -> Split | None:
    """Write the rows of one split as parquet; returns None where there are none."""
    from datasets import (  # type: ignore[import-untyped]
        Dataset,
        Features,
        Value,
        disable_progress_bars,
    )

    disable_progress_bars()
    text = Value("string")
    message: JSON = {"role": text, "content": text} | dict.fromkeys(more, text)
    if "tool_calls" in more:
        message["tool_calls"] = [{"id": text, "name": text, "arguments": text}]
    if masked:
        message["loss"] = Value("bool")
    features = Features({"id": text, "conversations": [message]})
    (folder / "data").mkdir(exist_ok=True)
    split = _split_name(name)
    file = f"data/{split}-00000-of-00001.parquet"
    # The library would find what it made before by a digest of the generator, which has none; its
    # cache is new each time, so any name is unique.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".cache-") as cache:
        try:
            made: Any = Dataset.from_generator(
                partial(rows.rows, more), features=features, cache_dir=cache, fingerprint=split
            )
        except ValueError as error:
            if "corresponds to no data" not in str(error):
                raise
            return None
        made.to_parquet(str(folder / file))
    return Split(split, file, tuple(sources), made.num_rows, tuple(more))


def write_card(
    splits: Sequence[Split], folder: Path, config: ConvertConfig, problems: Sequence[Problem]
) -> None:
    """Write the card of the splits in a folder."""
    text = card(
        splits,
        licence=config.licence,
        loss=config.loss,
        tags=config.tags,
        left_out=len(problems),
    )
    (folder / CARD).write_text(text, encoding="utf-8")


def _split_name(name: str) -> str:
    """A hub's splits are words joined by underscores and dots."""
    return "".join(char if char.isalnum() or char == "." else "_" for char in name)


def push(folder: Path, config: ConvertConfig) -> None:
    """Send a written data set to the hub; raises `ConfigError` where that fails."""
    from datasets import load_dataset
    from huggingface_hub import HfApi

    repository = str(config.repository)
    try:
        with tempfile.TemporaryDirectory(prefix="codeact-push-") as cache:
            made = load_dataset(str(folder), cache_dir=cache)
            made.push_to_hub(repository, private=config.private)
        HfApi().upload_file(
            path_or_fileobj=folder / CARD,
            path_in_repo=CARD,
            repo_id=repository,
            repo_type="dataset",
        )
    except Exception as error:  # any error of the libraries, for a network or a token
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{repository}: could not be pushed ({reason}); everything is written to {folder}: "
            "give the same command where the hub can be reached, with a token in HF_TOKEN"
        ) from error
