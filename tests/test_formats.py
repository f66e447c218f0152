"""Conversion: formats, masks, tags, preference pairs, and what is never half-written."""

import gzip
import json
from pathlib import Path

import pytest
import yaml

from codeact.cli import main
from codeact.collection.formats import ConvertConfig, convert_files
from codeact.collection.masks import Preset, loss_mask
from codeact.collection.tags import Marks, TagSettings, rewritten
from codeact.experiment.compose import Invocation, compose_config
from codeact.experiment.validation import validated
from codeact.resources import data_folder
from tests.test_collection import CODE, FIRST, PROPOSAL, WORKED, line, recorded

CODE_TURN = "I try.\n<execute> 1 + 1 </execute>"
FAILED = "Observation:\nTraceback\nNameError: name 'x' is not defined\nYou have 3 steps left."
FINE = "Observation:\nno Error at all\nYou have 3 steps left."
WRONG = "Observation:\nYour answer is wrong.\nYou have 2 steps left."
ANSWER = "It is <solution> 2 </solution>"
MARKDOWN = TagSettings(
    execute=Marks(open="```python\n", close="\n```"), solution=Marks(open="**", close="**")
)


def messages(*texts: str) -> list[dict]:
    roles = ["user" if one.startswith("Observation:") else "assistant" for one in texts]
    opening = [("system", "Use <execute>."), ("user", "Task:\nAdd 1 and 1.")]
    return [
        {"role": role, "content": text}
        for role, text in (*opening, *zip(roles, texts, strict=True))
    ]


def conversation(number: int = 1, *texts: str) -> dict:
    chosen = texts or (CODE_TURN, FAILED, CODE_TURN, FINE, ANSWER)
    return {"id": f"reasoning/math/{number}/m/s", "conversations": messages(*chosen)}


def write(path: Path, *conversations: dict) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in conversations))
    return path


def config(source: Path, out: Path, *overrides: str) -> ConvertConfig:
    words = (f"source='{source}'", f"out={out}", *overrides)
    return validated(ConvertConfig, compose_config(Invocation("convert", words)))


def lines(path: Path) -> list[dict]:
    return [json.loads(one) for one in path.read_text().splitlines()]


@pytest.mark.parametrize("option", [path.stem for path in data_folder("conf").glob("tags/*.yaml")])
def test_every_tags_option_composes_and_names_every_key(option: str) -> None:
    composed = compose_config(Invocation("convert", ("source=x", "out=y", f"tags={option}")))
    chosen = validated(ConvertConfig, composed)
    assert set(composed.config) == set(ConvertConfig.model_fields)
    assert set(composed.config["tags"]) == set(chosen.tags.model_dump())


# Masks


@pytest.mark.parametrize(
    ("texts", "worked", "tail"),
    [
        ((CODE_TURN, FINE, ANSWER), [0, 2], [0, 2]),
        ((CODE_TURN, FAILED, CODE_TURN, FINE, ANSWER), [2, 4], [2, 4]),
        ((CODE_TURN, FINE, CODE_TURN, FAILED, ANSWER), [0, 4], [4]),
        ((ANSWER, WRONG, CODE_TURN, FINE, ANSWER), [2, 4], [2, 4]),
        (("I wonder.", FINE, CODE_TURN, FINE, ANSWER), [2, 4], [2, 4]),
        ((ANSWER,), [0], [0]),
    ],
)
def test_masks_leave_failed_turns_out(
    texts: tuple[str, ...], worked: list[int], tail: list[int]
) -> None:
    def trained(preset: Preset) -> list[int]:
        mask = loss_mask(messages(*texts), preset)  # type: ignore[arg-type]
        return [number - 2 for number, yes in enumerate(mask) if yes]

    assert trained("worked") == worked
    assert trained("successful_tail") == tail
    assert trained("last") == [len(texts) - 1]
    assert trained("all") == list(range(0, len(texts), 2))


def test_what_an_expert_says_of_errors_is_no_error() -> None:
    feedback = f"{FINE}\n\nExpert feedback:\nNameError: is what you would get"
    mask = loss_mask(messages(CODE_TURN, feedback, ANSWER), "worked")  # type: ignore[arg-type]
    assert mask == [False, False, True, False, True]


# Tags


def test_tags_are_rewritten_in_pairs_and_where_the_instruction_names_them() -> None:
    text = 'Use "<execute>", as in <execute> print(1) </execute>, or <solution> A </solution>.'
    assert rewritten(text, MARKDOWN) == (
        'Use "```python", as in ```python\nprint(1)\n```, or **A**.'
    )
    assert rewritten(text, TagSettings(execute=None, solution=None)) == text


# Formats


def test_sft_is_the_same_again_with_a_mask(tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "easy.jsonl", conversation())
    convert_files(config(source, tmp_path / "plain", "loss=null"))
    assert (lines(tmp_path / "plain" / "easy.jsonl")) == [conversation()]
    convert_files(config(source, tmp_path / "masked", "loss=successful_tail"))
    (masked,) = lines(tmp_path / "masked" / "easy.jsonl")
    trained = [one.pop("loss") for one in masked["conversations"]]
    assert trained == [False, False, False, False, True, False, True]
    assert masked == conversation()


def test_openai_has_weights_for_the_assistant_and_nothing_that_it_does_not_know(
    tmp_path: Path,
) -> None:
    source = tmp_path / "easy.jsonl.gz"
    source.write_bytes(gzip.compress(json.dumps(conversation()).encode() + b"\n"))
    convert_files(config(source, tmp_path / "out", "format=openai", "loss=last"))
    (made,) = lines(tmp_path / "out" / "easy.jsonl")
    assert list(made) == ["messages"]
    weights = [one.pop("weight", None) for one in made["messages"]]
    assert weights == [None, None, 0, None, 0, None, 1]
    assert made["messages"] == conversation()["conversations"]


def test_hf_is_read_by_its_library_with_a_split_for_each_file(tmp_path: Path) -> None:
    from datasets import load_dataset

    write(tmp_path / "in" / "easy.jsonl", conversation(1), conversation(2))
    write(tmp_path / "in" / "hard-one.jsonl", conversation(3))
    out = tmp_path / "out"
    convert_files(config(tmp_path / "in", out, "format=hf"))
    made = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in made.items()} == {"easy": 2, "hard_one": 1}
    (row,) = made["hard_one"]
    assert [one.pop("loss") for one in row["conversations"]].count(True) == 3
    assert row == conversation(3)
    _, head, body = (out / "README.md").read_text().split("---\n", 2)
    assert len(yaml.safe_load(head)["configs"][0]["data_files"]) == 2
    assert "| easy | 2 |" in body
    assert {path.name for path in out.iterdir()} == {"README.md", "data"}


def test_a_push_that_fails_says_so_and_leaves_the_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from datasets import DatasetDict

    def down(*_: object, **__: object) -> None:
        raise ConnectionError("the hub cannot be reached")

    monkeypatch.setattr(DatasetDict, "push_to_hub", down)
    source = write(tmp_path / "easy.jsonl", conversation())
    words = ["convert", str(source), f"out={tmp_path / 'out'}", "format=hf", "push=true"]
    assert main(words) == 1
    assert "needs format=hf and repository=" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "repository=me/data"]) == 1
    assert "me/data: could not be pushed (the hub cannot be reached)" in capsys.readouterr().err
    assert (tmp_path / "out" / "README.md").exists()


@pytest.mark.parametrize("form", ["sft", "openai", "hf"])
def test_broken_lines_are_said_with_their_place_and_the_rest_converted(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "easy.jsonl", conversation())
    source.write_text(source.read_text() + "{\n")
    assert main(["convert", str(source), f"out={tmp_path / 'out'}", f"format={form}"]) == 1
    shown = capsys.readouterr()
    assert shown.err.count(f"{source}:2: is no conversation") == 1
    assert ": 1 examples" in shown.out


@pytest.mark.parametrize("form", ["sft", "hf"])
def test_nothing_is_written_where_nothing_comes_out(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "easy.jsonl"
    source.write_text("{\n")
    assert main(["convert", str(source), f"out={tmp_path / 'out'}", f"format={form}"]) == 1
    assert f"{source}:1: is no conversation" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_is_not_replaced_by_its_own_conversion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "easy.jsonl", conversation())
    assert main(["convert", str(source), f"out={tmp_path}"]) == 1
    assert "would replace" in capsys.readouterr().err
    assert lines(source) == [conversation()]


# Preference pairs


def test_pairs_share_their_task_and_first_message(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    long = [CODE, WORKED, CODE, WORKED, PROPOSAL]
    other = line(3, success=False).replace("Be brief.", "Be long.")
    recorded(tree, line(1, long), line(2), line(3), model="a")
    recorded(tree, line(1), line(2, success=True), other, model="b")
    recorded(tree, line(1, [CODE], success=False), line(2), model="c")
    convert_files(config(tree, tmp_path / "out", "format=preference", "pairs=5"))
    (pair,) = lines(tmp_path / "out" / "pairs.jsonl")
    assert set(pair) == {"id", "prompt", "chosen", "rejected"}
    assert pair["id"].startswith("reasoning/gsm8k/1/b/")
    assert [one["role"] for one in pair["prompt"]] == ["system", "user"]
    assert FIRST.endswith(pair["prompt"][1]["content"].removeprefix("Task:\n") + "\n")
    assert len(pair["chosen"]) == 3
    assert len(pair["rejected"]) == 1


def test_pairs_prefer_the_same_model_and_are_bounded(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    recorded(tree, line(1, [CODE, WORKED, CODE], success=False), model="a")
    for model in ("b", "c"):
        recorded(tree, line(1), model=model)
    bad = line(1, [PROPOSAL], success=False)
    recorded(tree, bad, model="c", path="F=gpt-4/PHF=no_GT-textual/max5_p2+tool+cd")
    for most, count in ((1, 1), (2, 2), (9, 2)):
        out = tmp_path / str(most)
        convert_files(config(tree, out, "format=preference", f"pairs={most}"))
        assert len(lines(out / "pairs.jsonl")) == count
    first, second = lines(tmp_path / "2" / "pairs.jsonl")
    by_model = {one["id"].split("/")[3]: one["rejected"] for one in (first, second)}
    assert len(by_model["b"]) == 3
    assert len(by_model["c"]) == 1
    assert first["id"] != second["id"]
