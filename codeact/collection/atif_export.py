"""Recorded episodes as files of the Agent Trajectory Interchange Format, one for each."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from codeact.collection.atif import trajectory
from codeact.collection.episode_choice import Episodes, left_out
from codeact.episode.record import EpisodeRecord, decode
from codeact.jsonl import SourceLine, Unreadable
from codeact.recordings.files import is_run, source_files
from codeact.recordings.lines import OfLine, recorded_lines
from codeact.recordings.published import to_record
from codeact.recordings.published_paths import PublishedPath
from codeact.recordings.run_folder import PROVENANCE
from codeact.recordings.token_file import read_tokens
from codeact.recordings.token_units import TOKENS
from codeact.recordings.tokens import EpisodeTokens
from codeact.recordings.trajectory import Problem

_UNKNOWN_VERSION = "unknown"


class AtifExport(msgspec.Struct):
    """How many trajectories were written, with exact tokens or without, and what was left out."""

    trajectories: int = 0
    with_tokens: int = 0
    left_out: dict[str, int] = {}


class _Placed(NamedTuple):
    place: SourceLine
    record: EpisodeRecord


def write_trajectories(
    sources: list[str],
    folder: Path,
    *,
    episodes: Episodes,
    reasoning: bool,
    problems: list[Problem],
) -> AtifExport:
    """Write a JSON file for each episode into `folder`, named by task and sample.

    Of a run folder the last record of an episode counts, with its exact tokens where there are any.
    What has no trajectory is added to `problems`.
    """
    report, without, names = AtifExport(), Counter[str](), Counter[str]()
    for path in source_files(sources):
        exact = is_run(path) and (path.parent / TOKENS).is_file()
        versions = _versions(path)
        for (place, record), tokens in _with_tokens(path, problems, exact=exact):
            if reason := left_out(episodes, record.outcome, record.edited):
                without[reason] += 1
                continue
            if exact and tokens is None:
                said = f"has no tokens in {TOKENS}, or in another order than the records"
                problems.append(Problem(str(place), said))
            version = versions.get(record.session, _UNKNOWN_VERSION)
            try:
                made = trajectory(record, version, tokens, reasoning=reasoning)
            except ValueError as error:
                problems.append(Problem(str(place), f"has no trajectory: {error}"))
                continue
            name = "-".join(
                quote(part, safe="")
                for part in (record.task_name, record.task_id, str(record.sample))
            )
            names[name] += 1
            more = f"-{names[name]}" if names[name] > 1 else ""
            content = msgspec.json.format(msgspec.json.encode(made), indent=2)
            (folder / f"{name}{more}.json").write_bytes(content + b"\n")
            report.trajectories += 1
            report.with_tokens += tokens is not None
    report.left_out = dict(sorted(without.items()))
    return report


def _with_tokens(
    path: Path, problems: list[Problem], *, exact: bool
) -> Iterator[tuple[_Placed, EpisodeTokens | None]]:
    """Yield the last record of each episode with its tokens, which stand in the same order."""
    units = read_tokens(path.parent, skip_unreadable=True) if exact else iter(())
    unit = next(units, None)
    for placed in _last(path, problems):
        if unit is None or unit.episode != placed.record.id:
            yield placed, None
        else:
            yield placed, unit
            unit = next(units, None)


def _versions(path: Path) -> dict[int | None, str]:
    """The versions of codeact that played a run, by session."""
    try:
        found = msgspec.json.decode(path.with_name(PROVENANCE).read_bytes(), type=_Provenance)
    except (OSError, ValueError):
        return {}
    return dict(enumerate((one.codeact for one in found.sessions), 1))


class _Session(msgspec.Struct):
    codeact: str = _UNKNOWN_VERSION


class _Provenance(msgspec.Struct):
    sessions: list[_Session]


def _last(path: Path, problems: list[Problem]) -> Iterator[_Placed]:
    last: dict[str, int] = {}
    if is_run(path):
        last = {one.record.id: one.place.line for one in _records(path, [])}
    for one in _records(path, problems):
        if last.get(one.record.id, one.place.line) == one.place.line:
            yield one


def _records(path: Path, problems: list[Problem]) -> Iterator[_Placed]:
    for found in recorded_lines(path, _of_run, _of_published):
        if isinstance(found, Unreadable):
            problems.append(Problem.of(found))
        else:
            yield found


def _of_run(content: bytes, place: SourceLine) -> _Placed:
    return _Placed(place, decode(content))


def _of_published(where: PublishedPath) -> OfLine[_Placed]:
    return partial(_of_published_line, where)


def _of_published_line(where: PublishedPath, content: bytes, place: SourceLine) -> _Placed:
    return _Placed(place, to_record(where, content, place))
