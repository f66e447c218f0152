"""Failed episodes by what went wrong, so that a thousand equal ones are one line to read."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from codeact.experiment.summary import FailedEpisode

FAILURES = "failures.jsonl"
"""Every failed episode of a run folder, one a line."""

_LOOKED_AT = 2_000
"""Characters of an error that tell its kind."""
_PARTICULAR = re.compile(
    # A status says what went wrong: it stays.
    r"(?i)(?P<status>\b(?:HTTP|status|code|errno|signal)(?: code)?[ =:]{1,2}-?\d{1,4}\b)"
    r"|(?P<address>\b[a-z][a-z0-9+.-]{0,20}://[^\s/,;'\")>]+)"
    # Any other word with a digit in it: numbers, ids, versions, paths of temporary files.
    r"|(?<![\w./:+~-])(?=[\w./:+~-]*\d)[\w./:+~-]*\w"
)

_LISTED = re.compile(r"#(?:,\s*#)+")
"""Groups of digits, or a list of as many numbers as there happen to be."""


class Group(NamedTuple):
    """Failures of one kind: how many, the first one's words, and the first few ids."""

    episodes: int
    cause: str
    error: str
    ids: tuple[str, ...]


def kind_of(error: str) -> str:
    """An error without what is particular to one episode: numbers, ids, addresses, line breaks."""

    def general(match: re.Match[str]) -> str:
        if match["status"]:
            return match[0]
        return "<address>" if match["address"] else "#"

    plain = _PARTICULAR.sub(general, error[:_LOOKED_AT])
    return " ".join(_LISTED.sub("#", plain).split())


def grouped(failures: Iterable[FailedEpisode], named: int = 3) -> list[Group]:
    """Failures of one cause and kind together, the most frequent first; `named` ids of each."""
    found: dict[tuple[str, str], Group] = {}
    for failure in failures:
        key = failure.cause, kind_of(failure.error)
        group = found.get(key, Group(0, failure.cause, failure.error, ()))
        ids = (*group.ids, failure.id)[:named]
        found[key] = group._replace(episodes=group.episodes + 1, ids=ids)
    return sorted(found.values(), key=lambda group: -group.episodes)


def to_lines(failures: Iterable[FailedEpisode]) -> str:
    """The text of ``failures.jsonl``: id, cause, error, and the kind by which they are grouped."""
    lines = [
        msgspec.json.encode({**msgspec.structs.asdict(one), "kind": kind_of(one.error)})
        for one in failures
    ]
    return b"".join(line + b"\n" for line in lines).decode()
