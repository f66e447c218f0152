"""``requests.jsonl``: every request of a run, so that what was spent is known after any crash.

Each request is two lines or more: when it begins, when an attempt at it fails that was charged, and
with what it took. The operating system has them before the episode goes on. So after a kill only
the requests in flight are unknown, and those are counted.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from codeact.episode.accounts import NOTHING, AccountLine, PlayAccounts
from codeact.episode.effects import Usage
from codeact.episode.record import EpisodeRecord
from codeact.episode.spending import plays_of
from codeact.exceptions import RunFolderError
from codeact.files import PRIVATE_FILE
from codeact.jsonl import Unreadable, decoded_lines

log = logging.getLogger(__name__)

REQUESTS = "requests.jsonl"

AskedBy = Literal["policy", "feedback", "check"]


class RequestLine(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line: a request `begins`, an `attempt` at it failed, or it `ends`, answered or not.

    `play` counts the plays of episodes in a run folder from 1, and `request` those of a play.
    Checks of a model belong to no play, so theirs is 0. `discarded` and `unknown` are those of
    `PlayAccounts`.
    """

    play: int
    request: int
    asked_by: AskedBy
    part: Literal["begins", "attempt", "ends"]
    episode: str = ""
    answered: bool = False
    reused: bool = False
    usage: Usage = Usage()
    cost: float | None = None
    discarded: AccountLine = NOTHING
    unknown: int = 0

    @property
    def accounts(self) -> PlayAccounts:
        """What this line adds to the accounts of its play."""
        line = AccountLine(1, self.usage, self.cost) if self.answered else NOTHING
        by_policy = self.asked_by == "policy"
        return PlayAccounts(
            play=self.play,
            policy=line if by_policy and not self.reused else NOTHING,
            feedback=line if not by_policy and not self.reused else NOTHING,
            discarded=self.discarded,
            reused=line if by_policy and self.reused else NOTHING,
            reused_feedback=line if not by_policy and self.reused else NOTHING,
            unknown=self.unknown,
            unpriced=int(self.answered and not self.reused and self.cost is None),
        )


class PlaySum:
    """The lines of one play, added up."""

    def __init__(self, play: int) -> None:
        self.episode = ""
        self._accounts = PlayAccounts(play=play)
        self._in_flight = 0

    def add(self, line: RequestLine) -> None:
        """Take one more line of the play in."""
        self.episode = line.episode or self.episode
        self._in_flight += {"begins": 1, "attempt": 0, "ends": -1}[line.part]
        if line.part != "begins":
            self._accounts += line.accounts

    @property
    def accounts(self) -> PlayAccounts:
        """What the play took; requests that did not end may have been charged."""
        unknown = self._accounts.unknown + max(0, self._in_flight)
        return msgspec.structs.replace(self._accounts, unknown=unknown)


class LedgerPlays:
    """The plays of a run folder's requests, to be held against its records.

    `checks` are of models and belong to no play. Each record is settled once; the plays that are
    left then have no record: their episodes were abandoned. Raises `RunFolderError`.
    """

    def __init__(self, folder: Path) -> None:
        self.checks = PlayAccounts()
        self._is_kept = (folder / REQUESTS).exists()
        self._plays: dict[int, PlaySum] = {}
        self.last = 0
        """The highest number of a play so far, in the requests or in a settled record."""
        for line in read_requests(folder):
            if line.asked_by == "check":
                self.checks += line.accounts
            else:
                self._plays.setdefault(line.play, PlaySum(line.play)).add(line)
                self.last = max(self.last, line.play)

    def settle(self, record: EpisodeRecord) -> list[str]:
        """Take out the plays of a record; returns where the two tell different things of one."""
        different = []
        for play in plays_of(record):
            if play.play is None:
                continue
            self.last = max(self.last, play.play)
            listed = self._plays.pop(play.play, None)
            found = PlayAccounts(play=play.play) if listed is None else listed.accounts
            if self._is_kept and found != play:
                different.append(
                    f"{record.id}: play {play.play} took {play.spent.tokens:,} tokens by its "
                    f"record and {found.spent.tokens:,} by {REQUESTS}"
                )
        return different

    def take_out(self, plays: Iterable[int]) -> None:
        """Take out the plays of a record without comparing what the two tell of them."""
        for play in plays:
            self.last = max(self.last, play)
            self._plays.pop(play, None)

    @property
    def abandoned(self) -> list[PlaySum]:
        """The plays that no record has been settled for."""
        return list(self._plays.values())


class RequestLedger:
    """Writes the requests of a run folder that this process owns; opened at the first of them.

    Never stops a run: what cannot be written, on a full disk for example, is kept in memory and
    written with the next line.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / REQUESTS
        self._file: int | None = None
        self._unwritten = b""
        self._told = False

    def write(self, line: RequestLine) -> None:
        """Append one line."""
        self._unwritten += msgspec.json.encode(line) + b"\n"
        try:
            self._write()
        except OSError as error:
            if not self._told:
                self._told = True
                log.warning("%s: cannot be written for now: %s", self._path, error.strerror)

    def _write(self) -> None:
        if self._file is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(self._path, flags, PRIVATE_FILE)
            cut_torn_line(self._file)
        while self._unwritten:
            self._unwritten = self._unwritten[os.write(self._file, self._unwritten) :]

    def close(self) -> None:
        """Close the file; what still cannot be written is lost."""
        with suppress(OSError):
            if self._unwritten:
                self._write()
        if self._file is not None:
            os.close(self._file)


def read_requests(folder: Path) -> Iterator[RequestLine]:
    """Yield the lines of a run folder's requests, none where there is no file.

    Raises `RunFolderError` for what is no line of ours.
    """
    if not (file := folder / REQUESTS).exists():
        return
    for line in decoded_lines(file, lambda one, _: _DECODER.decode(one), "request", appended=True):
        if isinstance(line, Unreadable):
            raise RunFolderError(
                f"{line.place.in_words}: {line.reason}; remove that line to go on without its "
                "tokens and costs"
            )
        yield line


_DECODER = msgspec.json.Decoder(RequestLine)


def cut_torn_line(file: int) -> None:
    """Truncate a file after its last newline."""
    size = os.fstat(file).st_size
    end, block = size, 1 << 16
    while end > 0:
        start = max(0, end - block)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)
