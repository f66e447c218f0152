"""Prepared data sets: the published task files come out of the raw files, value for value."""

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from codeact import datasets as families
from codeact.datasets import preparing
from codeact.datasets.preparing.base import Choice

DATA = Path(__file__).parents[3] / "shared" / "data"
RAW = DATA / "raw"
PUBLISHED = DATA / "expected" / "processed_sample"
MINT = DATA / "mint_tasks"

pytestmark = pytest.mark.skipif(not RAW.is_dir(), reason="../shared/data/raw is not here")

Row = dict[str, Any]


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def prepared(name: str, raw: Path, out: Path, **changes: Any) -> preparing.Card:
    preparer = preparing.get(name)
    return preparing.prepare(preparer, str(raw), out, preparer.choice._replace(**changes))


def steps(card: preparing.Card) -> dict[str, tuple[int, int]]:
    return {step.name: (step.of, step.kept) for step in card.steps}


def test_hotpotqa_is_the_published_draw(tmp_path: Path) -> None:
    card = prepared("hotpotqa", RAW / "hotpotqa", tmp_path, sample=60)
    assert rows(tmp_path / "hotpotqa.jsonl") == rows(PUBLISHED / "reasoning/train/hotpotqa.jsonl")
    assert steps(card)["level hard"] == (100, 100)
    assert steps(card)["drawn with seed 42"] == (100, 60)


def test_math_is_the_published_but_for_the_order_of_the_subjects(tmp_path: Path) -> None:
    """Published ids count through the subjects as a directory happened to list them.

    Ours count through them in alphabetical order; within a subject the step is the same.
    """
    card = prepared("math", RAW / "math", tmp_path)
    first = 0
    for path in sorted((PUBLISHED / "reasoning/train").glob("*.jsonl")):
        if path.stem == "hotpotqa":
            continue
        published, ours = rows(path), rows(tmp_path / path.name)
        seen, kept = steps(card)[f"level, {path.stem}"]
        offset = published[0]["id"] - ours[0]["id"]
        assert [{**row, "id": row["id"] + offset} for row in ours] == published
        assert (kept, first <= ours[0]["id"] < first + seen) == (len(published), True)
        first += seen
    assert (first, sum(file.rows for file in card.files.values())) == (302, 255)


def test_apps_is_the_published_less_its_repeated_records(tmp_path: Path) -> None:
    """Of records that stand twice in the raw file we keep the first: ids are unique."""
    card = prepared("apps", RAW / "apps", tmp_path)
    published = rows(PUBLISHED / "code_generation/train/apps.jsonl")
    first: dict[int, Row] = {}
    for row in published:
        assert first.setdefault(row["problem_id"], row) == row
    assert rows(tmp_path / "apps.jsonl") == list(first.values())
    examples = PUBLISHED / "code_generation/train/apps.fewshot.jsonl"
    assert rows(tmp_path / "apps.fewshot.jsonl") == rows(examples)
    assert (len(published), len(first), card.left_out) == (155, 133, 22)
    assert all("the same record" in finding.reason for finding in card.findings)
    assert [(step.of, step.kept) for step in card.steps[:3]] == [(165, 165)] * 3


def test_apps_is_the_same_out_of_its_original_archive(tmp_path: Path) -> None:
    """The sample has five problems in both layouts."""
    prepared("apps", RAW / "apps", tmp_path / "a", few_shot=0)
    prepared("apps", RAW / "apps" / "hendrycks_layout", tmp_path / "b", few_shot=0)
    ours = {row["problem_id"]: row for row in rows(tmp_path / "a" / "apps.jsonl")}
    found = rows(tmp_path / "b" / "apps.jsonl")
    assert [row["problem_id"] for row in found] == [1, 111, 2287, 2404, 4184]
    assert found == [ours[row["problem_id"]] for row in found]


def test_wiki_table_questions_are_the_published_ones(tmp_path: Path) -> None:
    card = prepared("wiki_table_questions", RAW / "wiki_table_question", tmp_path, sample=100)
    published = rows(PUBLISHED / "tabular/train/wiki_table_questions.jsonl")
    assert rows(tmp_path / "wiki_table_questions.jsonl") == published
    examples = [
        f"Table ID: {row['table_id']}\n\n{row['prompt']}\n\nAnswer:{row['reference']}\n\n"
        for row in rows(tmp_path / "wiki_table_questions.fewshot.jsonl")
    ]
    text = (PUBLISHED / "tabular/train/wiki_table_questions.icl.txt").read_text("utf-8")
    assert examples == re.split("={20}", text)[1:]
    assert steps(card)["tables read"] == (281, 281)
    assert sum("is read instead" in note for note in card.notes) == 11


def test_the_whole_of_wiki_table_questions_has_the_published_counts(tmp_path: Path) -> None:
    archive = DATA / "raw_full" / "WikiTableQuestions.tar.gz"
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    out = tmp_path / "out"
    card = prepared("wiki_table_questions", tmp_path, out)
    counts = steps(card)
    assert counts["tables read"] == (2108, 2108)
    assert counts["largest tables"] == (14149, 3000)
    assert counts["asked in SQL, wiki_table_questions"] == (3000, 1500)
    assert sum("is read instead" in note for note in card.notes) == 81
    assert sum("stray quote" in note for note in card.notes) == 1
    assert card.files["wiki_table_questions.jsonl"].rows == 3000


@pytest.mark.parametrize(
    ("name", "key"), [("gsm8k", "prompt"), ("humaneval", "task_id"), ("mbpp", "task_id")]
)
def test_the_others_give_the_rows_of_the_published_tasks(
    tmp_path: Path, name: str, key: str
) -> None:
    """MINT took some rows of each and numbered them anew; the rest of a row is the same."""
    prepared(name, RAW / name, tmp_path)
    ours = {row[key]: row for row in rows(tmp_path / f"{name}.jsonl")}
    shared = [row for row in rows(MINT / f"{name}.jsonl") if row[key] in ours]
    assert len(shared) >= 4
    for row in shared:
        assert {**ours[row[key]], "id": row["id"]} == row


def test_theoremqa_asks_for_the_form_of_the_answer_as_published(tmp_path: Path) -> None:
    card = prepared("theoremqa", RAW / "theoremqa", tmp_path)
    ours = {row["prompt"]: row for row in rows(tmp_path / "theoremqa.jsonl")}
    shared = [row for row in rows(MINT / "theoremqa.jsonl") if row["prompt"] in ours]
    assert len(shared) == 14
    for row in shared:
        assert {**ours[row["prompt"]], "id": row["id"]} == row
    assert steps(card)["without a picture"] == (300, 281)


@pytest.mark.parametrize(("name", "count"), [("mmlu", 240), ("strategyqa", 200)])
def test_every_row_loads(tmp_path: Path, name: str, count: int) -> None:
    prepared(name, RAW / name, tmp_path)
    tasks = families.load_tasks(families.get(name), tmp_path / f"{name}.jsonl")
    assert len(tasks) == count


def test_a_seed_of_ones_own_draws_others(tmp_path: Path) -> None:
    raw = RAW / "hotpotqa"
    assert prepared("hotpotqa", raw, tmp_path / "a", sample=9, seed=1).files != (
        prepared("hotpotqa", raw, tmp_path / "b", sample=9, seed=2).files
    )
    assert preparing.get("hotpotqa").choice == Choice(sample=3000, levels=("hard",), seed=42)
