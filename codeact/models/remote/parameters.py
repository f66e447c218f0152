"""Parameters that a server does not take: which one a refusal names, and what leaves it out."""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from codeact.models.remote.errors import ServerError

_STATUSES = {400, 422}
_REFUSING = re.compile(
    r"(?i)unsupported|unrecogni[sz]ed|unknown|unexpected|deprecated|invalid|incompatible|missing"
    r"|not (?:be )?(?:support(?:ed)?|permitted|allowed|available|accept\w*|a valid|both)"
    r"|n't support|no longer support|\bonly\b|\brequires?\b|must be|\bfixed\b|does not recognize"
    r"|but found|cannot be"
)
_ABOUT_ITS_VALUE = re.compile(
    r"(?i)too (?:large|small|long|low|high)|at (?:least|most)|(?:below|above) (?:the )?(?:min|max)"
    r"|minimum|maximum|greater|less than|range|exceed|>=|<="
)
_LENGTHS = {"max_tokens", "max_completion_tokens"}
_MISSING = re.compile(r"(?i)missing|must be (?:passed|provided|sent)|is required|but found")
_WORDS = {"reasoning", "thinking", "format"}
"""Names that are words, too: "with reasoning on, temperature has to be 1"."""


class ParameterAdvice(NamedTuple):
    """What leaves a parameter out of an API's requests, by its name.

    `in_messages` says the same of what messages carry, and `missing` what sends the reasoning that
    a server misses there. `presets` goes for every parameter.
    """

    parameters: Mapping[str, str]
    in_messages: Mapping[str, str]
    missing: str
    presets: str = ""


class RefusedParameter(NamedTuple):
    """A parameter that a server does not take, and the setting that leaves it out."""

    name: str
    advice: str
    value: bool = False
    """Whether it is the length's value that is refused, not the parameter."""


def refused_parameter(
    status: int, error: ServerError, sent: Mapping[str, Any], advice: ParameterAdvice
) -> RefusedParameter | None:
    """Return the parameter that a refusal names, of those that were `sent`; None if it names none.

    OpenAI and Azure name it apart (`param`), servers made with FastAPI by its place, and the others
    in words.
    """
    if status not in _STATUSES:
        return None
    known = [name for name in sent if name not in ("model", "messages", "prompt", "system")]
    within = [key for value in sent.values() if isinstance(value, dict) for key in value]
    names = [*advice.in_messages, *known, *(key for key in within if key in advice.parameters)]
    words = error.message[:2000]
    apart = [part for part in re.split(r"[.\[\]]+", error.param) if part in names]
    if not (apart or _REFUSING.search(words) or _ABOUT_ITS_VALUE.search(words)):
        return None
    name = apart[-1] if apart else _named(words, names) or _said(words, known)
    return None if name is None else _advised(name, words, advice)


def _named(words: str, names: Collection[str]) -> str | None:
    """Return the name that a text says first, as it is or in camel case."""
    places: dict[str, int] = {}
    for name in names:
        head, *tail = name.split("_")
        camel = head + "".join(part.capitalize() for part in tail)
        said = rf"(?<!\w)(?:{re.escape(name)}|{re.escape(camel)})(?!\w)"
        if name in _WORDS:
            # In quotes, or as a place: "messages.1.content.0.thinking: ...".
            said = rf"(?<=[`'\"]){name}(?=[`'\"])|(?:^|(?<=\.)){name}(?=[.:])"
        found = re.search(said, words)
        if found is not None:
            places[name] = found.start()
    return min(places, key=places.__getitem__, default=None)


def _said(words: str, names: Collection[str]) -> str | None:
    """Return a parameter that is a word, and stands in a text as such."""
    return next((one for one in names if one in _WORDS and re.search(rf"\b{one}\b", words)), None)


def _advised(name: str, words: str, advice: ParameterAdvice) -> RefusedParameter:
    in_messages = advice.in_messages.get(name)
    if in_messages and (name not in advice.parameters or words.startswith("messages")):
        reasoning_is_missing = _MISSING.search(words) and name != "cache_control"
        return RefusedParameter(name, advice.missing if reasoning_is_missing else in_messages)
    if name in _LENGTHS and _ABOUT_ITS_VALUE.search(words):
        others = _LENGTHS - {name}
        if not any(other in words for other in others):
            return RefusedParameter(
                name, "give model.sampling.max_tokens a number that the server takes", value=True
            )
    known = advice.parameters.get(name, "take it out of model.sampling.extra")
    return RefusedParameter(name, known + advice.presets)
