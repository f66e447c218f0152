"""Mixes: exact numbers, the seed, duplicates and evaluation sets, and what is refused."""

import json
from collections import Counter
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.collection.formats import convert_files
from codeact.exceptions import ConfigError
from tests.helpers.conversations import config, conversation, lines, write


def orca(number: int, question: str = "") -> dict:
    return {
        "id": f"o{number}",
        "question": question or f"What is {number}?",
        "response": "A number.",
    }


def mixed(out: Path, *sources: Path, mix: str, more: tuple[str, ...] = ()) -> dict:
    done = convert_files(config(sources[0], out, f"mix=[{mix}]", *more))
    assert list(done.examples) == ["mixed.jsonl"]
    return json.loads((out / "conversion.json").read_text())


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return write(tmp_path / "in" / "easy.jsonl", *(conversation(n) for n in range(70)))


@pytest.fixture
def general(tmp_path: Path) -> Path:
    return write(tmp_path / "in" / "orca.jsonl", *(orca(n) for n in range(60)))


def test_a_weight_is_the_share_of_all_and_a_count_is_a_number(
    ours: Path, general: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "in" / "other.jsonl", *(orca(n) for n in range(100, 150)))
    asked = f"{{path: {general}, weight: 0.25}}, {{path: {other}, count: 5}}"
    report = mixed(tmp_path / "out", ours, mix=asked)
    found = Counter(one["id"][0] for one in lines(tmp_path / "out" / "mixed.jsonl"))
    assert found == {"r": 70, "o": 30}  # 25 of 100 are a quarter, and five more
    taken = [(one["asked"], one["taken"], one["share"]) for one in report["mix"]]
    assert taken == [("all", 70, 0.7), ("weight 0.25", 25, 0.25), ("count 5", 5, 0.05)]


@pytest.mark.parametrize(("weight", "number"), [(0.3, 30), (0.1, 8), (0.001, None), (0.4, 47)])
def test_numbers_are_exact_and_not_of_binary_fractions(
    weight: float, number: int | None, ours: Path, general: Path, tmp_path: Path
) -> None:
    """0.3 of 100 are 30; 0.1 of 77.8 are 8; 0.001 of 70.07 is none; 0.4 of 116.7 are 47."""
    asked = f"{{path: {general}, weight: {weight}}}"
    if number is None:
        with pytest.raises(ConfigError, match=r"weight 0\.001 of 70 examples is none"):
            mixed(tmp_path / "out", ours, mix=asked)
    else:
        assert mixed(tmp_path / "out", ours, mix=asked)["mix"][1]["taken"] == number


def test_the_same_seed_gives_the_same_bytes_and_another_others(
    ours: Path, general: Path, tmp_path: Path
) -> None:
    asked = f"{{path: {general}, count: 20}}"
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        mixed(tmp_path / name, ours, mix=asked, more=(f"seed={seed}",))
    a, b, c = (tmp_path / name / "mixed.jsonl" for name in "abc")
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()
    drawn = [{one["id"] for one in lines(path) if one["id"][0] == "o"} for path in (a, c)]
    assert drawn[0] != drawn[1]
    order = [one["id"] for one in lines(a)]
    assert order != sorted(order, key=lambda one: one[0] == "o")


def test_what_an_earlier_source_has_is_not_mixed_in_and_is_counted(
    ours: Path, tmp_path: Path
) -> None:
    again = {**orca(1), "question": "what IS  1?", "id": "again"}
    other_answer = {**orca(1), "response": "The first."}
    known = write(tmp_path / "in" / "known.jsonl", orca(1), again, conversation(3), orca(2))
    third = write(tmp_path / "in" / "third.jsonl", orca(2), other_answer, orca(3))
    asked = f"{{path: {known}, count: 2}}, {{path: {third}, count: 2}}"
    report = mixed(tmp_path / "out", ours, mix=asked)
    numbers = [(one["usable"], one["duplicates"], one["known_prompts"]) for one in report["mix"]]
    # All of `ours` say the same; of the others, `again` and the third of ours are known.
    assert numbers == [(70, 69, 0), (2, 2, 1), (2, 1, 2)]
    found = {one["id"] for one in lines(tmp_path / "out" / "mixed.jsonl")} - {"again"}
    assert {"o1", "o2", "o3"} <= found


def test_prompts_of_evaluation_sets_are_not_mixed_in(ours: Path, tmp_path: Path) -> None:
    asked = "How many legs have three spiders and two ants, taken all together, in this room?"
    tests = tmp_path / "tests.jsonl"
    tests.write_text(json.dumps({"prompt": asked}) + "\n")
    general = write(tmp_path / "in" / "orca.jsonl", orca(1, asked), orca(2))
    step = f"selection.steps.contamination.files=['{tests}']"
    report = mixed(tmp_path / "out", ours, mix=f"{{path: {general}, count: 1}}", more=(step,))
    assert (report["mix"][1]["contaminated"], report["mix"][1]["usable"]) == (1, 1)
    assert "o1" not in {one["id"] for one in lines(tmp_path / "out" / "mixed.jsonl")}


def test_too_few_conversations_are_refused_with_their_number(
    ours: Path, general: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"weight 0\.5 asks for 70 .* it has 60 .* count=60"):
        mixed(tmp_path / "out", ours, mix=f"{{path: {general}, weight: 0.5}}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mix=[{path: x}]",), "mix.0: x: give either weight (a share) or count"),
        (("mix=[{path: x, weight: 1.0}]",), "mix.0.weight"),
        (("mix=[{path: x, weight: 0.5},{path: y, weight: 0.5}]",), "their sum is below 1"),
        (("mix=[{path: x, count: 1}]", "format=preference"), "mix is for conversations"),
        (("mix=[{path: nowhere, count: 1}]",), "nowhere: there is no such file"),
    ],
)
def test_a_mix_that_cannot_be_is_refused_before_anything_is_read(
    words: tuple[str, ...],
    said: str,
    ours: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["convert", str(ours), f"out={tmp_path / 'out'}", *words]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_hubs_card_names_every_file_of_a_mix(
    ours: Path, general: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["convert", str(ours), f"out={tmp_path / 'out'}", "format=hf"]
    assert main([*words, f"mix=[{{path: {general}, weight: 0.3}}]"]) == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| mixed | 100 |" in text
    assert "`easy.jsonl`, sha256" in text
    assert "`orca.jsonl`, sha256" in text
    shown = capsys.readouterr().out
    assert "30.0%" in shown
