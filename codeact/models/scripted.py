"""A model in this process that completes at once, for tests and benchmarks."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from pydantic import Field

from codeact.episode.effects import Completion
from codeact.models.base import EpisodeKey, ModelSettings, Request, Role

Scripted = str | Completion
Script = Callable[[Request], Scripted]


class ScriptedModel:
    """Completes with `script`: a function, or texts by turn (the last one from then on).

    The function may raise `ModelFailure` or `ProviderFailure`, as any client does.
    """

    def __init__(
        self,
        script: Script | Sequence[Scripted],
        *,
        latency: float = 0.0,
        plain: bool = False,
    ) -> None:
        self._script = script
        self._latency = latency
        self.plain = plain

    async def check(self, episodes: Collection[EpisodeKey] = (), role: Role = "policy") -> None:
        """There is nothing that could be missing."""

    async def complete(self, request: Request) -> Completion:
        started = time.monotonic()
        if self._latency:
            await asyncio.sleep(self._latency)
        if callable(self._script):
            answer = self._script(request)
        else:
            answer = self._script[min(request.turn, len(self._script) - 1)]
        if isinstance(answer, Completion):
            return answer
        return Completion(text=answer, seconds=time.monotonic() - started)

    async def close(self) -> None:
        """Nothing is held."""


class ScriptedSettings(ModelSettings):
    """The same few texts in every episode; `latency` in seconds."""

    kind: Literal["scripted"]
    """Fixed texts in place of a model."""
    name: str = "scripted"
    """The model's name in records and tables."""
    texts: list[str] = Field(min_length=1)
    """The texts by turn; the last one is repeated."""
    latency: float = Field(default=0.0, ge=0)
    """Seconds that each answer takes."""

    def create(self) -> ScriptedModel:
        return ScriptedModel(self.texts, latency=self.latency)
