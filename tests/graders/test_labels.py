"""Strict verdicts against 600 recorded answers that were labelled by reading.

The sample is drawn by rule: of the recorded answers on which the published verdict and the strict
one of the time differed (`strict_disagreements.txt`), or in which a cue word occurs, those of each
task with the smallest digest, at most 130. A label is what a careful reader takes from answer,
prompt and reference, within the stated tolerances; the files hold digests and labels only. Rules
were made on two thirds; the rest, `held back`, were only counted.
"""

import asyncio
import gzip
import hashlib
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codeact.datasets import get, load_tasks
from tests.helpers.sandboxes import started

HERE = Path(__file__).parents[1] / "data"
DATA = Path(__file__).parents[3] / "shared" / "data"
EACH = 130
AT_ONCE = 4
CUES = re.compile(
    r"(?i)\b(not|no|never|neither|nor|none|or|either|and|but|except|unless|than|maybe|probably"
    r"|perhaps|possibly|about|approximately|around|between|cannot|incorrect|wrong|actually|instead"
    r"|however|if|unknown|unable|doubt|eliminate\w*|minus|negative|less|more|wait|correction"
    r"|at least|at most|unclear|insufficient)\b|n't\b|[≠≥≤<>~?±]|!="
)
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the recorded answers in ../shared are not here"
)


class Score(NamedTuple):
    precision: float
    recall: float


def digest(row: dict[str, Any]) -> str:
    text = f"strict-1:{row['task']}:{row['task_id']}:{row['answer']}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def recorded() -> dict[str, dict[str, Any]]:
    with gzip.open(DATA / "expected" / "grader_vectors_reasoning.jsonl.gz") as lines:
        return {digest(row): row for row in map(json.loads, lines)}


def labels() -> dict[str, str]:
    lines = (HERE / "strict_labels.jsonl").read_text().splitlines()
    return {row["answer"]: row["label"] for row in map(json.loads, lines)}


def held_back(name: str) -> bool:
    return int(name[:8], 16) % 3 == 0


def score(right: dict[str, bool], labelled: dict[str, str]) -> Score:
    passed = [name for name in labelled if right[name] and labelled[name] != "undecidable"]
    good = sum(labelled[name] == "right" for name in passed)
    wanted = sum(label == "right" for label in labelled.values())
    return Score(good / len(passed), good / wanted)


def test_the_sample_is_the_one_that_the_rule_draws() -> None:
    differed = set((HERE / "strict_disagreements.txt").read_text().split())
    drawn: dict[str, list[str]] = defaultdict(list)
    for name, row in recorded().items():
        if name in differed or CUES.search(row["answer"]):
            drawn[row["task"]].append(name)
    sample = {name for names in drawn.values() for name in sorted(names)[:EACH]}
    assert sample == set(labels())
    assert len(sample) == 600


def test_strict_verdicts_agree_with_a_reader() -> None:
    labelled, rows = labels(), recorded()
    right = asyncio.run(strict({name: rows[name] for name in labelled}))
    parts = {
        "all": labelled,
        "tuned": {name: label for name, label in labelled.items() if not held_back(name)},
        "held back": {name: label for name, label in labelled.items() if held_back(name)},
    }
    scores = {part: score(right, chosen) for part, chosen in parts.items()}
    assert all(found.precision >= 0.99 for found in scores.values()), scores
    assert scores["all"].recall >= 0.91, scores
    assert scores["held back"].recall >= 0.91, scores


async def strict(rows: dict[str, dict[str, Any]]) -> dict[str, bool]:
    tasks = {
        (name, task.id): task
        for name in {row["task"] for row in rows.values()}
        for task in load_tasks(get(name), DATA / "mint_tasks" / f"{name}.jsonl")
    }
    sandbox = await started("local", preload=("numpy", "sympy", "math_verify"), memory_mb=1024)
    free = asyncio.Semaphore(AT_ONCE)

    async def grade(row: dict[str, Any]) -> bool:
        task = tasks[row["task"], str(row["task_id"])]
        async with free:
            verdict = await get(task.name).grader("strict")(task, row["answer"], sandbox)
        return verdict.correct

    try:
        found = await asyncio.gather(*map(grade, rows.values()))
    finally:
        await sandbox.close()
    return dict(zip(rows, found, strict=True))
