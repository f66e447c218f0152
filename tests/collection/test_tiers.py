"""Tiers of a few rows: duplicates, complete experiments, strong models, unsolved tasks."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from codeact.collection.scan import ROW, Scan
from codeact.collection.settings import SelectionSettings
from codeact.collection.tiers import Label, Tiers, by_name, decide
from codeact.recordings.trajectory import Experiment, TaskKey
from tests.collection.test_collection import settings

MODELS = ("weak", "small", "gpt-4")


class Row(NamedTuple):
    """A record: its task, the place of its model in `MODELS`, and how it went."""

    task: int
    model: int = 0
    sample: int = 0
    turns: int = 3
    success: bool = True
    file: int = 0


def decided(*rows: Row, tasks: int, complete_only: bool = True) -> Tiers:
    table = np.zeros(len(rows), ROW)
    for number, row in enumerate(rows):
        one = table[number]
        one["line"], one["task"], one["experiment"] = number + 1, row.task, row.model
        one["sample"], one["turns"], one["success"] = row.sample, row.turns, row.success
        one["file"] = row.file
    scan = Scan(
        rows=table,
        tasks=[TaskKey("reasoning", "math", str(number)) for number in range(tasks)],
        experiments=[Experiment(model, "", "", "max5_p2+tool+cd") for model in MODELS],
        unreadable=[],
        redone=0,
        uncounted=0,
        skipped=0,
        files=[Path("a"), Path("b")],
        spools=[],
    )
    return decide(scan, chosen(complete_only))


def chosen(complete_only: bool) -> SelectionSettings:
    changes = {"strong": ["gpt-*"], "easy_turns": 2, "complete_only": complete_only}
    return settings("published").model_copy(update=changes)


def labels(tiers: Tiers) -> list[str]:
    return [Label(label).word for label in tiers.labels]


def test_a_success_is_in_a_tier_by_its_model_and_its_turns() -> None:
    rows = [Row(0, turns=2), Row(1, turns=3), Row(0, 2, turns=2), Row(1, 2, turns=3)]
    tiers = decided(*rows, tasks=2)
    assert labels(tiers) == ["easy", "medium", "strong_short", "strong"]
    assert tiers.strong.tolist() == [False, False, True]
    assert tiers.unsolved == []


def test_a_failure_is_in_none_and_its_task_may_be_unsolved() -> None:
    tiers = decided(Row(0, success=False), Row(1), Row(0, 2, turns=3), tasks=2)
    assert labels(tiers) == ["failed", "medium", "strong"]
    # That a strong model solved it does not count.
    assert tiers.unsolved == [0]


def test_an_experiment_without_every_task_is_incomplete_unless_it_is_a_strong_models() -> None:
    rows = [Row(0), Row(1), Row(0, 1), Row(0, 2)]
    tiers = decided(*rows, tasks=2)
    assert tiers.complete.tolist() == [True, False, False]
    assert labels(tiers) == ["medium", "medium", "incomplete", "strong"]
    anyway = decided(*rows, tasks=2, complete_only=False)
    assert labels(anyway) == ["medium", "medium", "medium", "strong"]


def test_what_an_incomplete_experiment_solved_is_not_solved() -> None:
    rows = [Row(0), Row(1, success=False), Row(1, 1)]
    assert decided(*rows, tasks=2).unsolved == [1]
    assert decided(*rows, tasks=2, complete_only=False).unsolved == []


def test_of_duplicates_the_first_counts_and_those_within_a_file_are_told() -> None:
    rows = [Row(0), Row(0), Row(0, sample=1), Row(0, 1), Row(0, file=1), Row(0, 1)]
    tiers = decided(*rows, tasks=1)
    assert labels(tiers) == ["medium", "duplicate", "medium", "medium", "duplicate", "duplicate"]
    assert [(one.first.line, one.place.line) for one in tiers.repeats] == [(1, 2), (4, 6)]


def test_no_two_of_many_episodes_are_taken_for_one() -> None:
    rows = [
        Row(task, model, sample) for task in range(4) for model in (0, 1, 2) for sample in (0, 1)
    ]
    assert "duplicate" not in labels(decided(*rows, tasks=4))
    assert labels(decided(*rows, *rows, tasks=4)).count("duplicate") == len(rows)


def test_a_task_met_twice_makes_no_experiment_complete() -> None:
    tiers = decided(Row(0), Row(0, sample=1), Row(1, 1), tasks=2)
    assert tiers.complete.tolist() == [False, False, False]


def test_nothing_is_decided_of_nothing() -> None:
    tiers = decided(tasks=0)
    assert labels(tiers) == []
    assert tiers.unsolved == []


def test_labels_are_told_apart_in_their_numbers() -> None:
    assert [label.word for label in Label] == [
        "easy", "medium", "strong", "duplicate", "incomplete", "failed", "strong_short",
    ]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [("2", "10"), ("a", "b"), ("a", "1"), ("1a", "1")])
def test_tasks_are_sorted_by_their_numbers(one: str, other: str) -> None:
    first, second = TaskKey("reasoning", "math", one), TaskKey("reasoning", "math", other)
    assert sorted([second, first], key=by_name) == [first, second]
