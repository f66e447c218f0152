"""What a reader asks of a run's episodes: filters, words and an order, as the page words them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from codeact.episode.causes import HANDLING
from codeact.exceptions import ConfigError
from codeact.recordings.index import Where
from codeact.wording import nearest

FACETS = {
    "task": "task_name",
    "model": "model",
    "cause": "cause",
    "turns": "turns",
}
"""The column that each filter is about; the filter by result is about two."""
NEWEST = "-recorded"
"""The order in which the last that was written comes first."""
_SORTS: dict[str, list[str]] = {
    "": [],
    NEWEST: [],
    "task": ["task_name", "task_id", "sample"],
    "turns": ["turns"],
    "-turns": ["-turns"],
    "-prompt": ["-prompt"],
    "-completion": ["-completion"],
    "-cost": ["-cost"],
    "-seconds": ["-seconds"],
}
_CAUSES = [cause for cause in HANDLING if cause is not None]


class EpisodeQuestion(NamedTuple):
    """Which episodes, and in which order."""

    where: Where
    text: str
    sort: list[str]
    newest: bool = False
    """Whether the order of writing is turned."""

    @property
    def key(self) -> str:
        """What two questions with the same episodes have in common."""
        return repr((sorted(self.where.items()), self.text))

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> "EpisodeQuestion":
        """Read the parameters of an address; raises `ConfigError`."""
        where: dict[str, Any] = {}
        for name in ("task", "model", "cause"):
            if value := asked.get(name):
                where[FACETS[name]] = value
        if turns := asked.get("turns"):
            where["turns"] = number(turns, "turns")
        if result := asked.get("result"):
            where.update(_result(result, where.get("cause")))
        sort = asked.get("sort", "")
        if sort not in _SORTS:
            raise ConfigError(f"there is no order {sort!r} ({nearest(sort, _SORTS)})")
        return cls(where, asked.get("q", ""), _SORTS[sort], newest=sort == NEWEST)


def _result(result: str, cause: str | None) -> dict[str, Any]:
    if result == "error":
        return {"cause": cause or _CAUSES}
    if result not in ("solved", "failed"):
        raise ConfigError(f"there is no result {result!r}; give solved, failed or error")
    # With a cause there is neither, and the list is empty.
    return {"cause": [] if cause else None, "success": result == "solved"}


def number(text: str, name: str, most: int = 1 << 31) -> int:
    """Return a whole number from 0 to `most`; raises `ConfigError`."""
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= most):
        raise ConfigError(f"{name}={text[:20]}: give a whole number from 0 to {most:,}")
    return int(text)
