"""Tokens as servers count them: reasoning inside the completion, beside it, or nowhere."""

from codeact.episode.effects import Usage
from codeact.models.remote.encoding import count

_DETAILS = ("completion_tokens_details", "output_tokens_details")


def read_usage(usage: object) -> Usage | None:
    """Read a server's usage; None where it reports none.

    With us, reasoning is part of the completion. A server that counts it beside the completion
    (xAI, gateways to Gemini) shows that by its total, or by more reasoning than completion. What a
    total has besides prompt and completion is reasoning as well: so Gemini counts thoughts, without
    a name for them.
    """
    if not isinstance(usage, dict):
        return None
    prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    total, reasoning = count(usage.get("total_tokens")), _reasoning(usage)
    beside = total - prompt - completion
    if reasoning and (reasoning == beside or reasoning > completion):
        completion += reasoning
    elif not reasoning and beside > 0:
        reasoning, completion = beside, completion + beside
    return Usage(
        prompt=prompt,
        completion=completion,
        cached=min(_cached(usage), prompt),
        reasoning=min(reasoning, completion),
    )


def _reasoning(usage: dict[str, object]) -> int:
    for key in _DETAILS:
        details = usage.get(key)
        if isinstance(details, dict) and details.get("reasoning_tokens") is not None:
            return count(details["reasoning_tokens"])
    return count(usage.get("reasoning_tokens"))


def _cached(usage: dict[str, object]) -> int:
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return count(cached if cached is not None else usage.get("prompt_cache_hit_tokens"))
