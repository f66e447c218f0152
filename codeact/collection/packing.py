"""Packs tokenized examples into rows of bounded length, each of which says where they begin.

Best-fit decreasing: the longest example first, into the row with the least room that still holds
it. An example never spans two rows; one that is longer than a row is cut at its end.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from codeact.collection.encoding import Encode, EncodedText
from codeact.episode.messages import JSON

IGNORED = -100
"""The label of a token that is not trained, for torch and all that builds on it."""
_ROWS_PER_GROUP = 256


class PackReport(msgspec.Struct):
    """What became of the tokens. Shares are of 1; `lost` tokens stood behind the cut."""

    length: int
    tokenizer: str
    rows: int
    examples: int
    tokens: int
    trained_tokens: int
    examples_cut: int
    tokens_lost: int
    trained_tokens_lost: int
    examples_left_out: int
    padding_share: float


class _Packed(NamedTuple):
    name: str
    tokens: EncodedText


def write_packed(
    examples: Iterable[JSON], path: Path, encode: Encode, *, length: int, tokenizer: str
) -> PackReport:
    """Write one parquet file with rows of at most `length` tokens.

    Columns: `input_ids`, `labels` (−100 where nothing is trained), `position_ids` (from 0 in each
    example), `seq_lengths`, and `ids`. Examples without a trained token are left out.
    """
    report = PackReport(length, tokenizer, 0, 0, 0, 0, 0, 0, 0, 0, 0.0)
    kept: list[_Packed] = []
    for example in examples:
        tokens = encode(example["text"], example["spans"])
        tokens.trained[:1] = False  # nothing of the example stands before its first token
        if len(tokens.ids) > length:
            report.examples_cut += 1
            report.tokens_lost += len(tokens.ids) - length
            report.trained_tokens_lost += int(tokens.trained[length:].sum())
            # Copies, or the whole would stay in memory.
            tokens = EncodedText(tokens.ids[:length].copy(), tokens.trained[:length].copy())
        if tokens.trained.any():
            kept.append(_Packed(example["id"], tokens))
        else:
            report.examples_left_out += 1
    rows = packed([len(one.tokens.ids) for one in kept], length)
    report.rows, report.examples = len(rows), len(kept)
    report.tokens = sum(len(one.tokens.ids) for one in kept)
    report.trained_tokens = sum(int(one.tokens.trained.sum()) for one in kept)
    if rows:
        report.padding_share = round(1 - report.tokens / (len(rows) * length), 6)
    _write(path, [[kept[place] for place in row] for row in rows])
    return report


def packed(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Return rows of places in `lengths`, each row in order, and rows by their first place."""
    rows: list[list[int]] = []
    left: list[tuple[int, int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        found = bisect_left(left, (lengths[place], 0))
        if found == len(left):
            rows.append([])
            space, row = room, len(rows) - 1
        else:
            space, row = left.pop(found)
        rows[row].append(place)
        if space > lengths[place]:
            insort(left, (space - lengths[place], row))
    return sorted(map(sorted, rows))


def _write(path: Path, rows: Sequence[Sequence[_Packed]]) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    numbers = pa.list_(pa.int32())
    schema = pa.schema(
        {
            "input_ids": numbers,
            "labels": numbers,
            "position_ids": numbers,
            "seq_lengths": numbers,
            "ids": pa.list_(pa.string()),
        }
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(rows), _ROWS_PER_GROUP):
            group = [_row(row) for row in rows[start : start + _ROWS_PER_GROUP]]
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _row(row: Sequence[_Packed]) -> JSON:
    ids = np.concatenate([one.tokens.ids for one in row])
    trained = np.concatenate([one.tokens.trained for one in row])
    lengths = [len(one.tokens.ids) for one in row]
    return {
        "input_ids": ids,
        "labels": np.where(trained, ids, IGNORED),
        "position_ids": np.concatenate([np.arange(one) for one in lengths]),
        "seq_lengths": lengths,
        "ids": [one.name for one in row],
    }
