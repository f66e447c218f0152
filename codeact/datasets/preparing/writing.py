"""Writes what a preparer makes: task files, and a card that accounts for every record.

Everything goes to temporary names first; what is there is replaced only when all of it is whole.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from codeact import __version__
from codeact.datasets import RowError
from codeact.datasets import get as get_family
from codeact.datasets.preparing.base import Choice, FilterStep, Finding, Journal, Made, Preparer
from codeact.datasets.preparing.hub import HubRaw
from codeact.datasets.preparing.raw import HUB, Raw
from codeact.exceptions import ConfigError, RawFilesMissing, TaskFileError
from codeact.files import replacing


class TaskFile(msgspec.Struct, frozen=True):
    """One file written: its rows and the SHA-256 digest of its bytes."""

    rows: int
    sha256: str


class Card(msgspec.Struct, frozen=True):
    """What was prepared of what, and what was left out; ``NAME.card.json`` beside the files."""

    name: str
    source: str
    licence: str
    codeact: str
    choice: dict[str, Any]
    raw: str
    raw_files: int
    raw_sha256: dict[str, str]
    """Digests of the raw files; of more than 50, one over all their names and digests."""
    steps: list[FilterStep]
    files: dict[str, TaskFile]
    notes: list[str]
    left_out: int
    findings: list[Finding]


class CollectionCard(msgspec.Struct, frozen=True):
    """What was prepared of several data sets: how many tasks of each set, and each one's card."""

    name: str
    codeact: str
    tasks: dict[str, int]
    left_out: list[str]
    data_sets: dict[str, Card]


class Part(NamedTuple):
    """One data set to prepare: where its raw files are, and what is taken of it."""

    preparer: Preparer
    raw: str
    choice: Choice


class _Open(NamedTuple):
    file: IO[bytes]
    digest: Any


class _Files(NamedTuple):
    """The card that is being written, and the stack that other files are opened on."""

    card: IO[bytes]
    others: ExitStack


_MOST_DIGESTS = 50


def prepare(preparer: Preparer, raw: str, out: Path, choice: Choice) -> Card:
    """Make a data set's task files in the folder `out`.

    Raises `TaskFileError` if the raw files are not there or nothing usable is in them, and leaves
    `out` as it was.
    """
    with _whole(out, preparer.name) as files:
        card = _make(Part(preparer, raw, choice), out, files.others)
        _write_card(files.card, card)
    return card


def prepare_all(
    name: str, parts: Sequence[Part], out: Path, left_out: list[str], *, skip_missing: bool = False
) -> CollectionCard:
    """Make the task files of several data sets, with one card; all of them or, on an error, none.

    `left_out` is what the card says of further data sets; with `skip_missing`, also of those whose
    raw files are not there. Raises as `prepare` does.
    """
    left_out, cards = list(left_out), {}
    with _whole(out, name) as files:
        for part in parts:
            try:
                cards[part.preparer.name] = _make(part, out, files.others)
            except RawFilesMissing as error:
                if not skip_missing:
                    raise
                left_out.append(f"{part.preparer.name}: {error}")
        if not cards:
            raise RawFilesMissing(f"nothing of {name} can be prepared; {left_out[0]}")
        tasks = {
            file.removesuffix(".jsonl"): made.rows
            for one in cards.values()
            for file, made in one.files.items()
        }
        card = CollectionCard(name, __version__, tasks, left_out, cards)
        _write_card(files.card, card)
    return card


@contextmanager
def _whole(out: Path, name: str) -> Iterator[_Files]:
    """Open a card, and other files with it, that appear together once nothing has gone wrong."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out={out} cannot be a folder ({error.strerror})") from error
    try:
        with ExitStack() as others:
            # Renamed in the opposite order of opening: the card, which has the digests, last.
            yield _Files(others.enter_context(replacing(out / f"{name}.card.json")), others)
    except OSError as error:
        raise ConfigError(f"out={out} cannot be written ({error.strerror or error})") from error


def _make(part: Part, out: Path, whole: ExitStack) -> Card:
    """Write a data set's task files, which are renamed when `whole` ends."""
    journal = Journal()
    source = _opened(part.preparer, part.raw, journal)
    made = part.preparer.read(source, part.choice, journal)
    written = _written(_fit(part.preparer, made, journal), out, whole)
    if not written:
        raise TaskFileError(_nothing(part.raw, journal))
    return _card(part, source, journal, written)


def _write_card(file: IO[bytes], card: Card | CollectionCard) -> None:
    file.write(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    _sync(file)


def _written(rows: Iterator[Made], out: Path, whole: ExitStack) -> dict[str, TaskFile]:
    """Write the task files, which are renamed when `whole` ends."""
    files: dict[str, _Open] = {}
    counts: Counter[str] = Counter()
    for made in rows:
        if made.stem not in files:
            file = whole.enter_context(replacing(out / f"{made.stem}.jsonl"))
            files[made.stem] = _Open(file, hashlib.sha256())
        line = msgspec.json.encode(made.row) + b"\n"
        files[made.stem].file.write(line)
        files[made.stem].digest.update(line)
        counts[made.stem] += 1
    for part in files.values():
        _sync(part.file)
    return {
        f"{stem}.jsonl": TaskFile(counts[stem], part.digest.hexdigest())
        for stem, part in files.items()
    }


def _sync(file: IO[bytes]) -> None:
    """Flush a file, so that a full disk shows before any file is renamed."""
    file.flush()
    os.fsync(file.fileno())


def _opened(preparer: Preparer, raw: str, journal: Journal) -> Raw:
    if not raw.startswith(HUB):
        return Raw(Path(raw).expanduser(), journal.refuse)
    if preparer.hub_split is None:
        raise ConfigError(
            f"raw={raw}: {preparer.name} is made of its original files, which a hub has in "
            "another form; give their folder"
        )
    return HubRaw(raw.removeprefix(HUB), preparer.hub_split, journal.refuse)


def _fit(preparer: Preparer, rows: Iterator[Made], journal: Journal) -> Iterator[Made]:
    """Let through the rows that their family accepts, each id once in a file."""
    family = get_family(preparer.family)
    seen: dict[tuple[str, str], tuple[str, bytes]] = {}
    taken = total = 0
    for made in rows:
        total += 1
        try:
            task = family.task(made.row)
        except RowError as error:
            journal.refuse(made.where, f"makes no task: {error}")
            continue
        digest = hashlib.sha256(msgspec.json.encode(made.row)).digest()
        earlier, content = seen.setdefault((made.stem, task.id), (made.where, digest))
        if earlier != made.where:
            what = "the same record" if content == digest else "another record with the same id"
            journal.refuse(made.where, f"id {task.id!r}: {earlier} is {what}")
            continue
        taken += 1
        yield made
    journal.step("accepted by the task family, ids once", total, taken)


def _nothing(raw: str, journal: Journal) -> str:
    first = "".join(f"; {item.where}: {item.reason}" for item in journal.findings[:3])
    return f"raw={raw}: no record of it can be used ({len(journal.findings)} unfit{first})"


def _card(part: Part, source: Raw, journal: Journal, files: dict[str, TaskFile]) -> Card:
    preparer = part.preparer
    digests = source.digests
    if len(digests) > _MOST_DIGESTS:
        listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
        digests = {"all files": hashlib.sha256(listing.encode()).hexdigest()}
    return Card(
        name=preparer.name,
        source=preparer.source,
        licence=preparer.licence,
        codeact=__version__,
        choice=part.choice._asdict(),
        raw=source.label,
        raw_files=len(source.digests),
        raw_sha256=digests,
        steps=journal.steps,
        files=files,
        notes=journal.notes,
        left_out=len(journal.findings),
        findings=journal.findings,
    )
