"""A client for Anthropic's Messages API."""

from typing import Any

from codeact.episode.effects import Usage
from codeact.episode.messages import RequestOptions
from codeact.exceptions import ModelFailure, ProviderFailure
from codeact.models.anthropic import wire
from codeact.models.anthropic.caching import set_breakpoints
from codeact.models.anthropic.messages import sent_conversation, sent_tools
from codeact.models.anthropic.settings import LEAST_BUDGET, AnthropicSettings
from codeact.models.base import Request
from codeact.models.remote.client import RemoteClient
from codeact.models.remote.encoding import ServerCompletion
from codeact.models.remote.errors import ServerError


class AnthropicClient(RemoteClient):
    """Completes requests; an overloaded server is asked less, as one that says so by status 429."""

    busy = frozenset({429, 529})
    _settings: AnthropicSettings

    def __init__(self, settings: AnthropicSettings) -> None:
        super().__init__(settings, "messages")

    def _body(self, request: Request) -> dict[str, Any]:
        settings = self._settings
        options = RequestOptions(request.stop, request.tools, request.response_format)
        carried = self._parameters(options, request.seed)
        system, messages = sent_conversation(request.messages, settings.reasoning.history)
        if settings.caching is not None:
            set_breakpoints(settings.caching, carried.get("tools", ()), system, messages)
        told = {"system": system} if system else {}
        return {"model": settings.model_id, "messages": messages, **told, **carried}

    def _parameters(self, options: RequestOptions, seed: int | None) -> dict[str, Any]:
        settings = self._settings
        sampling, tools = settings.sampling, sent_tools(options.tools)
        optional: dict[str, Any] = {
            "max_tokens": sampling.max_tokens,
            "tools": tools,
            "tool_choice": self._tool_choice() if tools else None,
            "stop_sequences": [one for one in options.stop if one.strip()][: settings.stop_limit],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "thinking": self._thinking(),
            "output_config": self._output_config(options),
        }
        found = {key: value for key, value in optional.items() if value not in (None, [], {})}
        return found | sampling.extra

    def _tool_choice(self) -> dict[str, Any] | None:
        settings = self._settings
        wanted, one_at_most = settings.tool_choice, not settings.parallel_tool_use
        if wanted is None and not one_at_most:
            return None
        choice: dict[str, Any] = {"type": wanted or "auto"}
        if wanted not in (None, "auto", "any", "none"):
            choice = {"type": "tool", "name": wanted}
        if one_at_most and wanted != "none":
            choice["disable_parallel_tool_use"] = True
        return choice

    def _thinking(self) -> dict[str, Any] | None:
        reasoning = self._settings.reasoning
        if reasoning.thinking is None:
            return None
        given = {"budget_tokens": reasoning.budget, "display": reasoning.display}
        told = {key: value for key, value in given.items() if value is not None}
        return {"type": reasoning.thinking, **told}

    def _output_config(self, options: RequestOptions) -> dict[str, Any]:
        config: dict[str, Any] = {}
        if (effort := self._settings.reasoning.effort) is not None:
            config["effort"] = effort
        if options.response_format is not None:
            config["format"] = _output_format(options.response_format)
        return config

    def _question(self, words: str, carried: dict[str, Any]) -> dict[str, Any]:
        messages = [{"role": "user", "content": words}]
        asked = {"model": self._settings.model_id, "messages": messages, **carried, "max_tokens": 1}
        if "budget_tokens" in carried.get("thinking", ()):
            # The API takes no smaller budget, and wants room for an answer behind it.
            asked["thinking"] = {**carried["thinking"], "budget_tokens": LEAST_BUDGET}
            asked["max_tokens"] = LEAST_BUDGET + 1
        return asked

    def _usage(self, usage: object) -> Usage | None:
        return wire.read_usage(usage)

    def _parse(self, body: bytes, request: Request) -> ServerCompletion:
        return wire.parse_completion(body, request.turn)

    def _shrink(self, body: dict[str, Any], room: int | None, error: ServerError) -> None:
        super()._shrink(body, room, error)
        budget = self._settings.reasoning.budget
        if budget is not None and budget >= body["max_tokens"]:
            raise ModelFailure(
                f"the conversation leaves {room} tokens in the context of {self._settings.name}, "
                f"too few for reasoning.budget={budget} and an answer"
            )


def _output_format(given: dict[str, Any]) -> dict[str, Any]:
    """Return a response format as this API words it; OpenAI's own words are understood, too."""
    schema = given.get("schema")
    if schema is None and isinstance(inner := given.get("json_schema"), dict):
        schema = inner.get("schema")
    if given.get("type") != "json_schema" or not isinstance(schema, dict):
        raise ProviderFailure(
            f"the prompt asks for the response format {given.get('type')!r}, and the Messages API "
            "has only json_schema, with a schema",
            final=True,
        )
    return {"type": "json_schema", "schema": schema}
