"""Statistics: the known counts, exact numbers on examples, and what is refused."""

import json
import os
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.collection.tokens import StatsConfig, chatml, statistics, token_counter

EXPECTED = Path(__file__).parents[3] / "shared" / "data" / "expected"
KNOWN = EXPECTED / "token_counts_mistral_v1.json"
TOKENIZER = os.environ.get("CODEACT_MISTRAL_TOKENIZER", "")
FOLDERS = {"nofb": "postprocess_nofb", "all": "postprocess_all"}


def write(path: Path, *conversations: tuple[str, str]) -> Path:
    lines = [
        json.dumps(
            {
                "id": f"reasoning/{task}/{number}/m/s",
                "conversations": [
                    {"role": "user", "content": "Task:\nAdd."},
                    {"role": "assistant", "content": text},
                ],
            }
        )
        for number, (task, text) in enumerate(conversations)
    ]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def stats(source: Path, out: Path, **more: object) -> StatsConfig:
    chosen: dict = {"tokenizer": "cl100k", "limit": 4096, **more}
    return StatsConfig(source=str(source), out=str(out), **chosen)


@pytest.mark.skipif(
    not TOKENIZER, reason="CODEACT_MISTRAL_TOKENIZER names no tokenizer.model.v1 of mistral-common"
)
@pytest.mark.skipif(not KNOWN.exists(), reason="the shared data (../shared/data) are not here")
@pytest.mark.parametrize("feedback", FOLDERS)
def test_the_known_counts(feedback: str, tmp_path: Path) -> None:
    config = stats(EXPECTED / FOLDERS[feedback], tmp_path, tokenizer=f"sentencepiece:{TOKENIZER}")
    rows = {row.tier: row for row in statistics(config).rows if row.task == "all"}
    known = json.loads(KNOWN.read_text())["counts"]
    for tier in ("easy", "medium", "hard_gpt4"):
        row = rows[f"{tier}_instances.sft"]
        found = {
            "n": row.examples,
            "tokens": row.tokens,
            "tokens_clipped_4096": row.clipped_tokens,
            "avg": row.clipped_mean,
        }
        assert found.items() <= known[f"{feedback}/{tier}"].items()


def test_the_rendering_is_rule_17s() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a\n"}]
    assert chatml(messages) == (  # type: ignore[arg-type]
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\na\n<|im_end|>\n"
    )


@pytest.mark.parametrize("tokenizer", ["cl100k", "o200k", "llama3", "qwen3"])
def test_each_tokenizer_counts(tokenizer: str) -> None:
    assert list(token_counter(tokenizer)(["", " hello", " hello hello"])) == [0, 1, 2]


def test_numbers_by_data_set_and_tier(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    texts = [" a" * length for length in (1, 2, 3, 100)]
    write(source / "easy.jsonl", *(("math", text) for text in texts), ("gsm8k", " a"))
    write(source / "medium.jsonl", ("math", " a"))
    found = statistics(stats(source, tmp_path / "out", limit=100))
    (count,) = token_counter("cl100k")([chatml([{"role": "user", "content": "Task:\nAdd."}])])
    (one,) = token_counter("cl100k")([chatml([{"role": "assistant", "content": " a"}])])
    base = count + one - 1 + 1  # without the one " a", with the beginning of the text
    rows = {(row.tier, row.task): row for row in found.rows}
    assert list(rows) == [
        ("easy", "gsm8k"),
        ("easy", "math"),
        ("easy", "all"),
        ("medium", "math"),
        ("medium", "all"),
    ]
    math = rows["easy", "math"]
    assert math.examples == 4
    assert math.tokens == 4 * base + 106
    assert (math.p50, math.p99, math.longest) == (base + 2, base + 100, base + 100)
    assert math.clipped_share == 0.25
    assert math.clipped_tokens == 3 * base + 6 + 100
    assert rows["easy", "all"].tokens == math.tokens + rows["easy", "gsm8k"].tokens
    written = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert [row["tokens"] for row in written["rows"]] == [row.tokens for row in found.rows]
    for plot in ("lengths.png", "tasks.png"):
        assert (tmp_path / "out" / plot).read_bytes().startswith(b"\x89PNG")


def test_broken_lines_are_said_with_their_place_and_the_rest_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "easy.jsonl", ("math", "a"), ("math", "b"))
    file.write_text(file.read_text() + '{"id": 1}\n{"id": "x", "conversations": []}\n')
    assert main(["stats", str(file), f"out={tmp_path / 'out'}"]) == 1
    shown = capsys.readouterr()
    assert f"{file}:3: is no conversation" in shown.err
    assert f"{file}:4: has no message of the assistant" in shown.err
    assert "2" in shown.out


@pytest.mark.parametrize(
    ("tokenizer", "word"),
    [
        ("cl100", "did you mean 'cl100k'"),
        ("sentencepiece:nowhere.model", "there is no file"),
        (f"sentencepiece:{__file__}", "is no SentencePiece model"),
    ],
)
def test_a_tokenizer_that_cannot_be_had_is_refused_and_nothing_written(
    tokenizer: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "easy.jsonl", ("math", "a"))
    assert main(["stats", str(file), f"out={tmp_path / 'out'}", f"tokenizer={tokenizer}"]) == 1
    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_empty_source_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "easy.jsonl"
    file.write_text("")
    assert main(["stats", str(file), f"out={tmp_path / 'out'}"]) == 1
    assert f"{file}: has no conversation" in capsys.readouterr().err
