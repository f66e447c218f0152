"""The bodies of requests, by a model's settings."""

from typing import Any

from codeact.episode.messages import RequestOptions
from codeact.models.base import Request
from codeact.models.openai import wire
from codeact.models.openai.messages import sent_messages, sent_tools
from codeact.models.openai.reasoning import Spelling
from codeact.models.openai.settings import EndpointSettings

LENGTHS = {"max_tokens", "max_completion_tokens"}
"""What servers call the most tokens of an answer."""


class RequestWriter:
    """Writes the requests of one client, and remembers how its server writes reasoning."""

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._seen: Spelling | None = None

    @property
    def spelling(self) -> Spelling:
        """How earlier reasoning is sent: as told, else as the server writes it.

        `reasoning_content` before it has written any, which more servers read than any other.
        """
        settings = self._settings.reasoning
        first: Spelling = "think" if settings.tags == "think" else "reasoning_content"
        return settings.spelling or self._seen or first

    def learn(self, spelling: Spelling | None) -> None:
        """Take in how an answer's reasoning is spelled; None where it has none."""
        self._seen = spelling or self._seen

    def body(self, request: Request) -> dict[str, Any]:
        """Return the body of a request."""
        settings = self._settings
        body: dict[str, Any] = {"model": settings.model_id}
        if settings.api == "completion":
            body["prompt"] = wire.render_plain(request.messages)
        else:
            body["messages"] = sent_messages(
                request.messages, settings.reasoning, self.spelling, request.tools
            )
        options = RequestOptions(request.stop, request.tools, request.response_format)
        return body | parameters(settings, options, request.seed)


def question(settings: EndpointSettings, words: str, carried: dict[str, Any]) -> dict[str, Any]:
    """Return a request for one token that carries these parameters."""
    body: dict[str, Any] = {"model": settings.model_id, **carried}
    body |= dict.fromkeys(LENGTHS & carried.keys() or {settings.length_key}, 1)
    if settings.api == "completion":
        body["prompt"] = words
    else:
        body["messages"] = [{"role": "user", "content": words}]
    return body


def parameters(
    settings: EndpointSettings, options: RequestOptions, seed: int | None
) -> dict[str, Any]:
    """Return what a request carries beside its messages and its model."""
    sampling = settings.sampling
    if sampling.seed == "none":
        seed = None
    elif seed is None:
        seed = sampling.seed
    optional: dict[str, Any] = {
        "stop": options.stop[: settings.stop_limit],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        settings.length_key: sampling.max_tokens,
        "seed": seed,
        "reasoning_effort": settings.reasoning.effort,
    }
    found = {key: value for key, value in optional.items() if value not in (None, ())}
    found.update(sampling.extra)
    if options.tools:
        found["tools"] = sent_tools(options.tools)
    if options.response_format is not None:
        found["response_format"] = options.response_format
    return found
