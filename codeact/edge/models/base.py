"""What a model client is, for the policy and the feedback model alike."""

from typing import Literal, Protocol

import msgspec

from codeact.episode.effects import Completion, Message


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
    role: Literal["policy", "feedback"] = "policy"
    seed: int | None = None


class ModelClient(Protocol):
    """Answers requests; safe to call concurrently from one event loop."""

    plain: bool
    """True for plain-completion models, which get one more stop string."""

    async def complete(self, request: Request) -> Completion:
        """Answer, or raise `ModelFailure` (context exhausted) or `ProviderFailure` (all else)."""
        ...

    async def close(self) -> None:
        """Release connections; the client is not used afterwards."""
        ...
