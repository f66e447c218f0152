"""Words that messages share."""

import difflib
import re
from collections.abc import Iterable

_SECRET = re.compile(
    r"(?i)(\w*(?:key|token|secret|password|authorization)[\"']?\s*[=:]\s*[\"']?)[^\s,}\"']+"
)
_CREDENTIALS = re.compile(r"(://)[^/\s@]+@")


def without_secrets(text: str) -> str:
    """A word of the command line without what may be a key or a password.

    Keys come from the environment; this is for what was typed in the wrong place.
    """
    return _CREDENTIALS.sub(r"\1***@", _SECRET.sub(r"\1***", text))


def nearest(name: str, valid: Iterable[str]) -> str:
    """What to say instead of a wrong name: the closest valid one, or all if none is close."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid: {', '.join(names)}"
