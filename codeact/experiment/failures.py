"""Groups failed episodes by what went wrong, so that a thousand equal ones are one line."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from codeact.experiment.summary import FailedEpisode

FAILURES = "failures.jsonl"
"""Every failed episode of a run folder, one a line."""

_LOOKED_AT = 2_000
"""Characters of an error that decide its kind."""
_PARTICULAR = re.compile(
    # A status says what went wrong, so it stays.
    r"(?i)(?P<status>\b(?:HTTP|status|code|errno|signal)(?: code)?[ =:]{1,2}-?\d{1,4}\b)"
    r"|(?P<address>\b[a-z][a-z0-9+.-]{0,20}://[^\s/,;'\")>]+)"
    # Any other word with a digit in it: numbers, ids, versions, paths of temporary files.
    r"|(?<![\w./:+~-])(?=[\w./:+~-]*\d)[\w./:+~-]*\w"
)

_LISTED = re.compile(r"#(?:,\s*#)+")
"""Numbers, or a list of them of any length."""


class Group(NamedTuple):
    """Failures of one kind: their number, the error of the first, and the first few ids."""

    episodes: int
    cause: str
    error: str
    ids: tuple[str, ...]


def kind_of(error: str) -> str:
    """Return an error without the details of one episode: numbers, ids, addresses, line breaks."""

    def general(match: re.Match[str]) -> str:
        if match["status"]:
            return match[0]
        return "<address>" if match["address"] else "#"

    plain = _PARTICULAR.sub(general, error[:_LOOKED_AT])
    return " ".join(_LISTED.sub("#", plain).split())


def grouped(failures: Iterable[FailedEpisode], named: int = 3) -> list[Group]:
    """Group failures by cause and kind, the most frequent first, with `named` ids of each."""
    found: dict[tuple[str, str], Group] = {}
    for failure in failures:
        key = failure.cause, kind_of(failure.error)
        group = found.get(key, Group(0, failure.cause, failure.error, ()))
        ids = (*group.ids, failure.id)[:named]
        found[key] = group._replace(episodes=group.episodes + 1, ids=ids)
    return sorted(found.values(), key=lambda group: -group.episodes)


def to_lines(failures: Iterable[FailedEpisode]) -> str:
    """Return the text of ``failures.jsonl``: id, cause, error, and the kind."""
    lines = [
        msgspec.json.encode({**msgspec.structs.asdict(one), "kind": kind_of(one.error)})
        for one in failures
    ]
    return b"".join(line + b"\n" for line in lines).decode()
