"""The run folder: what is on disk is the truth, and everything else derives from it.

``episodes.jsonl`` is append-only, one finished episode a line. A line counts once its newline is on
disk: an unfinished last line, left by a crash, is cut off when the folder is opened again, and its
episode is played again. Where exact tokens are recorded, their file has the units of an episode
before its line is written (`codeact.recordings.token_units`).
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from codeact.episode.accounts import NOTHING, AccountLine
from codeact.episode.causes import is_counted
from codeact.episode.effects import total_cost
from codeact.episode.record import (
    LONGEST_LINE,
    EpisodeRecord,
    UnwritableRecord,
    checked_line,
    decode,
    episode_id,
    placeholder_record,
    without_tokens,
)
from codeact.exceptions import RecordingError, RunFolderError
from codeact.files import PRIVATE_FILE, private_folder, replacing, write_all
from codeact.jsonl import Unreadable, decoded_lines
from codeact.recordings import files
from codeact.recordings.definition import IDENTITY, RequestedDefinition
from codeact.recordings.index import Index
from codeact.recordings.ledger import LedgerPlays, RequestLedger, cut_torn_line
from codeact.recordings.locking import Lock
from codeact.recordings.provenance import changed_versions
from codeact.recordings.token_units import TokenFile, TokenUnit, UnitKey
from codeact.recordings.writing import not_written

EPISODES = files.EPISODES
CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
SUMMARY = "summary.json"
SPENT = "spent.json"
EXACT = ("model.tokens", "exact")
"""The setting of a run that records exact tokens, in its definition."""
_REVISIONS = ("model.revision", "model.args.revision")


class Spent(NamedTuple):
    """Tokens and dollars."""

    tokens: int
    usd: float


class EpisodeIdentity(NamedTuple):
    """What makes an episode the same episode, whatever its place in a file."""

    task_digest: str
    settings_digest: str
    sample: int

    @classmethod
    def of(cls, record: EpisodeRecord) -> Self:
        """Return what a record is of."""
        return cls(record.task_digest, record.settings_digest, record.sample)


class RunFolder:
    """An open run folder, owned by this process until `close`. Only its owner can read it."""

    def __init__(self, path: Path, file: int, lock: Lock, asked: RequestedDefinition) -> None:
        self.path = path
        self.requests = RequestLedger(path)
        """Where the run's requests are written."""
        found = _look_through(path)
        played = found.digest
        # A folder in which nothing was played yet becomes what is asked for.
        self.definition = asked.new if played is None else asked.resumed(path, played)
        self.digest = self.definition.digest
        """What stands for the run's settings in its records."""
        self.finished = {*found.counted}
        whole = found.listed + found.unlisted
        self.spent = Spent(whole.tokens, whole.cost or 0.0)
        """At the time of opening: as kept, and never less than records and requests say."""
        self.unlisted = found.unlisted
        """The part of it that neither records nor requests tell of."""
        self.plays = found.plays
        """How many plays of episodes there were by the time of opening."""
        self.session: int | None = None
        """The number of this session in ``provenance.json``, once it has one."""
        self.notices = [] if lock.notice is None else [lock.notice]
        """What the user should know of the folder."""
        self._file = file
        self._lock = lock
        self._size = os.fstat(file).st_size
        self._counted = found.counted
        self._tokens: TokenFile | None = None

    @classmethod
    def open(cls, path: Path, asked: RequestedDefinition) -> Self:
        """Create the folder or resume it.

        Raises `RunFolderError` when it cannot be written, when another process is writing it, when
        it holds episodes of another experiment, or when a line in its middle is broken.
        """
        try:
            private_folder(path)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            file = os.open(path / EPISODES, flags, PRIVATE_FILE)
        except OSError as error:
            raise RunFolderError(
                f"{path}: cannot be written ({error.strerror}); choose another run_dir"
            ) from error
        lock = None
        try:
            lock = Lock.taken(path, file)
            cut_torn_line(file)
            folder = cls(path, file, lock, asked)
            folder.write_text(IDENTITY, _json(folder.definition))
            folder._open_tokens()
        except BaseException:
            if lock is not None:
                lock.release()
            os.close(file)
            raise
        return folder

    def _open_tokens(self) -> None:
        """Go on with the file of exact tokens; an episode whose tokens it lacks is owed again."""
        if self.definition.values.get(EXACT[0]) != EXACT[1]:
            return
        self._tokens = TokenFile.open(self.path)
        lacking = {one for one, key in self._counted.items() if key not in self._tokens.units}
        self.finished -= lacking
        if lacking:
            self.notices.append(
                f"{self._tokens.path}: lacks the tokens of {len(lacking):,} finished episodes, "
                "which are played again"
            )

    def append(self, record: EpisodeRecord) -> EpisodeRecord:
        """Append one episode as part of this run and session; returns the record written.

        Its exact tokens are not part of the line: they are written first, to their own file.
        If the episode's own record could not be read back, that is one of a harness failure.
        Raises `RunFolderError` and leaves no part of a line behind; after `DiskFull` the same
        record may be written later.
        """
        record.session = self.session
        if record.settings_digest != self.digest:
            record.settings_digest = self.digest
            record.id = episode_id(record.task_name, record.task_id, self.digest, record.sample)
        written = without_tokens(record)
        try:
            line = checked_line(written) + b"\n"
        except UnwritableRecord as error:
            written = placeholder_record(written, str(error))
            line = checked_line(written) + b"\n"
        if self._tokens is None:
            self._write(line, written.id)
        else:
            before = self._tokens.append(self._units(record))
            try:
                self._write(line, written.id)
            except BaseException:
                self._tokens.cut(before)
                raise
        if is_counted(written):
            self.finished.add(EpisodeIdentity.of(written))
        return written

    def _units(self, record: EpisodeRecord) -> list[TokenUnit]:
        """Return the units of an episode's attempts, the one that ended it last."""
        values = self.definition.values
        revision = next((values[key] for key in _REVISIONS if values.get(key) is not None), None)
        tried = [*(attempt.tokens for attempt in record.attempts), record.tokens]
        return [
            TokenUnit(
                episode=record.id,
                attempt=number,
                session=record.session,
                model=record.model,
                revision=None if revision is None else str(revision),
                turns=[] if isinstance(turns, msgspec.UnsetType) else turns,
            )
            for number, turns in enumerate(tried)
            if turns or number == len(record.attempts)
        ]

    def _write(self, line: bytes, name: str) -> None:
        try:
            write_all(self._file, line)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise not_written(self.path / EPISODES, f"episode {name}", error) from error
        self._size += len(line)

    def write_spent(self, tokens: int, usd: float) -> None:
        """Keep what the run has spent, abandoned episodes included."""
        self.write_text(SPENT, json.dumps([tokens, usd]) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Replace a file of the folder in one step."""
        write_whole(self.path / name, text, private=True)

    def begin_run_session(self, session: Mapping[str, Any]) -> None:
        """Keep what each session of the run was started with, the first one first.

        Where cells meet other versions than in the session before, `notices` says so.
        """
        file = self.path / PROVENANCE
        sessions = []
        if file.exists():
            try:
                sessions = list(json.loads(file.read_text(encoding="utf-8"))["sessions"])
            except (ValueError, KeyError, TypeError) as error:
                raise RunFolderError(
                    f"{file}: is not what codeact wrote ({error}); move it away to go on"
                ) from error
        number = len(sessions) + 1
        if sessions and (changed := changed_versions(sessions[-1], session)):
            self.notices.append(
                f"{self.path}: goes on under other versions than in session {number - 1}: "
                f"{', '.join(changed)}; each record names its session of {PROVENANCE}"
            )
        document = {"sessions": [*sessions, {"number": number, **session}]}
        self.write_text(PROVENANCE, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        self.session = number

    def close(self) -> None:
        """Close the folder, so that other processes may write it."""
        self.requests.close()
        self._lock.release()
        os.close(self._file)
        if self._tokens is not None:
            self._tokens.close()


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode() + "\n"


def write_whole(path: Path, text: str, *, private: bool = False) -> None:
    """Write to a temporary name and rename, so that no reader sees half a file."""
    try:
        with replacing(path, private=private) as file:
            file.write(text.encode())
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written ({error.strerror})") from error


def read_records(path: Path) -> Iterator[EpisodeRecord]:
    """Yield the record of every line in order, without an unfinished last line."""
    file = path / EPISODES if path.is_dir() else path
    for record in decoded_lines(
        file, lambda line, _: decode(line), "episode record", appended=True, longest=LONGEST_LINE
    ):
        if isinstance(record, Unreadable):
            where = record.place.in_words
            remedy = "; remove that line to have its episode played again" * bool(record.place.line)
            raise RunFolderError(f"{where}: {record.reason}{remedy}")
        yield record


def latest_records(path: Path) -> list[EpisodeRecord]:
    """Return the last record of each episode: a replayed episode replaces its failure."""
    return list({record.id: record for record in read_records(path)}.values())


class _Found:
    """What a run folder holds when it is opened."""

    def __init__(self) -> None:
        self.digest: str | None = None
        self.counted: dict[EpisodeIdentity, UnitKey] = {}
        """The finished episodes, with what their last record's exact tokens would be found by."""
        self.tokens = 0
        self.costs: list[float | None] = []
        self.listed = self.unlisted = NOTHING
        self.plays = 0


def _look_through(path: Path) -> _Found:
    found, plays = _Found(), LedgerPlays(path)
    with open_index(path) as index:
        for line in index.played():
            if found.digest not in (None, line.settings_digest):
                raise RunFolderError(
                    f"{path}: holds episodes of more than one experiment ({found.digest} and "
                    f"{line.settings_digest}); a run folder is one: choose another run_dir"
                )
            found.digest = line.settings_digest
            if line.counted:
                identity = EpisodeIdentity(line.task_digest, line.settings_digest, line.sample)
                found.counted[identity] = UnitKey(line.id, line.session, line.attempts)
            found.tokens += line.tokens
            found.costs.append(line.cost)
            plays.take_out(line.plays)
    found.plays = plays.last
    listed = AccountLine(unsplit=found.tokens, cost=total_cost(found.costs))
    for accounts in [plays.checks, *(play.accounts for play in plays.abandoned)]:
        listed += accounts.spent
    found.listed = listed
    if (kept := read_spent(path)) is not None:
        found.unlisted = beyond(kept, found.listed)
    return found


def open_index(path: Path, *, skip_unreadable: bool = False) -> Index:
    """Open the index of a run folder, or of its file.

    Raises `RunFolderError` where it has no such file, and for the first line without an episode,
    unless those are skipped.
    """
    try:
        index = Index.open(path)
    except RecordingError as error:
        raise RunFolderError(str(error)) from error
    try:
        _refuse([] if skip_unreadable else index.problems())
    except BaseException:
        index.close()
        raise
    return index


def _refuse(problems: list[Unreadable]) -> None:
    for problem in problems[:1]:
        remedy = "; remove that line to have its episode played again" * bool(problem.place.line)
        raise RunFolderError(f"{problem.place.in_words}: {problem.reason}{remedy}")


def beyond(kept: Spent, listed: AccountLine) -> AccountLine:
    """Return what was kept as spent beyond what is listed."""
    cost = listed.cost or 0.0
    more = total_cost([kept.usd, -cost]) if kept.usd > cost else None
    return AccountLine(unsplit=max(0, kept.tokens - listed.tokens), cost=more)


def read_spent(path: Path) -> Spent | None:
    """Return what ``spent.json`` of a run folder says, None if there is none.

    Older files may hold a NaN of a cost that was none. Raises `RunFolderError`.
    """
    if not (file := path / SPENT).exists():
        return None
    try:
        return msgspec.convert(json.loads(file.read_bytes()), Spent)
    except ValueError as error:
        raise RunFolderError(
            f"{file}: is not what codeact wrote ({error}); move it away to go on"
        ) from error
