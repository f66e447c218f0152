"""Episodes on standard output: one as text or JSON, or a list of all, one a line."""

from collections.abc import Iterator
from typing import IO

import msgspec

from codeact.exceptions import RecordingError
from codeact.view.questions import EpisodeQuestion
from codeact.view.runs import ListedEpisode, ViewedRun, ViewedRuns
from codeact.view.text import list_line, transcript_text
from codeact.view.transcript import transcript_of

_PAGE = 1000
_MOST_NAMED = 5


def print_list(runs: ViewedRuns, form: str, out: IO[str]) -> None:
    """Print a line for each episode of all runs: text, or a JSON object with the run's name."""
    for run in runs:
        for one in _all(run):
            if form == "json":
                fields = {"run": run.name, **msgspec.structs.asdict(one)}
                out.write(msgspec.json.encode(fields).decode() + "\n")
            else:
                out.write((f"{run.name}  " if len(runs) > 1 else "") + list_line(one) + "\n")


def print_episode(runs: ViewedRuns, wanted: str, form: str, out: IO[str]) -> None:
    """Print the one episode whose id is `wanted` or begins so; raises `RecordingError`."""
    run, key = _found(runs, wanted)
    transcript = transcript_of(run.index.read(key), key)
    if form == "json":
        out.write(msgspec.json.format(msgspec.json.encode(transcript)).decode() + "\n")
    else:
        out.write(transcript_text(transcript))


def _found(runs: ViewedRuns, wanted: str) -> tuple[ViewedRun, str]:
    found = []
    for run in runs:
        for key, name in run.index.columns(("key", "id"), run.where):
            if wanted in (key, name):
                return run, key
            if key.startswith(wanted) or name.startswith(wanted):
                found.append((run, key))
    if not found:
        raise RecordingError(
            f"no episode has an id that begins with {wanted!r}; "
            "codeact view RUN --text lists the ids"
        )
    if len(found) > 1:
        named = "\n".join(key for _, key in found[:_MOST_NAMED])
        raise RecordingError(
            f"{len(found):,} episodes have ids that begin with {wanted!r}; give more of one:\n"
            f"{named}"
        )
    return found[0]


def _all(run: ViewedRun) -> Iterator[ListedEpisode]:
    offset = 0
    while True:
        _, rows = run.rows(EpisodeQuestion({}, "", []), offset, _PAGE)
        yield from rows
        if len(rows) < _PAGE:
            return
        offset += _PAGE
