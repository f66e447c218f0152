"""Parameters that a server does not take: which one a refusal names, and what leaves it out."""

import re
from collections.abc import Collection
from typing import NamedTuple

from codeact.models.remote.errors import ServerError

_STATUSES = {400, 422}
_REFUSING = re.compile(
    r"(?i)unsupported|unrecogni[sz]ed|unknown|unexpected|deprecated|invalid|incompatible|missing"
    r"|not (?:be )?(?:support(?:ed)?|permitted|allowed|available|accept\w*|a valid|both)"
    r"|n't support|no longer support|\bonly\b|\brequires?\b|must be|\bfixed\b|does not recognize"
)
_ABOUT_ITS_VALUE = re.compile(
    r"(?i)too (?:large|small|long|low|high)|at (?:least|most)|(?:below|above) (?:the )?(?:min|max)"
    r"|minimum|maximum|greater|less than|range|exceed|>=|<="
)
_OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_MISSING = re.compile(r"(?i)missing|must be (?:passed|provided|sent)|is required")

_ADVICE = {
    "temperature": "model.sampling.temperature=null leaves it out",
    "top_p": "model.sampling.top_p=null leaves it out",
    "seed": "model.sampling.seed=none leaves it out",
    "stop": "model.stop_limit=0 leaves it out, and texts are cut at the stop strings here (any "
    "other number sends so many)",
    "reasoning_effort": "model.reasoning.effort=null leaves it out",
    "tools": "the prompt strategy offers functions: take another prompt, or have the server parse "
    "calls (vLLM: model.args={enable_auto_tool_choice: true, tool_call_parser: NAME})",
    "response_format": "the prompt strategy asks for it: take another prompt",
}
_IN_MESSAGES = ("reasoning_content", "reasoning_details", "reasoning")
_PRESETS = "; model.dialect=NAME is all that a kind of model wants (docs/models.md has the names)"


class RefusedParameter(NamedTuple):
    """A parameter that a server does not take, and the setting that leaves it out."""

    name: str
    advice: str
    value: bool = False
    """Whether it is the length's value that is refused, not the parameter."""


def refused_parameter(
    status: int, error: ServerError, sent: Collection[str]
) -> RefusedParameter | None:
    """Return the parameter that a refusal names, of those that were `sent`; None if it names none.

    OpenAI and Azure name it apart (`param`), servers made with FastAPI by its place, and the others
    in words.
    """
    if status not in _STATUSES:
        return None
    known = [name for name in sent if name not in ("model", "messages", "prompt")]
    names = [*_IN_MESSAGES, *known]
    words = error.message[:2000]
    apart = [part for part in re.split(r"[.\[\]]+", error.param) if part in names]
    if not apart and not _REFUSING.search(words):
        return None
    name = apart[-1] if apart else _named(words, names)
    return None if name is None else _advised(name, words)


def _named(words: str, names: Collection[str]) -> str | None:
    """Return the name that a text says first, as it is or in camel case."""
    places: dict[str, int] = {}
    for name in names:
        head, *tail = name.split("_")
        camel = head + "".join(part.capitalize() for part in tail)
        said = rf"(?<!\w)(?:{re.escape(name)}|{re.escape(camel)})(?!\w)"
        if name == "reasoning":
            # Unquoted it is a word: "with reasoning on, temperature has to be 1".
            said = r"(?<=[`'\"])reasoning(?=[`'\"])"
        found = re.search(said, words)
        if found is not None:
            places[name] = found.start()
    return min(places, key=places.__getitem__, default=None)


def _advised(name: str, words: str) -> RefusedParameter:
    if name in _IN_MESSAGES:
        keep = "model.reasoning.history=keep sends it"
        drop = (
            "model.reasoning.history=drop leaves it out (or model.reasoning.spelling says how the "
            "server calls it)"
        )
        return RefusedParameter(name, keep if _MISSING.search(words) else drop)
    if name in _OTHER_NAME:
        other = _OTHER_NAME[name]
        if _ABOUT_ITS_VALUE.search(words) and other not in words:
            return RefusedParameter(
                name, "give model.sampling.max_tokens a number that the server takes", value=True
            )
        advice = f"model.length_key={other} sends it by its other name"
    else:
        advice = _ADVICE.get(name, "take it out of model.sampling.extra")
    return RefusedParameter(name, advice + _PRESETS)
