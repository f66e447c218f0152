"""Writes what a preparer makes: task files, and a card that accounts for every record.

Everything goes to temporary names first; what is there is replaced only when all of it is whole.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from codeact import __version__
from codeact.datasets import RowError
from codeact.datasets import get as get_family
from codeact.datasets.preparing.base import Choice, FilterStep, Finding, Journal, Made, Preparer
from codeact.datasets.preparing.hub import HubRaw
from codeact.datasets.preparing.raw import HUB, Raw
from codeact.exceptions import ConfigError, TaskFileError
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


class _Open(NamedTuple):
    file: IO[bytes]
    digest: Any


_MOST_DIGESTS = 50


def prepare(preparer: Preparer, raw: str, out: Path, choice: Choice) -> Card:
    """Make a data set's task files in the folder `out`.

    Raises `TaskFileError` if the raw files are not there or nothing usable is in them, and leaves
    `out` as it was.
    """
    journal = Journal()
    source = _opened(preparer, raw, journal)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out={out} cannot be a folder ({error.strerror})") from error
    try:
        with ExitStack() as whole:
            # Renamed in the opposite order of opening: the card, which has the digests, last.
            card_file = whole.enter_context(replacing(out / f"{preparer.name}.card.json"))
            rows = _fit(preparer, preparer.read(source, choice, journal), journal)
            written = _written(rows, out, whole)
            if not written:
                raise TaskFileError(_nothing(raw, journal))
            card = _card(preparer, choice, source, journal, written)
            card_file.write(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
            _sync(card_file)
    except OSError as error:
        raise ConfigError(f"out={out} cannot be written ({error.strerror or error})") from error
    return card


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


def _card(
    preparer: Preparer, choice: Choice, source: Raw, journal: Journal, files: dict[str, TaskFile]
) -> Card:
    digests = source.digests
    if len(digests) > _MOST_DIGESTS:
        listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
        digests = {"all files": hashlib.sha256(listing.encode()).hexdigest()}
    return Card(
        name=preparer.name,
        source=preparer.source,
        licence=preparer.licence,
        codeact=__version__,
        choice=choice._asdict(),
        raw=source.label,
        raw_files=len(source.digests),
        raw_sha256=digests,
        steps=journal.steps,
        files=files,
        notes=journal.notes,
        left_out=len(journal.findings),
        findings=journal.findings,
    )
