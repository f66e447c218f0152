"""Packing: rows and their boundaries, masks in tokens, and what it costs."""

import random
from pathlib import Path

import numpy as np
import pytest
import quicktok  # type: ignore[import-untyped]

from codeact.cli import main
from codeact.collection.encoding import encoder
from codeact.collection.formats import convert_files
from codeact.collection.packing import packed
from codeact.exceptions import ConfigError
from tests.helpers.conversations import (
    ANSWER,
    CODE_TURN,
    FINE,
    config,
    conversation,
    lines,
    write,
)
from tests.helpers.tokenizer_folders import GENERATION, tokenizer_folder


def rows_of(path: Path) -> list[dict]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    return pq.read_table(path).to_pylist()


def split(row: dict, column: str) -> list[list[int]]:
    """A column of a row, example by example."""
    ends = np.cumsum(row["seq_lengths"]).tolist()
    return [row[column][start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("seed", range(5))
def test_rows_hold_every_example_once_and_no_more_than_their_room(seed: int) -> None:
    draw = random.Random(seed)
    room = draw.randint(10, 200)
    lengths = [draw.randint(1, room) for _ in range(draw.randint(1, 300))]
    rows = packed(lengths, room)
    assert sorted(place for row in rows for place in row) == list(range(len(lengths)))
    assert all(sum(lengths[place] for place in row) <= room for row in rows)
    assert rows == sorted(map(sorted, rows))
    # No row could take in all of another: best fit would have put the examples there.
    fill = sorted(sum(lengths[place] for place in row) for row in rows)
    assert len(fill) < 2 or fill[0] + fill[1] > room


def test_the_longest_goes_where_the_least_room_is_left() -> None:
    assert packed([3, 7, 5, 2, 4], 10) == [[0, 1], [2, 4], [3]]
    assert packed([8, 7, 2, 3], 10) == [[0, 2], [1, 3]]
    assert packed([6, 5, 4, 5], 10) == [[0, 2], [1, 3]]
    assert packed([], 10) == []


@pytest.mark.parametrize("form", ["chatml", "llama3", "qwen3"])
def test_a_row_says_where_examples_begin_and_what_is_trained(form: str, tmp_path: Path) -> None:
    spoken = [conversation(n, CODE_TURN, FINE, f"{ANSWER} né {'x' * n}") for n in range(6)]
    source = write(tmp_path / "in" / "easy.jsonl", *spoken)
    convert_files(config(source, tmp_path / "text", f"format={form}"))
    done = convert_files(config(source, tmp_path / "out", f"format={form}", "pack=400"))
    rows = rows_of(tmp_path / "out" / "easy.parquet")
    report = done.packing["easy.parquet"]
    assert 1 < len(rows) == report.rows < 6
    tokens = quicktok.get_encoding("llama3" if form == "llama3" else "qwen3")
    texts = {one["id"]: one for one in lines(tmp_path / "text" / "easy.jsonl")}
    for row in rows:
        assert sum(row["seq_lengths"]) == len(row["input_ids"]) == len(row["labels"]) <= 400
        assert split(row, "position_ids") == [list(range(one)) for one in row["seq_lengths"]]
        for name, ids, labels in zip(
            row["ids"], split(row, "input_ids"), split(row, "labels"), strict=True
        ):
            one = texts.pop(name)
            assert tokens.decode(ids) == one["text"]
            assert all(label in (-100, token) for token, label in zip(ids, labels, strict=True))
            trained = [label for label in labels if label != -100]
            spans = "".join(one["text"][start:end] for start, end in one["spans"])
            assert tokens.decode(trained) == spans
            assert labels[0] == -100
    assert texts == {}
    assert report.tokens == sum(len(row["input_ids"]) for row in rows)
    assert report.padding_share == pytest.approx(1 - report.tokens / (400 * len(rows)), abs=1e-6)
    assert report.trained_tokens == sum(one != -100 for row in rows for one in row["labels"])


def test_what_is_cut_and_lost_is_counted(tmp_path: Path) -> None:
    long = conversation(1, CODE_TURN, FINE, "word " * 300 + ANSWER)
    lost = conversation(2, FINE + " word" * 300, ANSWER)
    source = write(tmp_path / "in" / "easy.jsonl", long, lost, conversation(3, ANSWER))
    whole = convert_files(config(source, tmp_path / "a", "format=qwen3", "pack=4000"))
    done = convert_files(config(source, tmp_path / "b", "format=qwen3", "pack=128"))
    before, after = whole.packing["easy.parquet"], done.packing["easy.parquet"]
    assert (before.examples_cut, before.tokens_lost, before.examples) == (0, 0, 3)
    assert (after.examples_cut, after.examples, after.examples_left_out) == (2, 2, 1)
    # The second has nothing trained before its cut: its first 128 tokens are no loss of the cut.
    assert after.tokens + after.tokens_lost + 128 == before.tokens
    assert after.trained_tokens + after.trained_tokens_lost == before.trained_tokens
    kept = [name for row in rows_of(tmp_path / "b" / "easy.parquet") for name in row["ids"]]
    assert [one.split("/")[2] for one in kept] == ["1", "3"]


def test_the_same_conversations_give_the_same_bytes(tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "easy.jsonl", *(conversation(n) for n in range(20)))
    for name in "ab":
        convert_files(config(source, tmp_path / name, "format=qwen3", "pack=512"))
    a, b = ((tmp_path / name / "easy.parquet").read_bytes() for name in "ab")
    assert a == b


def test_composed_characters_keep_the_mask_in_its_place(tmp_path: Path) -> None:
    """The tokenizer writes an e and its accent as one character, so places in the text move."""
    said = "cafe\u0301 " * 5
    source = write(tmp_path / "in" / "easy.jsonl", conversation(1, f"{said}{ANSWER}"))
    convert_files(config(source, tmp_path / "out", "format=qwen3", "pack=512"))
    (row,) = rows_of(tmp_path / "out" / "easy.parquet")
    trained = quicktok.get_encoding("qwen3").decode([one for one in row["labels"] if one != -100])
    assert trained == f"{'café ' * 5}{ANSWER}<|im_end|>"


def test_a_folders_own_tokens_are_packed(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    folder = tokenizer_folder(tmp_path / "model", GENERATION)
    source = write(tmp_path / "in" / "easy.jsonl", conversation(1, f"né {ANSWER}"))
    chosen = ("format=template", f"template={folder}", "pack=512")
    convert_files(config(source, tmp_path / "out", *chosen))
    (row,) = rows_of(tmp_path / "out" / "easy.parquet")
    tokens = Tokenizer.from_file(str(folder / "tokenizer.json"))
    trained = [one for one in row["labels"] if one != -100]
    assert tokens.decode(trained, skip_special_tokens=False) == f"né {ANSWER}<|im_end|>"
    whole = tokens.decode(row["input_ids"], skip_special_tokens=False)
    assert whole.startswith("<s><|im_start|>system\nUse")
    assert whole.count("<s>") == 1


@pytest.mark.parametrize(
    ("tokenizer", "stop", "said"),
    [
        ("qwen3", "<|eot_id|>", "has 7 tokens for <|eot_id|>"),
        ("nowhere", "", "is neither qwen3, llama3 nor a folder"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_refused(tokenizer: str, stop: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        encoder(tokenizer, stop)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pack=512",), "pack and system are for text"),
        (("format=chatml", "tokenizer=qwen3"), "tokenizer is for pack"),
        (("format=chatml", "pack=512", "loss=null"), "pack needs loss=PRESET"),
        (("format=template",), "need each other"),
        (("format=chatml", "template=x"), "need each other"),
        (("format=chatml", "variables={a: 1}"), "variables are for format=template"),
        (("format=openai", "system=merge"), "pack and system are for text"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "nowhere.jsonl", f"out={tmp_path / 'out'}", *words]) == 1
    assert said in capsys.readouterr().err


def test_the_command_says_what_packing_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in" / "easy.jsonl", *(conversation(n) for n in range(3)))
    words = ["convert", str(source), f"out={tmp_path / 'out'}", "format=chatml", "pack=300"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "easy.parquet: 3 examples in 2 rows of up to 300 tokens (qwen3)" in shown
    assert "0 examples cut, 0 tokens lost (0 trained)" in shown
