"""``codeact prepare task=NAME raw=PATH out=PATH``: raw files of a data set to task files.

Writes NAME.jsonl and NAME.card.json: source, licence, digests, what each filter kept, what was
left out and why. raw=hub:NAME, or raw=hub:NAME:CONFIG, reads a hub by the library datasets;
download=true fetches the raw files into the folder raw first, and nothing is fetched without it.
"""

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from codeact.commands.arguments import configuration, parse
from codeact.commands.help import tell_if_asked
from codeact.datasets.preparing import Card, Choice, Preparer, get, names, prepare
from codeact.datasets.preparing.download import download
from codeact.datasets.preparing.raw import HUB
from codeact.episode.settings import Settings
from codeact.exceptions import ConfigError

_MOST_SHOWN = 20


class PrepareConfig(Settings):
    """``codeact prepare``. What is ``published`` is taken as the published collection took it."""

    data_set: str
    """Which data set; `task=NAME` on the command line."""
    raw: str
    """The folder of its raw files (or the file), or `hub:NAME` or `hub:NAME:CONFIG`."""
    out: str
    """The folder for NAME.jsonl and NAME.card.json."""
    download: bool
    """Fetch the raw files into the folder raw first."""
    sample: Literal["published"] | int | None
    """How many rows: `published` is what the published collection took, null is all."""
    levels: Literal["published"] | list[str] | None
    """Which levels: `published`, null for all, or a list."""
    few_shot: Literal["published"] | int
    """Rows that are set aside as examples for prompts, in NAME.fewshot.jsonl."""
    seed: int = Field(ge=0, lt=2**32)
    """The seed of every random choice."""

    def choice(self, preparer: Preparer) -> Choice:
        """What is taken of a data set; raises `ConfigError` for numbers that make no sense."""
        published = preparer.choice
        sample = published.sample if self.sample == "published" else self.sample
        levels = published.levels if self.levels == "published" else self.levels
        few_shot = published.few_shot if self.few_shot == "published" else self.few_shot
        if sample is not None and sample < 1:
            raise ConfigError(f"sample={sample} takes nothing; give 1 or more, or null for all")
        if few_shot < 0:
            raise ConfigError(f"few_shot={few_shot} must be 0 or more")
        return Choice(sample, None if levels is None else tuple(levels), few_shot, self.seed)


def main(words: list[str]) -> int:
    """Run the command; returns 0 when task files were written; stderr has what was left out."""
    # Every other command's task is a config group; here it is the name of one data set.
    words = [f"data_set={word[5:]}" if word.startswith("task=") else word for word in words]
    arguments = parse("prepare", words)
    if tell_if_asked(
        "prepare", f"{__doc__}\n\nData sets: {', '.join(names())}", arguments, PrepareConfig
    ):
        return 0
    config = configuration("prepare", arguments, PrepareConfig)
    preparer = get(config.data_set)
    choice = config.choice(preparer)
    if config.download:
        if config.raw.startswith(HUB):
            raise ConfigError("download=true fetches files: give raw=FOLDER for them, not a hub")
        download(preparer, Path(config.raw).expanduser())
    _tell(prepare(preparer, config.raw, Path(config.out).expanduser(), choice), config.out)
    return 0


def _tell(card: Card, out: str) -> None:
    for step in card.steps:
        sys.stdout.write(f"{step.name}: {step.kept} of {step.of}\n")
    for name, file in card.files.items():
        sys.stdout.write(f"{Path(out) / name}: {file.rows} rows\n")
    sys.stdout.write(f"{Path(out) / card.name}.card.json has the details\n")
    for note in card.notes[:_MOST_SHOWN]:
        sys.stderr.write(f"note: {note}\n")
    for finding in card.findings[:_MOST_SHOWN]:
        sys.stderr.write(f"left out: {finding.where}: {finding.reason}\n")
    more = max(len(card.findings) - _MOST_SHOWN, 0) + max(len(card.notes) - _MOST_SHOWN, 0)
    if more:
        sys.stderr.write(f"... and {more} more, all in the card\n")
