"""Whether each prompt of an episode extends, id by id, what the server had seen before.

Where it does, the server's prefix cache serves all of it, and the episode is one sequence to train
on. Where it first does not, both texts are kept, so that a person sees what came between.
"""

from codeact.episode.record import EpisodeRecord
from codeact.episode.tokens import CompletionTokens, Divergence, PrefixBreak, TokenLog
from codeact.models.base import Detokenizes, ModelClient

_BEFORE, _AFTER = 4, 24
"""Ids that are shown in front of the place where two sequences differ, and from there on."""
_LONGEST = 400
"""Characters that are kept of a text."""


class TokenRecorder:
    """Records the exact tokens of one episode's requests to its policy."""

    def __init__(self, policy: ModelClient) -> None:
        self._policy = policy
        self._log = TokenLog()

    async def add(self, turn: int, tokens: CompletionTokens) -> None:
        """Take in a request; the first one that extends nothing is described."""
        divergence = self._log.add(turn, tokens)
        if divergence is not None and self._log.report.first_break is None:
            self._log.describe(await self._described(divergence))

    async def _described(self, found: Divergence) -> PrefixBreak:
        seen, sent = found.windows(_BEFORE, _AFTER)
        return PrefixBreak(
            turn=found.turn + 1,
            at=found.at,
            place="sampled" if found.in_sampled else "prompt",
            seen=await self._text(seen),
            sent=await self._text(sent),
        )

    async def _text(self, ids: list[int]) -> str:
        policy = self._policy
        text = await policy.text_of(ids) if isinstance(policy, Detokenizes) else None
        return (f"ids {ids}" if text is None else text)[:_LONGEST]

    def keep(self, record: EpisodeRecord) -> None:
        """Give a record what was recorded, if anything was."""
        if self._log.turns:
            record.tokens, record.token_report = self._log.turns, self._log.report
