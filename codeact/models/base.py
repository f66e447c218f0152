"""The interface of model clients, for the policy and the feedback model alike."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import msgspec
from pydantic import Field

from codeact.episode.effects import Completion, Usage
from codeact.episode.messages import JSON, Message, ToolSchema
from codeact.episode.settings import Settings
from codeact.plugins import resolve

Role = Literal["policy", "feedback"]
Notice = Callable[[str], None]


class EpisodeKey(msgspec.Struct, frozen=True):
    """The episode of a request: recordings are found by it, and servers keep its prefix."""

    task_name: str
    task_id: str
    sample: int = 0


class Request(msgspec.Struct, frozen=True):
    """One request to a model.

    `turn` counts from 0. `seed` is already specific to the sample; None sends none. `tools` are
    functions that the model may call, and `response_format` the form that its text has to have, as
    the API words it.
    """

    messages: tuple[Message, ...]
    stop: tuple[str, ...]
    episode: EpisodeKey
    turn: int
    role: Role = "policy"
    seed: int | None = None
    tools: tuple[ToolSchema, ...] = ()
    response_format: JSON | None = None


class ModelClient(Protocol):
    """Completes requests; safe to call concurrently from one event loop."""

    plain: bool
    """True for plain-completion models, which get one more stop string."""

    async def check(self, episodes: Collection[EpisodeKey] = (), role: Role = "policy") -> None:
        """Refuse what cannot work, before anything is spent: `ConfigError`, `RecordingError`.

        `episodes` are those that the run will ask for, in `role`.
        """
        ...

    async def complete(self, request: Request) -> Completion:
        """Complete, or raise `ModelFailure` (context exhausted) or `ProviderFailure` (all else)."""
        ...

    async def close(self) -> None:
        """Release connections; the client is not used afterwards."""
        ...


@runtime_checkable
class SharesLimits(Protocol):
    """A client whose limits can be shared between several processes."""

    def share(self, workers: int) -> None:
        """Use one of `workers` equal shares of every limit from now on, at least 1 of each."""
        ...


@runtime_checkable
class Probed(Protocol):
    """A client that can be asked whether its model works now, and what it is."""

    async def probe(self) -> None:
        """Ask one small question; raises `ProviderFailure` with what is wrong, and what to do."""
        ...

    async def serving(self) -> list[dict[str, Any]]:
        """Return what the servers say about their model; equal lists mean the same model."""
        ...


class Prices(Settings):
    """USD per million tokens. `cached` is for prompt tokens out of the server's prefix cache."""

    prompt: float = Field(ge=0)
    """USD per million prompt tokens."""
    completion: float = Field(ge=0)
    """USD per million completion tokens."""
    cached: float | None = Field(default=None, ge=0)
    """None charges cached tokens like all others."""

    def cost(self, usage: Usage) -> float:
        """Return the cost of a request in USD."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt - usage.cached
        total = fresh * self.prompt + usage.cached * cached + usage.completion * self.completion
        return total / 1e6


class ModelSettings(Settings):
    """Base of every model's settings; a subclass adds ``kind: Literal["its name"]``.

    `name` is the model's name in records and tables.
    """

    incidental: ClassVar[frozenset[str]] = frozenset({"prices"})
    client_class: ClassVar[str] = ""
    """The client's class as ``module:Class``, imported when one is made; it takes the settings."""

    name: str
    """The model's name in requests, records and tables."""
    prices: Prices | None = None
    """USD per million tokens: {prompt: 0.5, completion: 1.5, cached: null}; null counts no
    costs."""

    @property
    def plain(self) -> bool:
        """Whether requests are for plain completions, which have no function calling."""
        return getattr(self, "api", "chat") == "completion"

    def preflight(self, *, here: bool) -> None:
        """Refuse what can be seen not to work at once; raises a `CodeactError`.

        `here` says that whatever is started for the model starts on this machine.
        """

    @asynccontextmanager
    async def served(self, notice: Notice) -> AsyncIterator["ModelSettings"]:
        """Start what these settings need; yields the settings of a client for it.

        Most models run already, and yield their own settings. `notice` takes a line for the user.
        Raises `ModelUnavailable`.
        """
        yield self

    def served_by(self, serving: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the part of `serving` that keys cached completions."""
        return serving

    def create(self) -> ModelClient:
        """Make a client that obeys these settings: of `client_class`, or override this."""
        if not self.client_class:
            raise NotImplementedError(f"{type(self).__name__} names no client_class")
        client: ModelClient = resolve(self.client_class)(self)
        return client


def without_none(identity: dict[str, Any], *names: str) -> dict[str, Any]:
    """Leave out fields that are None, so that identities from before they existed stay the same."""
    return {key: value for key, value in identity.items() if value is not None or key not in names}
