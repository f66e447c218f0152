"""What domains share: lookups that name what is there, and the code of a closed state."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


class Domain:
    """The state of one episode, and whether it is closed.

    A closed state cannot be changed, and its code is a digest of all of it. So who has the right
    code has reached the right state, and a later change cannot spoil it.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self._closed = False

    def _changing(self) -> None:
        """Refuse a change of a closed state."""
        if self._closed:
            raise ValueError("everything is closed: nothing can be changed any more")

    def _code(self, state: Any) -> str:
        """Close the state, and return its code: ten hexadecimal digits."""
        self._closed = True
        written = json.dumps([type(self).__name__, state], sort_keys=True)
        return hashlib.sha256(written.encode()).hexdigest()[:10]


def entry(table: Mapping[str, Any], key: object, kind: str) -> Any:
    """Look up a key; raises ValueError with the keys that there are."""
    if not isinstance(key, str) or key not in table:
        there = ", ".join(sorted(table)[:8])
        more = ", ..." if len(table) > 8 else ""
        raise ValueError(f"there is no {kind} {key!r}; there are {there}{more}")
    return table[key]


def whole(value: object, name: str, least: int = 1) -> int:
    """Demand a whole number; raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number from {least} on, but is {value!r}")
    return value


def words(value: object, name: str) -> str:
    """Demand a text; raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, but is {value!r}")  # noqa: TRY004
    return value
