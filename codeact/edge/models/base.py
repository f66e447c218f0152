"""What a model client is, for the policy and the feedback model alike."""

from collections.abc import Collection
from typing import Literal, Protocol

import msgspec

from codeact.episode.effects import Completion, Message
from codeact.episode.settings import Settings

Role = Literal["policy", "feedback"]


class EpisodeKey(msgspec.Struct, frozen=True):
    """Which episode asks: recorded models look answers up by it, servers keep it together by it."""

    task_name: str
    task_id: str
    sample: int = 0


class Request(msgspec.Struct, frozen=True):
    """One request to a model.

    `turn` counts from 0. `seed` is already specific to the sample; None sends none.
    """

    messages: tuple[Message, ...]
    stop: tuple[str, ...]
    episode: EpisodeKey
    turn: int
    role: Role = "policy"
    seed: int | None = None


class ModelClient(Protocol):
    """Answers requests; safe to call concurrently from one event loop."""

    plain: bool
    """True for plain-completion models, which get one more stop string."""

    async def check(self, episodes: Collection[EpisodeKey] = (), role: Role = "policy") -> None:
        """Before anything is spent, refuse what cannot work: `ConfigError`, `RecordingError`.

        `episodes` are those that the run is going to ask for, in `role`.
        """
        ...

    async def complete(self, request: Request) -> Completion:
        """Answer, or raise `ModelFailure` (context exhausted) or `ProviderFailure` (all else)."""
        ...

    async def close(self) -> None:
        """Release connections; the client is not used afterwards."""
        ...


class ModelSettings(Settings):
    """Base of every model's settings; a subclass adds ``kind: Literal["its name"]``.

    `name` is the model's name in records and tables.
    """

    name: str

    def create(self) -> ModelClient:
        """Make a client that obeys these settings."""
        raise NotImplementedError
