"""A client for any OpenAI-compatible endpoint: chat and plain completion.

It sends through either of two transports, which behave alike: the openai package (`sdk`), or
aiohttp alone (`lean`). Measured with 200 requests at once against a server on loopback
(benchmarks/model_client.py), CPU of the client per request: 0.17 ms lean, 0.75 ms sdk; 0.30 ms
lean with limits per minute, two servers and a response cache. The openai package by itself takes
2.7 ms, and 1.9 ms with its aiohttp transport.
"""

from collections.abc import Sequence
from typing import Any

from codeact.episode.effects import Usage
from codeact.episode.messages import RequestOptions
from codeact.exceptions import ProviderFailure
from codeact.models.base import Request
from codeact.models.openai import wire
from codeact.models.openai.requests import RequestWriter, parameters, question
from codeact.models.openai.settings import EndpointSettings
from codeact.models.openai.tokens import ExactTokens
from codeact.models.openai.usage import read_usage
from codeact.models.remote.client import RemoteClient
from codeact.models.remote.encoding import ServerCompletion


class OpenAIClient(RemoteClient):
    """Completes requests of chat or plain completion."""

    _settings: EndpointSettings

    def __init__(self, settings: EndpointSettings) -> None:
        self.plain = settings.api == "completion"
        self.length_key = settings.length_key
        self._writer = RequestWriter(settings)
        self._exact = ExactTokens(settings)
        self.demands = self._exact if self._exact.fields else None
        super().__init__(settings, "completions" if self.plain else "chat/completions")

    def _body(self, request: Request) -> dict[str, Any]:
        return {**self._exact.fields, **self._writer.body(request)}

    def _parameters(self, options: RequestOptions, seed: int | None) -> dict[str, Any]:
        if self.plain and (options.tools or options.response_format is not None):
            raise ProviderFailure(
                "api=completion sends one text, and the prompt strategy wants function calls or a "
                "response format: give api=chat, or another prompt",
                final=True,
            )
        return parameters(self._settings, options, seed)

    def _question(self, words: str, carried: dict[str, Any]) -> dict[str, Any]:
        return question(self._settings, words, {**self._exact.fields, **carried})

    def _usage(self, usage: object) -> Usage | None:
        return read_usage(usage)

    def _parse(self, body: bytes, request: Request) -> ServerCompletion:
        text = self._exact.without_tokens(body)
        found = wire.parse_completion(text, request.turn, tags=self._settings.reasoning.tags)
        self._writer.learn(found.spelling)
        stop = request.stop[: self._settings.stop_limit]
        return self._exact.added(found.completion, body, stop)

    async def text_of(self, ids: Sequence[int]) -> str | None:
        """Return the text of token ids, None where neither we nor the server can tell."""
        return await self._exact.text_of(ids, self._connections)
