"""The exact tokens of recorded episodes: what the server read and sampled, id by id."""

from collections.abc import Iterator
from itertools import chain

import msgspec


class TurnTokens(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of one request of the policy; `turn` counts from 0.

    The server has seen the prompt of the turn before, and what it sampled then. The first `kept`
    ids of these and then `prompt` are the request's prompt. Where it extends all of them, `kept` is
    their number. `sampled` are the ids of the answer, the stop token included where there
    is one, each with its log probability; `temperature` is that of sampling, None where it is the
    server's own.
    """

    turn: int
    kept: int
    prompt: list[int]
    sampled: list[int]
    logprobs: list[float]
    finish_reason: str
    temperature: float | None


class EpisodeTokens(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of one attempt at an episode, by turns; `episode` is the id of its record."""

    episode: str
    attempt: int
    model: str
    revision: str | None
    turns: list[TurnTokens]

    def prompts(self) -> Iterator[list[int]]:
        """Yield the whole prompt of each turn; raises `ValueError` where the ids do not fit."""
        seen: list[int] = []
        for turn in self.turns:
            if not 0 <= turn.kept <= len(seen):
                raise ValueError(
                    f"{self.episode}: turn {turn.turn + 1} keeps {turn.kept} of {len(seen)} ids"
                )
            prompt = [*seen[: turn.kept], *turn.prompt]
            yield prompt
            seen = list(chain(prompt, turn.sampled))
