"""The settings of a model behind Anthropic's Messages API."""

from importlib.util import find_spec
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from codeact.episode.settings import Settings
from codeact.exceptions import ModelUnavailable
from codeact.models.anthropic.advice import ADVICE
from codeact.models.base import ModelClient
from codeact.models.remote.conversation import History
from codeact.models.remote.settings import (
    RemoteSettings,
    ServerAddress,
    VariableName,
    without_reserved,
)

API_VERSION = "2023-06-01"
LEAST_BUDGET = 1024
"""Tokens of thinking: the smallest budget that the API takes."""
_RESERVED = {
    "cache_control",
    "messages",
    "model",
    "output_config",
    "stop_sequences",
    "stream",
    "system",
    "thinking",
    "tool_choice",
    "tools",
}


class ClaudeSampling(Settings):
    """How the model samples; None leaves a setting to the server. The API has no seeds."""

    temperature: float | None = Field(default=None, ge=0, le=1)
    """Null leaves it to the server. Models from Claude Opus 4.7 on refuse any but 1."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Null leaves it to the server; newer models refuse it."""
    top_k: int | None = Field(default=None, ge=1)
    """Null leaves it to the server; newer models refuse it."""
    max_tokens: int = Field(default=1024, ge=1)
    """The most tokens of one answer, thinking included; the API wants a number."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further keys of the request's body, sent as they are."""

    @field_validator("extra")
    @classmethod
    def _leaves_ours_alone(cls, extra: dict[str, Any]) -> dict[str, Any]:
        return without_reserved(extra, _RESERVED)


class ClaudeReasoning(Settings):
    """Whether and how much the model thinks, and what later turns see of it."""

    thinking: Literal["adaptive", "enabled", "between_tools", "disabled"] | None = None
    """`adaptive`: the model decides; `enabled`: within `budget`. Which of them a model takes, and
    what it does where nothing is said (null), differs from model to model."""
    budget: int | None = Field(default=None, ge=LEAST_BUDGET)
    """The most tokens of thinking, for `enabled`; less than `sampling.max_tokens`."""
    display: Literal["summarized", "omitted"] | None = None
    """Whether thoughts come back as a summary or only as their signature; null is the model's
    own default."""
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    """How much effort the model puts into an answer; null leaves it to the server."""
    history: History = "keep"
    """What later turns send back of earlier thinking blocks: all, none, or the last message's. The
    API wants at least the last message's where a thinking model calls tools."""

    @property
    def is_on(self) -> bool:
        """Whether thinking is asked for."""
        return self.thinking not in (None, "disabled")

    @model_validator(mode="after")
    def _has_a_budget_where_it_needs_one(self) -> Self:
        if (self.thinking == "enabled") != (self.budget is not None):
            raise ValueError("reasoning.thinking=enabled and reasoning.budget=TOKENS go together")
        if self.display is not None and self.thinking not in ("enabled", "adaptive"):
            raise ValueError("reasoning.display needs reasoning.thinking=adaptive or enabled")
        return self


class AnthropicSettings(RemoteSettings):
    """A Claude model, or another behind a server that speaks the Messages API."""

    client_class = "codeact.models.anthropic.client:AnthropicClient"
    sdk_class = "codeact.models.anthropic.sdk:AnthropicTransport"
    models_route = "models?limit=1000"
    incidental = RemoteSettings.incidental | {"caching"}
    advice = ADVICE

    kind: Literal["anthropic"]
    """An endpoint that speaks Anthropic's Messages API."""
    base_url: ServerAddress = "https://api.anthropic.com/v1"
    """The address of the endpoint, up to and with /v1."""
    api_key_env: VariableName | None = "ANTHROPIC_API_KEY"
    """The environment variable that holds the key; null sends none."""
    sampling: ClaudeSampling = ClaudeSampling()
    """How the model samples."""
    reasoning: ClaudeReasoning = ClaudeReasoning()
    """Whether and how much the model thinks, and what later turns see of it."""
    caching: Literal["5m", "1h"] | None = "5m"
    """How long the server keeps a conversation's prefix for the next turn, counted from its last
    use; null caches nothing."""
    tool_choice: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    """Where a prompt offers functions: `auto`, `any` (it has to call one), `none`, or the name of
    the one to call. Null leaves it to the server."""
    parallel_tool_use: bool = True
    """Whether the model may call several functions in one message."""
    betas: list[str] = Field(default_factory=list)
    """Beta features, by the names that the `anthropic-beta` header has."""
    stop_limit: int | None = Field(default=None, ge=0)
    """How many stop strings the server takes; the others are enforced here. Null is any number."""

    @field_validator("betas")
    @classmethod
    def _fit_a_header(cls, betas: list[str]) -> list[str]:
        for name in betas:
            if not name.isascii() or not name.isprintable() or {",", " "} & set(name) or not name:
                raise ValueError(f"{name!r} cannot be the name of a beta feature")
        return betas

    @model_validator(mode="after")
    def _thinks_as_the_api_admits(self) -> Self:
        sampling, reasoning = self.sampling, self.reasoning
        if reasoning.budget is not None and reasoning.budget >= sampling.max_tokens:
            raise ValueError(
                f"reasoning.budget={reasoning.budget} leaves nothing of sampling.max_tokens="
                f"{sampling.max_tokens} for the answer: raise max_tokens, of which thinking is part"
            )
        if not reasoning.is_on:
            return self
        if sampling.temperature not in (None, 1) or sampling.top_k is not None:
            raise ValueError(
                "with thinking the API admits neither sampling.temperature nor sampling.top_k: "
                "set both to null"
            )
        if self.tool_choice not in (None, "auto", "none"):
            raise ValueError(
                f"with thinking the API admits no tool_choice={self.tool_choice}, only auto or none"
            )
        return self

    @model_validator(mode="after")
    def _has_the_prices_of_its_cache(self) -> Self:
        prices = self.prices
        if self.caching and prices and None in (prices.cached, prices.cache_written):
            raise ValueError(
                f"caching={self.caching} has prices of its own: give prices.cached and "
                "prices.cache_written, USD per million tokens (Anthropic takes 0.1 times the "
                "prompt's price for reading, 1.25 times for writing, 2 times for writing with "
                "caching=1h), or caching=null"
            )
        return self

    def headers(self, key: str) -> dict[str, str]:
        headers = {"anthropic-version": API_VERSION, **self.beta_headers}
        return {**headers, "x-api-key": key} if key else headers

    @property
    def beta_headers(self) -> dict[str, str]:
        """The header that switches beta features on."""
        return {"anthropic-beta": ",".join(self.betas)} if self.betas else {}

    def listed_as(self, listed: dict[str, Any]) -> str | None:
        """Return the model's id in a list, which may have a date that the name leaves out."""
        dated = [
            name
            for name in listed
            if (rest := name.removeprefix(f"{self.name}-")) != name and len(rest) == 8
        ]
        return self.name if self.name in listed else max(dated, default=None)

    def preflight(self, *, here: bool) -> None:
        self._has_its_package()

    def create(self) -> ModelClient:
        self._has_its_package()
        return super().create()

    def _has_its_package(self) -> None:
        if self.transport == "sdk" and find_spec("anthropic") is None:
            raise ModelUnavailable(
                "model.kind=anthropic needs the anthropic package, which is not installed: "
                "pip install 'codeact[anthropic]', or give model.transport=lean, which does "
                "without it"
            )
