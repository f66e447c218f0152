"""Tokenizers that give the place of each token in its text, for masks in tokens."""

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from codeact.collection.tokenizer_folder import TOKENIZER
from codeact.exceptions import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BUNDLED = ("qwen3", "llama3")
Ids = NDArray[np.int32]
Spans = Sequence[tuple[int, int]]


class EncodedText(NamedTuple):
    """The tokens of a text, and whether each is trained: all of its characters are in one span."""

    ids: Ids
    trained: NDArray[np.bool_]


class Encode(Protocol):
    """Makes tokens of a text with the trained spans, in characters."""

    def __call__(self, text: str, spans: Spans) -> EncodedText: ...


def encoder(tokenizer: str, stop: str) -> Encode:
    """Return the tokenizer of a name or folder; raises `ConfigError`.

    A tokenizer that does not know the token `stop` is refused: a model would never learn to end.
    """
    encode = (
        _bundled(tokenizer) if tokenizer in BUNDLED else _of_folder(Path(tokenizer).expanduser())
    )
    if stop and (count := len(encode(stop, ()).ids)) != 1:
        raise ConfigError(
            f"tokenizer={tokenizer}: has {count} tokens for {stop}, which has to be one: it is "
            "not of this format"
        )
    return encode


def _bundled(name: str) -> Encode:
    import quicktok  # type: ignore[import-untyped]

    tokens = quicktok.get_encoding(name)
    lengths = np.full(tokens.max_token_value + 1, -1, np.int64)

    def encode(text: str, spans: Spans) -> EncodedText:
        ids = np.array(tokens.encode_with_special(text), np.int32)
        for one in np.unique(ids[lengths[ids] < 0]):
            lengths[one] = len(tokens.decode_single_token_bytes(int(one)))
        ends = np.cumsum(lengths[ids])
        places = _in_bytes(text, spans, int(ends[-1]) if len(ends) else 0)
        return EncodedText(ids, _within(ends - lengths[ids], ends, places))

    return encode


def vocabulary_size(tokenizer: str) -> int:
    """Return one more than the largest id of a tokenizer; raises `ConfigError`."""
    if tokenizer in BUNDLED:
        import quicktok

        return int(quicktok.get_encoding(tokenizer).max_token_value) + 1
    return max(_read(Path(tokenizer).expanduser()).get_vocab().values()) + 1


def _read(folder: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    file = folder / TOKENIZER
    if not file.is_file():
        raise ConfigError(
            f"tokenizer={folder}: is neither {', '.join(BUNDLED)} nor a folder with {TOKENIZER}"
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise ConfigError(f"{file}: is no tokenizer ({error})") from error


def _of_folder(folder: Path) -> Encode:
    tokens = _read(folder)
    tokens.no_truncation()
    tokens.no_padding()

    def encode(text: str, spans: Spans) -> EncodedText:
        found = tokens.encode(text, add_special_tokens=False)
        places = np.array(found.offsets, np.int64).reshape(-1, 2)
        return EncodedText(
            np.array(found.ids, np.int32), _within(places[:, 0], places[:, 1], list(spans))
        )

    return encode


def _within(starts: NDArray[np.int64], ends: NDArray[np.int64], spans: Spans) -> NDArray[np.bool_]:
    trained = np.zeros(len(starts), np.bool_)
    for start, end in spans:
        first, last = np.searchsorted(starts, start), np.searchsorted(ends, end, "right")
        trained[first:last] = True
    return trained


def _in_bytes(text: str, spans: Spans, length: int) -> list[tuple[int, int]]:
    """The spans in bytes of UTF-8, which is what the bundled tokenizers split.

    Their text has `length` bytes: some compose characters first (NFC), and so do we then.
    """
    if text.isascii():
        return list(spans)
    places = [0, *(place for span in spans for place in span), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    sums = np.cumsum([len(piece.encode()) for piece in pieces])
    if sums[-1] != length:
        composed = (unicodedata.normalize("NFC", piece) for piece in pieces)
        sums = np.cumsum([len(piece.encode()) for piece in composed])
    if sums[-1] != length:
        raise ValueError("its tokens give another text than its own")
    *bounds, _ = sums.tolist()
    return list(zip(bounds[::2], bounds[1::2], strict=True))
