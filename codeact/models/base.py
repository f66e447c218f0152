"""The interface of model clients, for the policy and the feedback model alike."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import msgspec
from pydantic import Field

from codeact.episode.accounts import AccountLine
from codeact.episode.effects import Completion, Usage
from codeact.episode.messages import JSON, Message, RequestOptions, ToolSchema
from codeact.episode.settings import Settings
from codeact.plugins import resolve

Role = Literal["policy", "feedback"]
Notice = Callable[[str], None]


class EpisodeKey(msgspec.Struct, frozen=True):
    """The episode of a request: recordings are found by it, and servers keep its prefix."""

    task_name: str
    task_id: str
    sample: int = 0


class RequestMeter(msgspec.Struct):
    """What a request takes beside the completion that it ends with; its client tells it.

    `discarded` are answers that came with their usage and could not be used. `unknown` counts what
    was sent, may have been charged, and whose usage is unknown: the connection broke, the time was
    up, or the answer has no usage. `listen` is told of each at once.
    """

    discarded: AccountLine = AccountLine()
    unknown: int = 0
    listen: Callable[[AccountLine, int], None] | None = None

    def discard(self, usage: Usage, prices: "Prices | None") -> None:
        """Add an answer that cannot be used, and said what it took."""
        cost = None if prices is None else prices.cost(usage)
        self._add(AccountLine(1, usage, cost), 0)

    def miss(self) -> None:
        """Add a request whose usage is unknown."""
        self._add(AccountLine(), 1)

    def take(self) -> "RequestMeter":
        """Return what there is so far, and begin anew."""
        taken = RequestMeter(self.discarded, self.unknown)
        self.discarded, self.unknown = AccountLine(), 0
        return taken

    def _add(self, discarded: AccountLine, unknown: int) -> None:
        self.discarded += discarded
        self.unknown += unknown
        if self.listen is not None:
            self.listen(discarded, unknown)


class Request(msgspec.Struct, frozen=True):
    """One request to a model.

    `turn` counts from 0. `seed` is already specific to the sample; None sends none. `tools` are
    functions that the model may call, and `response_format` the form that its text has to have, as
    the API words it. The client tells the `meter` what the completion does not.
    """

    messages: tuple[Message, ...]
    stop: tuple[str, ...]
    episode: EpisodeKey
    turn: int
    role: Role = "policy"
    seed: int | None = None
    tools: tuple[ToolSchema, ...] = ()
    response_format: JSON | None = None
    meter: RequestMeter = msgspec.field(default_factory=RequestMeter)


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
class Detokenizes(Protocol):
    """A client that can tell the text of token ids."""

    async def text_of(self, ids: Sequence[int]) -> str | None:
        """Return the text of ids, special tokens included; None if it cannot be known."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A client that asks its servers for more than the run's requests, to check them."""

    @property
    def checks(self) -> RequestMeter:
        """What checks take."""
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


@runtime_checkable
class Rehearsed(Protocol):
    """A client that can find out whether its model takes what a run's requests carry."""

    async def rehearse(self, options: RequestOptions, seed: int | None) -> None:
        """Ask for one token with all of that; raises `ConfigError` if something is refused."""
        ...


class Prices(Settings):
    """USD per million tokens. `cached` is for prompt tokens out of the server's prefix cache."""

    prompt: float = Field(ge=0)
    """USD per million prompt tokens."""
    completion: float = Field(ge=0)
    """USD per million completion tokens."""
    cached: float | None = Field(default=None, ge=0)
    """None charges cached tokens like all others."""
    cache_written: float | None = Field(default=None, ge=0)
    """For tokens that the server wrote into its cache; None charges them like all others."""

    def cost(self, usage: Usage) -> float:
        """Return the cost of a request in USD."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt - usage.cached
        total = fresh * self.prompt + usage.cached * cached + usage.completion * self.completion
        if self.cache_written is not None:
            total += usage.cache_written * (self.cache_written - self.prompt)
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
    """Leave out fields that are None, or groups of fields that have nothing to say.

    So identities from before they existed stay the same.
    """
    return {
        key: value
        for key, value in identity.items()
        if key not in names or (value is not None and value != {})
    }
