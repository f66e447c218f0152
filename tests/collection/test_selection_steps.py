"""Steps of a selection: each by itself, and all of them through the command."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest

from codeact.cli import main
from codeact.collection.contamination import NGramIndex
from codeact.collection.filters import FILTERS, example
from codeact.collection.report import SelectionReport
from codeact.collection.selection import Candidate
from codeact.collection.settings import (
    BalanceSettings,
    BoundsSettings,
    ContaminationSettings,
    DuplicateSettings,
    PerTaskSettings,
    SelectConfig,
    SelectionSettings,
)
from codeact.collection.steps import (
    balanced,
    best_of_each_task,
    steps,
    uncontaminated,
    within_bounds,
    without_exact_duplicates,
    without_near_duplicates,
)
from codeact.exceptions import ConfigError, TaskFileError
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.validation import validated
from codeact.jsonl import SourceLine
from codeact.recordings.trajectory import Experiment, TaskKey

LONG_CODE = "\n".join(f"total_{n} = price[{n}] * amount[{n}] + {n * n}" for n in range(40))
PROMPT = "How many metres of cable does a crew of nine need for seven towers in a row"


def candidate(
    row: int,
    said: str = "<execute>1</execute>",
    *,
    task: str = "1",
    name: str = "math",
    turns: int = 2,
    model: str = "m",
    asked: str = "Add.",
) -> Candidate:
    messages = [("system", "Be brief."), ("user", f"Task:\n{asked}"), ("assistant", said)]
    line = {
        "id": str(row),
        "conversations": [{"role": role, "content": text} for role, text in messages],
    }
    return Candidate(
        row,
        "easy",
        TaskKey("reasoning", name, task),
        Experiment(model, "", "", "max5"),
        0,
        turns,
        len(messages),
        1,
        SourceLine("f", row),
        partial(json.dumps(line).encode),
    )


def rows(found: Iterator[Candidate]) -> list[int]:
    return [one.row for one in found]


def words(many: Sequence[Candidate]) -> list[int]:
    return [len(one.read().split()) for one in many]


# One best of each task, or k diverse ones


def test_the_best_took_the_fewest_turns_and_then_the_fewest_tokens() -> None:
    found = [
        candidate(0, turns=3),
        candidate(1, "many words more", turns=2),
        candidate(2, "few", turns=2),
        candidate(3, "no choice", task="2", turns=5),
    ]
    best = PerTaskSettings(keep="best", k=1)
    assert rows(best_of_each_task(best, words, iter(found))) == [2, 3]


def test_diverse_ones_are_the_best_and_whoever_is_least_like_it() -> None:
    other = "\n".join(f"while queue_{n}: print(queue_{n}.pop())" for n in range(40))
    found = [
        candidate(0, f"<execute>{LONG_CODE}</execute>", turns=2),
        candidate(1, f"<execute>{LONG_CODE}\nprint(total_1)</execute>", turns=3),
        candidate(2, f"<execute>{other}</execute>", turns=4),
    ]
    diverse = PerTaskSettings(keep="diverse", k=2)
    assert rows(best_of_each_task(diverse, words, iter(found))) == [0, 2]
    best = PerTaskSettings(keep="best", k=2)
    assert rows(best_of_each_task(best, words, iter(found))) == [0, 1]


# Duplicates


def test_copies_are_the_same_but_for_white_space() -> None:
    found = [candidate(0, "a  b"), candidate(1, "a\nb", task="2"), candidate(2, "a c")]
    assert rows(without_exact_duplicates(iter(found))) == [0, 2]


def test_near_duplicates_are_those_above_the_threshold() -> None:
    near = LONG_CODE.replace("total_7 ", "sum_7 ")
    far = LONG_CODE.replace("price", "cost").replace("amount", "count")
    found = [candidate(0, LONG_CODE), candidate(1, near), candidate(2, far)]
    settings = DuplicateSettings(threshold=0.85, permutations=128, seed=1)
    assert rows(without_near_duplicates(settings, iter(found))) == [0, 2]
    loose = DuplicateSettings(threshold=0.1, permutations=128, seed=1)
    assert rows(without_near_duplicates(loose, iter(found))) == [0]


# Contamination


def evaluation(tmp_path: Path, *lines: object) -> ContaminationSettings:
    path = tmp_path / "eval.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return ContaminationSettings(files=[str(path)], fields=["prompt", "q"], n=5, share=0.5)


@pytest.mark.parametrize("field", ["prompt", "q"])
def test_a_task_of_an_evaluation_set_is_found_in_other_words_around_it(
    tmp_path: Path, field: str
) -> None:
    settings = evaluation(tmp_path, {field: PROMPT})
    found = [
        candidate(0, asked=f"{PROMPT.upper()}? Say it in one number."),
        candidate(1, asked="How many metres of cable weigh as much as three of the old towers?"),
        candidate(2, asked="Add."),
        candidate(3, asked=""),
    ]
    grams = NGramIndex.read(settings)
    assert rows(uncontaminated(settings, grams, iter(found))) == [1, 2, 3]


def test_a_prompt_shorter_than_a_run_is_found_only_as_a_whole(tmp_path: Path) -> None:
    settings = evaluation(tmp_path, {"prompt": "Add 1 and 1."})
    found = [candidate(0, asked="add 1 and 1"), candidate(1, asked="Add 1 and 1 and 1 and 1.")]
    assert rows(uncontaminated(settings, NGramIndex.read(settings), iter(found))) == [1]


def test_an_evaluation_set_without_prompts_is_refused_with_its_line(tmp_path: Path) -> None:
    settings = evaluation(tmp_path, {"prompt": PROMPT}, {"text": PROMPT})
    with pytest.raises(TaskFileError, match=r"eval.jsonl, line 2: .*contamination.fields"):
        NGramIndex.read(settings)


# Bounds and balance


def test_bounds_on_tokens_and_turns() -> None:
    found = [candidate(0, "x"), candidate(1, "x " * 50), candidate(2, turns=9), candidate(3)]
    sizes = {0: 3, 1: 90, 2: 10, 3: 10}
    bounds = BoundsSettings(min_tokens=5, max_tokens=50, max_turns=8)
    assert rows(
        within_bounds(bounds, lambda many: [sizes[one.row] for one in many], iter(found))
    ) == [3]
    none = BoundsSettings(min_tokens=None, max_tokens=None, max_turns=None)
    assert rows(within_bounds(none, lambda _: 1 // 0, iter(found))) == [0, 1, 2, 3]


def balance(**given: object) -> BalanceSettings:
    none = dict.fromkeys(["per_data_set", "data_set_share", "per_model", "model_share"])
    return BalanceSettings(**{**none, "seed": 0, **given})  # type: ignore[arg-type]


def test_balance_caps_data_sets_and_models_and_keeps_the_order() -> None:
    found = [candidate(n, name="math" if n < 8 else "gsm8k", model="ab"[n % 2]) for n in range(12)]
    kept = rows(balanced(balance(per_data_set=5), iter(found)))
    assert kept == sorted(kept)
    assert sum(row < 8 for row in kept) == 5
    assert sum(row >= 8 for row in kept) == 4
    assert rows(balanced(balance(per_data_set=5), iter(found))) == kept
    by_model = rows(balanced(balance(per_model=2), iter(found)))
    assert [row % 2 for row in sorted(by_model, key=lambda row: row % 2)] == [0, 0, 1, 1]


def test_a_share_is_of_what_is_kept() -> None:
    found = [candidate(n, name="math" if n < 8 else f"set{n}") for n in range(12)]
    kept = rows(balanced(balance(data_set_share=0.5), iter(found)))
    assert sum(row < 8 for row in kept) == 4
    assert [row for row in kept if row >= 8] == [8, 9, 10, 11]


def test_a_share_that_cannot_be_met_is_an_error_that_says_which_can() -> None:
    found = [candidate(0), candidate(1, name="gsm8k")]
    with pytest.raises(ConfigError, match=r"data_set_share=0.4 .* give 0.50 or more"):
        list(balanced(balance(data_set_share=0.4), iter(found)))


# Leaks


def selection(*overrides: str) -> SelectionSettings:
    chosen = ("source=x", "out=y", *overrides)
    return validated(SelectConfig, compose_config(Invocation("select", chosen))).selection


def test_what_code_printed_is_a_leak_only_where_the_preset_says_so() -> None:
    code, shown = "<execute>search('x')</execute>", "Observation:\nOmbrey Castle\n"
    found = example(code, shown, "<solution>Ombrey Castle</solution>", reference="Ombrey Castle")
    keeps = FILTERS["gold_leak"].keeps
    assert keeps(found, selection())
    assert not keeps(found, selection("selection.leaks=observation"))


# Presets and the command


def test_published_has_no_steps_and_ours_switches_each_off_with_null() -> None:
    assert steps(selection("selection=published").steps) == []
    names = [step.name for step in steps(selection().steps)]
    assert names == ["bounds", "per_task", "exact_duplicates", "near_duplicates", "balance"]
    off = [f"selection.steps.{key}=null" for key in ("bounds", "per_task", "duplicates", "balance")]
    assert steps(selection(*off).steps) == []


@pytest.mark.parametrize("tokenizer", ["cl100k", "o200k", "llama3", "qwen3"])
def test_every_tokenizer_counts_the_whole_conversation(tokenizer: str) -> None:
    chosen = selection(
        f"selection.steps.tokenizer={tokenizer}", "selection.steps.bounds.max_tokens=200"
    )
    (bounds, *_) = steps(chosen.steps)
    found = [candidate(0, "word <|endoftext|> " * 12), candidate(1, "word " * 300)]
    assert rows(bounds.choose(iter(found))) == [0]


def test_every_step_is_counted_in_the_report_and_order_is_of_tasks(tmp_path: Path) -> None:
    from tests.collection.test_collection import LONG, line, recorded

    texts = [[text.replace("1 + 1", f"{n} + {n}") for text in LONG] for n in range(12)]
    recorded(tmp_path / "s", *(line(n, texts[n]) for n in (10, 2, 1)), model="a")
    recorded(tmp_path / "s", *(line(2, texts[n]) for n in (5,)), model="b")
    recorded(tmp_path / "s", *(line(n, texts[11]) for n in (2, 3)), model="c")
    out = tmp_path / "o"
    assert (
        main(
            [
                "select",
                str(tmp_path / "s"),
                f"out={out}",
                "selection.filters=[excluded_tasks]",
                "selection.steps.duplicates.threshold=0.95",
            ]
        )
        == 0
    )
    report = msgspec.json.decode((out / "report.json").read_bytes(), type=SelectionReport)
    taken = {one.name: one.records for one in report.tiers["medium"].taken}
    assert taken["per_task"] == 1
    assert taken["exact_duplicates"] + report.tiers["medium"].kept == 5
    ids = [json.loads(one)["id"] for one in (out / "medium.jsonl").read_text().splitlines()]
    assert [one.split("/")[2] for one in ids] == sorted((one.split("/")[2] for one in ids), key=int)


def test_an_empty_selection_names_the_step_that_took_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.collection.test_collection import line, recorded

    recorded(tmp_path / "s", line(1))
    words = [str(tmp_path / "s"), f"out={tmp_path / 'o'}", "selection.steps.bounds.max_tokens=1"]
    assert main(["select", *words]) == 1
    assert "nothing is left to train on: of 1 records, bounds 1" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
