"""``codeact prepare task=NAME raw=PATH out=PATH``: raw files of a data set to task files.

Writes NAME.jsonl and NAME.card.json: source, licence, digests, what each filter kept, what was
left out and why. raw=hub:NAME, or raw=hub:NAME:CONFIG, reads a hub by the library datasets;
download=true fetches the raw files into the folder raw first, and nothing is fetched without it.
task=codeact_instruct prepares all training sets of the published collection, each from its folder
in the folder raw, with one card. corpus=NAME in place of task=NAME makes NAME.corpus, the index of
search=corpus, of the pages in raw: lines of {"title", "text"}, or HotpotQA's questions or dump.
"""

import sqlite3
import sys
from itertools import chain
from pathlib import Path
from typing import Literal

from pydantic import Field

from codeact.commands.arguments import configuration, parse
from codeact.commands.help import tell_if_asked
from codeact.datasets.preparing import (
    Card,
    Choice,
    CollectionCard,
    Part,
    Preparer,
    get,
    names,
    prepare,
    prepare_all,
)
from codeact.datasets.preparing.collections import COLLECTIONS, Collection, raw_folder
from codeact.datasets.preparing.download import download
from codeact.datasets.preparing.raw import HUB
from codeact.episode.settings import Settings
from codeact.exceptions import ConfigError, TaskFileError
from codeact.experiment.config.tasks import Missing
from codeact.resources import data_folder
from codeact.results.downloads import DownloadProgress

_MOST_SHOWN = 20


class PrepareConfig(Settings):
    """``codeact prepare``. What is ``published`` is taken as the published collection took it."""

    data_set: str | None
    """Which data set, or `codeact_instruct` for all training sets; `task=NAME` on the command
    line."""
    corpus: str | None = Field(default=None, pattern=r"^[\w-]+$")
    """The name of an index that is made of pages, in place of a data set."""
    raw: str
    """The folder of its raw files (or the file), or `hub:NAME` or `hub:NAME:CONFIG`."""
    out: str
    """The folder for NAME.jsonl and NAME.card.json."""
    download: bool
    """Fetch the raw files into the folder raw first, as far as they are not there."""
    url: str | None
    """A mirror in place of the published addresses: a folder that has the files at their paths in
    the folder raw, or the address of one of them."""
    verify: bool
    """Whether what is fetched has to have the published sizes and digests."""
    missing: Missing
    """What to do about a data set of `codeact_instruct` whose raw files are not there."""
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
    if any(word.startswith("corpus=") for word in words):
        words = [*words, "data_set=null"]
    words = [f"data_set={word[5:]}" if word.startswith("task=") else word for word in words]
    arguments = parse("prepare", words)
    known = ", ".join([*names(), *COLLECTIONS])
    if tell_if_asked("prepare", f"{__doc__}\n\nData sets: {known}", arguments, PrepareConfig):
        return 0
    config = configuration("prepare", arguments, PrepareConfig)
    if config.url is not None and not config.download:
        raise ConfigError("url= is where download=true fetches from; give that, too")
    if config.download and config.raw.startswith(HUB):
        raise ConfigError("download=true fetches files: give raw=FOLDER for them, not a hub")
    if config.corpus is not None:
        _prepare_corpus(config, config.corpus)
        return 0
    if config.data_set is None:
        raise ConfigError("give task=NAME for task files, or corpus=NAME for an index of pages")
    if (collection := COLLECTIONS.get(config.data_set)) is not None:
        _prepare_collection(config, config.data_set, collection)
    else:
        _prepare_one(config, config.data_set)
    return 0


def _prepare_corpus(config: PrepareConfig, name: str) -> None:
    """Make an index; raises `TaskFileError` where there is no page."""
    from codeact.datasets.preparing.base import Journal
    from codeact.datasets.preparing.pages import read_pages
    from codeact.tools.corpus import Page, build_corpus

    if config.download or config.raw.startswith(HUB):
        raise ConfigError("corpus= is made of files that are there: give raw=FILE or raw=FOLDER")
    raw, out = Path(config.raw).expanduser(), Path(config.out).expanduser() / f"{name}.corpus"
    journal = Journal()
    pages = (Page(*page) for page in read_pages(raw, journal))
    if (first := next(pages, None)) is None:
        why = f": {journal.findings[0].where}: {journal.findings[0].reason}" * bool(
            journal.findings
        )
        raise TaskFileError(f"raw={raw} holds no page{why}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        count = build_corpus(chain([first], pages), out)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"{out} cannot be written ({error})") from error
    sys.stdout.write(f"{out}: {count:,} pages, {out.stat().st_size:,} bytes\n")
    for finding in journal.findings[:_MOST_SHOWN]:
        sys.stderr.write(f"left out: {finding.where}: {finding.reason}\n")
    if (more := len(journal.findings) - _MOST_SHOWN) > 0:
        sys.stderr.write(f"... and {more} more\n")


def _prepare_one(config: PrepareConfig, data_set: str) -> None:
    preparer = get(data_set)
    choice = config.choice(preparer)
    if config.download:
        with DownloadProgress() as progress:
            _fetch(preparer, Path(config.raw).expanduser(), config, progress, config.url)
    _tell(prepare(preparer, config.raw, Path(config.out).expanduser(), choice), config.out)


def _prepare_collection(config: PrepareConfig, name: str, collection: Collection) -> None:
    with DownloadProgress() as progress:
        parts, left_out = _parts(config, collection, progress)
    out = Path(config.out).expanduser()
    skip = config.missing == "skip"
    card = prepare_all(name, parts, out, left_out, skip_missing=skip)
    _tell_all(card, config.out)


def _fetch(
    preparer: Preparer,
    folder: Path,
    config: PrepareConfig,
    progress: DownloadProgress,
    url: str | None,
) -> None:
    for notice in download(preparer, folder, progress, url=url, verify=config.verify):
        sys.stderr.write(f"note: {notice}\n")


def _parts(
    config: PrepareConfig, collection: Collection, progress: DownloadProgress
) -> tuple[list[Part], list[str]]:
    """The data sets of a collection, their raw files fetched if that is asked for.

    Returns also what to say of those that are left out.
    """
    if config.raw.startswith(HUB):
        raise ConfigError(f"raw={config.raw}: {config.data_set} is made of a folder of raw files")
    root = Path(config.raw).expanduser()
    parts: list[Part] = []
    left_out: list[str] = []
    for name, folders in collection.items():
        try:
            parts.append(_part(config, name, folders, root, progress))
        except (ConfigError, TaskFileError) as error:
            if config.missing == "refuse":
                raise TaskFileError(f"{name}: {error}; missing=skip leaves it out") from error
            left_out.append(f"{name}: {error}")
    if not parts:
        raise TaskFileError(f"nothing of {config.data_set} can be prepared; {left_out[0]}")
    return parts, left_out


def _part(
    config: PrepareConfig,
    name: str,
    folders: tuple[str, ...],
    root: Path,
    progress: DownloadProgress,
) -> Part:
    folder = raw_folder(root, folders)
    if not (config.download or folder.exists()):
        raise TaskFileError(
            f"raw={root} has no folder {' or '.join(folders)}; get it by download=true"
        )
    preparer = get(name)
    if config.download:
        url = config.url and f"{config.url.rstrip('/')}/{folders[0]}"
        _fetch(preparer, folder, config, progress, url)
    return Part(preparer, str(folder), config.choice(preparer))


def _tell_all(card: CollectionCard, out: str) -> None:
    published = _published_sizes(card.name)
    for stem, count in card.tasks.items():
        wanted = published.get(stem)
        unlike = f"; the published collection had {wanted:,}" if wanted not in (None, count) else ""
        sys.stdout.write(f"{Path(out) / stem}.jsonl: {count} rows{unlike}\n")
    sys.stdout.write(f"{Path(out) / card.name}.card.json has the details\n")
    absent = [f"{name}: its raw file is not there" for name in published if name not in card.tasks]
    skipped = {line.partition(":")[0] for line in card.left_out}
    for line in [*card.left_out, *(one for one in absent if one.partition(":")[0] not in skipped)]:
        sys.stderr.write(f"left out: {line}\n")
    counts = {name: one.left_out for name, one in card.data_sets.items() if one.left_out}
    for name, count in counts.items():
        sys.stderr.write(f"{name}: {count} records are left out, all in the card\n")


def _published_sizes(name: str) -> dict[str, int | None]:
    """How many tasks the published collection took of each set, as the option of the name says."""
    from omegaconf import OmegaConf

    sets = OmegaConf.load(data_folder("conf") / "task" / f"{name}.yaml").sets
    return {str(one): chosen.published for one, chosen in sets.items()}


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
