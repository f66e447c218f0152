"""Exact tokens of an episode as rows for training: one for each chain of turns that extend another.

The prompt of a turn usually extends what the server has seen: then the turn joins the row, and its
ids follow. Where the prompt is another (reasoning taken out, text edited), the turn begins a row of
its own. With several rows to join, it joins the longest.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from codeact.recordings.tokens import EpisodeTokens, TurnTokens

LARGEST_ID = (1 << 31) - 1
"""Ids are written as 32-bit integers."""
_GROUP_IDS = 1 << 20
"""Ids of a row group, so that memory is bounded."""


class TokenChain(msgspec.Struct):
    """Turns of one row, which count from 1.

    `sampled` says of each id whether the policy wrote it; those that it did not write have the log
    probability 0.
    """

    ids: list[int]
    sampled: list[bool]
    logprobs: list[float]
    turns: list[int]
    finish_reasons: list[str]
    temperature: float | None

    def add(self, prompt: Sequence[int], turn: TurnTokens) -> None:
        """Go on with a turn whose prompt extends this row."""
        new = prompt[len(self.ids) :]
        self.ids += [*new, *turn.sampled]
        self.sampled += [False] * len(new) + [True] * len(turn.sampled)
        self.logprobs += [0.0] * len(new) + turn.logprobs
        self.turns.append(turn.turn + 1)
        self.finish_reasons.append(turn.finish_reason)


def chains(tokens: EpisodeTokens, *, largest: int = LARGEST_ID) -> list[TokenChain]:
    """Return the rows of an episode; raises `ValueError`, with the turn, for what is no token."""
    found: list[TokenChain] = []
    for prompt, turn in zip(tokens.prompts(), tokens.turns, strict=True):
        _refuse(turn, largest)
        joined = [
            one
            for one in found
            if one.temperature == turn.temperature and prompt[: len(one.ids)] == one.ids
        ]
        chain = max(joined, key=lambda one: len(one.ids), default=None)
        if chain is None:
            chain = TokenChain([], [], [], [], [], turn.temperature)
            found.append(chain)
        chain.add(prompt, turn)
    return found


def _refuse(turn: TurnTokens, largest: int) -> None:
    for where, ids in (("prompt", turn.prompt), ("answer", turn.sampled)):
        if ids and not (min(ids) >= 0 and max(ids) <= largest):
            place = next(n for n, one in enumerate(ids) if not 0 <= one <= largest)
            raise ValueError(
                f"id {ids[place]} at place {place + 1} of the new part of the {where} of turn "
                f"{turn.turn + 1} is none from 0 to {largest}"
            )
    if len(turn.logprobs) != len(turn.sampled):
        raise ValueError(
            f"turn {turn.turn + 1} has {len(turn.logprobs)} log probabilities for "
            f"{len(turn.sampled)} ids"
        )
    if not all(map(math.isfinite, turn.logprobs)):
        raise ValueError(f"turn {turn.turn + 1} has a log probability that is no finite number")


class TokenRow(msgspec.Struct):
    """What a row says beside its chain; `chain` counts the rows of an episode from 1.

    `reward` is 1 for a success and 0 for none; None where the outcome is not the policy's own.
    """

    episode: str
    group: str
    sample: int
    attempt: int
    model: str
    revision: str | None
    reward: float | None
    chain: int
    tokens: TokenChain


class TokenWriter:
    """Writes rows to a parquet file, a group at a time; a context manager."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        text, numbers = pa.string(), pa.list_(pa.int32())
        self._schema = pa.schema(
            {
                "episode": text,
                "group": text,
                "token_ids": numbers,
                "loss_mask": pa.list_(pa.bool_()),
                "logprobs": pa.list_(pa.float32()),
                "advantage": pa.float32(),
                "reward": pa.float32(),
                "temperature": pa.float32(),
                "sample": pa.int32(),
                "attempt": pa.int32(),
                "chain": pa.int32(),
                "turns": numbers,
                "finish_reasons": pa.list_(text),
                "model": text,
                "revision": text,
            }
        )
        self._writer: Any = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[TokenRow] = []
        self._ids = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._writer.close()

    def add(self, row: TokenRow) -> None:
        """Write a row, now or with those that come."""
        self._rows.append(row)
        self._ids += len(row.tokens.ids)
        if self._ids >= _GROUP_IDS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            made = [_columns(row) for row in self._rows]
            self._writer.write_table(pa.Table.from_pylist(made, schema=self._schema))
        self._rows, self._ids = [], 0


def _columns(row: TokenRow) -> dict[str, Any]:
    chain = row.tokens
    return {
        "episode": row.episode,
        "group": row.group,
        "token_ids": chain.ids,
        "loss_mask": chain.sampled,
        "logprobs": chain.logprobs,
        "advantage": None,
        "reward": row.reward,
        "temperature": chain.temperature,
        "sample": row.sample,
        "attempt": row.attempt,
        "chain": row.chain,
        "turns": chain.turns,
        "finish_reasons": chain.finish_reasons,
        "model": row.model,
        "revision": row.revision,
    }
