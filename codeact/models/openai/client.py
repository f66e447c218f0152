"""A client for any OpenAI-compatible endpoint: chat and plain completion.

It sends through either of two transports, which behave alike: the openai package (`sdk`), or
aiohttp alone (`lean`). Measured with 200 requests at once against a server on loopback
(benchmarks/model_client.py), CPU of the client per request: 0.17 ms lean, 0.75 ms sdk; 0.30 ms
lean with limits per minute, two servers and a response cache. The openai package by itself takes
2.7 ms, and 1.9 ms with its aiohttp transport.
"""

from typing import Any

from codeact.models.base import Request
from codeact.models.openai import wire
from codeact.models.openai.settings import EndpointSettings
from codeact.models.remote.client import RemoteClient
from codeact.models.remote.encoding import ServerCompletion


class OpenAIClient(RemoteClient):
    """Completes requests of chat or plain completion."""

    _settings: EndpointSettings

    def __init__(self, settings: EndpointSettings) -> None:
        self.plain = settings.api == "completion"
        super().__init__(settings, "completions" if self.plain else "chat/completions")

    def _body(self, request: Request) -> dict[str, Any]:
        settings = self._settings
        sampling = settings.sampling
        body: dict[str, Any] = {"model": settings.model_id}
        if self.plain:
            body["prompt"] = wire.render_plain(request.messages)
        else:
            body["messages"] = request.messages
        seed = request.seed if request.seed is not None else sampling.seed
        if sampling.seed == "none":
            seed = None
        optional = {
            "stop": request.stop[: settings.stop_limit],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": seed,
        }
        body.update({key: value for key, value in optional.items() if value not in (None, ())})
        body.update(sampling.extra)
        return body

    def _question(self) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self._settings.model_id, "max_tokens": 1}
        if self.plain:
            body["prompt"] = "Hello"
        else:
            body["messages"] = [{"role": "user", "content": "Hello"}]
        return body

    def _parse(self, body: bytes, request: Request) -> ServerCompletion:
        return wire.parse_completion(body)
