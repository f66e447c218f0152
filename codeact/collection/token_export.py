"""Run folders with exact tokens as rows for training: each token unit with its record's outcome.

Units stream from their file; of each record so much stays in memory as a row says of it, some
hundred bytes.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from codeact.collection.encoding import vocabulary_size
from codeact.collection.episode_choice import Episodes, left_out
from codeact.collection.token_rows import LARGEST_ID, TokenRow, TokenWriter, chains
from codeact.episode.effects import Outcome, Usage
from codeact.episode.record import refuse_later
from codeact.exceptions import RecordingError
from codeact.jsonl import SourceLine, Unreadable
from codeact.recordings.files import is_run, source_files
from codeact.recordings.lines import run_lines
from codeact.recordings.token_file import read_tokens
from codeact.recordings.token_units import TOKENS, read_keys
from codeact.recordings.tokens import EpisodeTokens
from codeact.recordings.trajectory import Problem

ROWS_FILE = "tokens.parquet"


class TokenExport(msgspec.Struct):
    """What became of the episodes and their tokens.

    `tokens` are all ids of the rows, and `trained` those under the mask. By the server's own
    accounts the policies wrote `reported` tokens in these episodes; `differing` episodes have
    another number there. `left_out` counts episodes by the reason.
    """

    episodes: int = 0
    rows: int = 0
    tokens: int = 0
    trained: int = 0
    reported: int = 0
    differing: int = 0
    left_out: dict[str, int] = {}


class _Turn(msgspec.Struct):
    usage: Usage = Usage()
    restored: bool = False


class _Record(msgspec.Struct):
    """The part of an `EpisodeRecord` that a row needs."""

    id: str
    task_name: str
    task_id: str
    sample: int
    outcome: Outcome
    turns: list[_Turn]
    version: int = 1
    usage: Usage = Usage()
    session: int | None = None
    edited: int = 0

    def __post_init__(self) -> None:
        refuse_later(self.version)


_RECORD = msgspec.json.Decoder(_Record)


class _Played(NamedTuple):
    """What is kept of an episode's last record. `own` are the turns that were not restored."""

    place: SourceLine
    group: str
    sample: int
    outcome: Outcome
    edited: int
    own: tuple[int, ...]
    reported: int


def write_token_rows(
    sources: list[str],
    out: Path,
    *,
    episodes: Episodes,
    tokenizer: str | None,
    problems: list[Problem],
) -> TokenExport:
    """Write the token rows of run folders to a parquet file.

    With a `tokenizer`, ids beyond its vocabulary are refused. What cannot be joined, or holds what
    is no token, is left out and added to `problems`. Raises `RecordingError` for a source without
    exact tokens, and `RunFolderError` for a damaged file of them.
    """
    largest = vocabulary_size(tokenizer) - 1 if tokenizer else LARGEST_ID
    with TokenWriter(out) as writer:
        export = _Export(writer, episodes, largest, problems)
        for path in _run_files(sources):
            export.add(path)
    export.report.left_out = dict(sorted(export.without.items()))
    return export.report


class _Export:
    """Joins one run folder after another, and counts."""

    def __init__(
        self, writer: TokenWriter, episodes: Episodes, largest: int, problems: list[Problem]
    ) -> None:
        self.report = TokenExport()
        self.without = Counter[str]()
        self._writer = writer
        self._episodes = episodes
        self._largest = largest
        self._problems = problems

    def add(self, path: Path) -> None:
        """Write the rows of the run whose records are in a file."""
        folder = path.parent
        played = _records(path, self.without, self._problems)
        for tokens in read_tokens(folder, skip_unreadable=True):
            # A record whose line could not be read is a problem already.
            if (record := played.pop(tokens.episode, None)) is None or self._is_left_out(record):
                continue
            try:
                rows = _rows(tokens, record, self._largest)
            except ValueError as error:
                self._problems.append(_problem(folder, tokens.episode, str(error)))
                continue
            for row in rows:
                self._writer.add(row)
            _count(self.report, record, rows)
        for name, record in played.items():
            if not self._is_left_out(record):
                reason = f"episode {name} has no tokens in {TOKENS}"
                self._problems.append(Problem(str(record.place), reason))

    def _is_left_out(self, record: _Played) -> bool:
        reason = left_out(self._episodes, record.outcome, record.edited)
        if reason:
            self.without[reason] += 1
        return bool(reason)


def _run_files(sources: list[str]) -> Iterator[Path]:
    for path in source_files(sources):
        if not is_run(path):
            raise RecordingError(
                f"{path}: is a published file, which has no exact tokens; give run folders that "
                "were played with model.tokens=exact"
            )
        yield path


def _records(path: Path, without: Counter[str], problems: list[Problem]) -> dict[str, _Played]:
    """The last record of each episode.

    Of units without a record, those of episodes that were played again are counted, and all others
    added to `problems`.
    """
    found: dict[str, _Played] = {}
    sessions: set[tuple[str, int | None]] = set()
    why = "the run ended before it was written; resume the run"
    for one in run_lines(path, lambda line, place: (place, _RECORD.decode(line))):
        if isinstance(one, Unreadable):
            problems.append(Problem.of(one))
            why = "see the line that cannot be read"
            continue
        place, record = one
        sessions.add((record.id, record.session))
        restored = sum((turn.usage for turn in record.turns if turn.restored), Usage())
        found[record.id] = _Played(
            place,
            f"{record.task_name}/{record.task_id}",
            record.sample,
            record.outcome,
            record.edited,
            tuple(n for n, turn in enumerate(record.turns) if not turn.restored),
            record.usage.completion - restored.completion,
        )
    units = path.with_name(TOKENS)
    for _, key in read_keys(units) if units.is_file() else ():
        if (key.episode, key.session) in sessions:
            continue
        if key.episode in found:
            without["lost by a crash and played again"] += 1
        else:
            said = f"has tokens and no record: {why}"
            problems.append(_problem(path.parent, key.episode, said))
    return found


def _rows(tokens: EpisodeTokens, record: _Played, largest: int) -> list[TokenRow]:
    have = {turn.turn for turn in tokens.turns}
    if missing := [str(turn + 1) for turn in record.own if turn not in have]:
        raise ValueError(f"has no tokens of turn {', '.join(missing)}")
    solved = record.outcome.success
    counted = not left_out("counted", record.outcome, record.edited)
    return [
        TokenRow(
            episode=tokens.episode,
            group=record.group,
            sample=record.sample,
            attempt=tokens.attempt,
            model=tokens.model,
            revision=tokens.revision,
            reward=float(solved) if counted else None,
            chain=number,
            tokens=chain,
        )
        for number, chain in enumerate(chains(tokens, largest=largest), 1)
    ]


def _problem(folder: Path, episode: str, reason: str) -> Problem:
    return Problem(f"{folder / TOKENS}, episode {episode}", reason)


def _count(report: TokenExport, record: _Played, rows: list[TokenRow]) -> None:
    trained = sum(sum(row.tokens.sampled) for row in rows)
    report.episodes += 1
    report.rows += len(rows)
    report.tokens += sum(len(row.tokens.ids) for row in rows)
    report.trained += trained
    report.reported += record.reported
    report.differing += trained != record.reported
