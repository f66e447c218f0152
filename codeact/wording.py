"""Words that messages share."""

import difflib
import re
from collections.abc import Iterable, Mapping

_NAMES = "key|token|secret|password|authorization"
# Begins with the name itself: model output may be a megabyte without a space.
_SECRET = re.compile(
    rf"(?i)((?:{_NAMES})[\"']?\s*[=:]\s*[\"']?)(?:(?:bearer|basic)\s+)?[^\s,}}\"']+"
)
_CREDENTIALS = re.compile(r"(://)[^/\s@]+@")
_LOOKS_LIKE_A_KEY = re.compile(r"(?<!\w)(?:sk-|hf_|gh[opsu]_|github_pat_|xox[a-z]-)[\w-]{16,}")
_NAME_OF_A_SECRET = re.compile(rf"(?i)(?:{_NAMES})s?$")


def without_secrets(text: str) -> str:
    """A word of the command line, or any other text, without what may be a key or a password.

    Keys come from the environment; this is for what was typed, or said, in the wrong place.
    """
    text = _SECRET.sub(r"\1***", text)
    return _LOOKS_LIKE_A_KEY.sub("***", _CREDENTIALS.sub(r"\1***@", text))


def secrets_of(environment: Mapping[str, str], named: Iterable[str]) -> list[str]:
    """The values of variables that are `named`, or whose name says that they hold a secret.

    The longest first, so that none hides a part of another. Values too short to be told from
    ordinary words (under 4 characters, under 8 where only the name speaks for it) are no secrets.
    """
    least = dict.fromkeys((n for n in environment if _NAME_OF_A_SECRET.search(n)), 8)
    least |= dict.fromkeys(named, 4)
    found = {environment[n] for n, size in least.items() if len(environment.get(n, "")) >= size}
    return sorted(found, key=len, reverse=True)


def nearest(name: str, valid: Iterable[str], listed: Iterable[str] | None = None) -> str:
    """What to say instead of a wrong name: the closest valid one if there is one.

    Else all of them, or those that are to be `listed`.
    """
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid: {', '.join(names if listed is None else sorted(set(listed)))}"
