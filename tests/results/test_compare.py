"""Comparisons of runs: pairs by digest, what is refused, what is concluded, and how surely."""

import os
from pathlib import Path

import pytest

from codeact.exceptions import ConfigError
from codeact.experiment.plan import load_sets
from codeact.results.comparison.compare import compare
from codeact.results.comparison.gate import gate_status
from codeact.results.comparison.model import PairReport
from codeact.results.comparison.sources import newest_two
from codeact.statistics.significance import mcnemar
from tests.helpers.compared import run_folder, solved
from tests.helpers.records import configured


def only_pair(*runs: Path, **options: object) -> PairReport:
    (pair,) = compare(*runs, **options).report.pairs  # type: ignore[arg-type]
    return pair


def test_a_comparison_by_hand(tmp_path: Path) -> None:
    """Of 40 tasks A solves 0 to 19 and B 10 to 34: 15 won, 10 lost."""
    a = run_folder(tmp_path / "a", solved(range(20), 40), tokens=10)
    b = run_folder(tmp_path / "b", solved(range(10, 35), 40), tokens=30)
    found = compare(a, b)
    (pair,) = found.report.pairs
    assert (pair.pairs, pair.rate_a, pair.rate_b) == (40, 0.5, 0.625)
    assert pair.difference is not None
    assert pair.difference.value == 0.125
    assert (pair.p, pair.odds) == (mcnemar(15, 10).p, 1.5)
    assert pair.conclusion == "undecided"
    assert [flip.sure for flip in pair.flips] == [1] * 15 + [-1] * 10
    assert pair.flips[0].a == [f"{a}/episodes.jsonl:21"]
    assert pair.flips[0].b == [f"{b}/episodes.jsonl:21"]
    metrics = {one.name: one for one in pair.metrics}
    assert (metrics["tokens"].a, metrics["tokens"].b) == (10, 30)
    assert metrics["tokens per success"].a == 20
    assert metrics["tokens per success"].b == 48
    row = found.table.loc[str(b)]
    assert (row["won"], row["lost"], row["success"]) == (15, 10, 0.625)


def test_swapped_runs_mirror(tmp_path: Path) -> None:
    a = run_folder(tmp_path / "a", solved(range(20), 60))
    b = run_folder(tmp_path / "b", solved(range(5, 50), 60))
    there, back = only_pair(a, b), only_pair(b, a)
    assert there.difference is not None
    assert back.difference is not None
    assert there.difference.value == -back.difference.value
    assert there.difference.low == -(back.difference.high or 0)
    assert there.p == back.p
    assert (there.conclusion, back.conclusion) == ("better", "worse")
    assert {one.digest for one in there.flips} == {one.digest for one in back.flips}


def test_pairs_are_of_digests_and_not_of_names(tmp_path: Path) -> None:
    """A task with other content is another task; both are listed, and refused unless told."""
    a = run_folder(tmp_path / "a", solved([0, 1], 6))
    b = run_folder(tmp_path / "b", solved([0], 6), digests={"1": "other"})
    with pytest.raises(ConfigError, match="one name and two contents, such as gsm8k/1") as refused:
        compare(a, b)
    assert "5 are in both" in str(refused.value)
    pair = only_pair(a, b, accept="tasks")
    assert pair.pairs == 5
    assert pair.unpaired_a == pair.unpaired_b == ["gsm8k/1"]
    assert pair.flips == []
    none = run_folder(tmp_path / "c", {"9": [True]})
    with pytest.raises(ConfigError, match="no task in common"):
        compare(a, none, accept="tasks")


def test_other_grading_is_refused(tmp_path: Path) -> None:
    a = run_folder(tmp_path / "a", solved([0], 2))
    b = run_folder(tmp_path / "b", solved([0], 2), "grading=mint")
    with pytest.raises(ConfigError, match="codeact regrade, or say accept=grading"):
        compare(a, b)
    assert only_pair(a, b, accept=["grading"]).pairs == 2


def test_missing_outcomes_are_bounded_and_turn_the_conclusion(tmp_path: Path) -> None:
    """30 tasks won, none lost; but the provider failed in 40 episodes of B."""
    a = run_folder(tmp_path / "a", solved(range(10, 60), 100))
    outcomes = solved(range(10, 60), 100)
    outcomes |= {str(task): [True] for task in range(60, 90)}
    whole = run_folder(tmp_path / "whole", outcomes)
    outcomes |= {str(task): ["provider"] for task in range(10, 50)}
    holed = run_folder(tmp_path / "holed", outcomes)
    assert only_pair(a, whole).bounds is None
    pair = only_pair(a, holed)
    assert (pair.pairs, pair.conclusion) == (60, "better")
    assert pair.bounds is not None
    assert (pair.bounds.low, pair.bounds.high) == pytest.approx((-0.1, 0.3))
    assert pair.bounds.changes
    assert "which would change that" in pair.in_words
    lost = compare(a, holed).report.runs[1].attrition
    assert (lost.causes, lost.unplayed, lost.missing) == ({"provider": 40}, 0, 40)


def test_samples_that_were_not_played_are_missing(tmp_path: Path) -> None:
    a = run_folder(tmp_path / "a", {"0": [True, True], "1": [True, False]})
    b = run_folder(tmp_path / "b", {"0": [True, True], "1": [True]})
    pair = only_pair(a, b)
    assert pair.bounds is not None
    assert (pair.bounds.low, pair.bounds.high) == (-0.0, 0.25)


def test_samples_of_a_task_are_not_independent(tmp_path: Path) -> None:
    """Twelve tasks that B solves always and A never are 12 flips, not 96."""
    tasks = {str(task): [False] * 8 for task in range(12)}
    a = run_folder(tmp_path / "a", tasks)
    b = run_folder(tmp_path / "b", {task: [True] * 8 for task in tasks})
    found = compare(a, b).report
    (pair,) = found.pairs
    assert pair.p == 2 / 2**12
    assert "sign flips of 12 clusters" in pair.test
    assert found.runs[1].pass_hat_k[8].value == 1
    assert found.runs[0].success is not None
    assert found.runs[0].success.clusters == 12


def test_clusters_by_a_field_of_the_task_files(tmp_path: Path) -> None:
    """Tasks with one answer type are one cluster; without metadata the field is refused."""
    words = ("task=theoremqa", "data=pkg://codeact.sample/tasks")
    (loaded,) = load_sets(configured(*words))
    digests = {task.id: task.digest for task in loaded.tasks}
    kinds = {str(task.metadata["answer_type"]) for task in loaded.tasks}
    a = run_folder(tmp_path / "a", {one: [False] for one in digests}, *words, digests=digests)
    b = run_folder(tmp_path / "b", {one: [True] for one in digests}, *words, digests=digests)
    pair = only_pair(a, b, cluster="answer_type", by="answer_type")
    assert 1 < pair.clusters == len(kinds) < pair.pairs == len(digests)
    assert pair.p == 2 / 2 ** len(kinds)
    assert {one.value for one in pair.groups if one.field == "answer_type"} == kinds
    with pytest.raises(ConfigError, match=r"no task of .* has a metadata field 'table_id'"):
        compare(a, b, cluster="table_id")


def test_equal_only_with_a_margin(tmp_path: Path) -> None:
    a = run_folder(tmp_path / "a", solved(range(0, 1000, 2), 1000))
    b = run_folder(tmp_path / "b", solved({*range(0, 1000, 2)} - {0, 2} | {1, 3}, 1000))
    assert only_pair(a, b).conclusion == "undecided"
    pair = only_pair(a, b, margin=0.02)
    assert pair.conclusion == "equal within the margin"
    assert pair.p_equivalence is not None
    assert pair.p_equivalence < 0.001


def test_several_runs_are_adjusted_by_holm(tmp_path: Path) -> None:
    """By itself B is better than A; among four comparisons nothing is sure."""
    a = run_folder(tmp_path / "a", solved(range(20), 40))
    b = run_folder(tmp_path / "b", solved(range(27), 40))
    others = [run_folder(tmp_path / name, solved(range(21), 40)) for name in ("c", "d", "e")]
    assert only_pair(a, b).conclusion == "better"
    pairs = compare(a, b, *others).report.pairs
    assert pairs[0].p == pytest.approx(2 / 2**7)
    assert pairs[0].p_holm == pytest.approx(4 * 2 / 2**7)
    assert [one.conclusion for one in pairs] == ["undecided"] * 4


def test_settings_beyond_what_is_under_study_are_pointed_out(tmp_path: Path) -> None:
    values = {"model.model": "x", "turns.max_steps": 5}
    a = run_folder(tmp_path / "a", solved([0], 2), values=values)
    model = run_folder(
        tmp_path / "b", solved([0], 2), "seed=7", values={**values, "model.model": "y"}
    )
    both = run_folder(
        tmp_path / "c", solved([0], 2), values={"model.model": "y", "turns.max_steps": 3}
    )
    pair = only_pair(a, model)
    assert pair.notes == []
    assert [(one.key, one.matters) for one in pair.settings] == [
        ("model.model", True),
        ("seed", False),
    ]
    assert "model (model.model), turns (turns.max_steps)" in only_pair(a, both).notes[0]
    (note,) = only_pair(a, both, study="model").notes
    assert note == "the runs differ in more than model: turns (turns.max_steps)"
    assert only_pair(a, both, study=["model", "turns"]).notes == []


@pytest.mark.parametrize(
    ("solved_by_b", "gate", "status"),
    [
        (range(20), -0.02, 3),  # surely worse
        (range(50), -0.02, 4),  # as good in all 100 tasks, which says no more than 2.7 points
        (range(50), -0.1, 0),
        (range(60), -0.02, 0),
    ],
)
def test_gate(
    solved_by_b: range, gate: float, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = run_folder(tmp_path / "a", solved(range(50), 100))
    b = run_folder(tmp_path / "b", solved(solved_by_b, 100))
    report = compare(a, b).report
    assert gate_status(report, gate) == status
    said = {0: "", 3: "is worse than", 4: "may be worse than"}[status]
    assert said in capsys.readouterr().err
    assert gate_status(report, None) == 0


def test_what_is_missing_leaves_the_gate_undecided(tmp_path: Path) -> None:
    a = run_folder(tmp_path / "a", solved(range(50), 100))
    outcomes = solved(range(60), 100) | {str(task): ["sandbox"] for task in range(20)}
    b = run_folder(tmp_path / "b", outcomes)
    assert gate_status(compare(a, b).report, -0.02) == 4


def test_without_sources_the_newest_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, name in enumerate(("newest", "older", "oldest")):
        folder = run_folder(tmp_path / "runs" / name, solved([age], 4))
        os.utime(folder / "episodes.jsonl", (1_000_000 - age, 1_000_000 - age))
    assert newest_two(tmp_path) == [str(tmp_path / "runs" / name) for name in ("older", "newest")]
    monkeypatch.chdir(tmp_path)
    assert [run.name for run in compare().report.runs] == ["runs/older", "runs/newest"]
    with pytest.raises(ConfigError, match="has no two run folders"):
        newest_two(tmp_path / "runs" / "older")


def test_a_sweep_is_compared_with_its_first_run(tmp_path: Path) -> None:
    names = ["turns=max5_p2", "turns=max1_p1", "turns=max3_p2"]
    for place, name in enumerate(names):
        run_folder(tmp_path / name, solved(range(place), 5))
    listed = ", ".join(f'{{"folder": "{tmp_path / name}"}}' for name in names)
    (tmp_path / "sweep.json").write_text(f"[{listed}]")
    found = compare(tmp_path).report
    assert [run.name for run in found.runs] == names
    assert [(one.a, one.b) for one in found.pairs] == [(names[0], name) for name in names[1:]]
    with pytest.raises(ConfigError, match=r"holds 3 runs .*; give one of them"):
        compare(tmp_path, tmp_path / names[0])
    with pytest.raises(ConfigError, match="holds one run; give two"):
        compare(tmp_path / names[0])


def test_success_against_turns(tmp_path: Path) -> None:
    """What was solved in at most k turns; the helper's tasks take 1, 2, 3 and 1."""
    a = run_folder(tmp_path / "a", solved([0, 1], 4))
    b = run_folder(tmp_path / "b", solved([2], 4))
    curves = compare(a, b).report.curves
    assert [curve.rates for curve in curves] == [
        {1: 0.25, 2: 0.5, 3: 0.5},
        {1: 0.0, 2: 0.0, 3: 0.25},
    ]
    assert [curve.slope for curve in curves] == [0.125, 0.125]
    groups = [one for one in only_pair(a, b).groups if one.field == "turns of the baseline"]
    assert [(one.value, one.pairs, one.a, one.b) for one in groups] == [
        ("1", 2, 0.5, 0.0),
        ("2", 1, 1.0, 0.0),
        ("3", 1, 0.0, 1.0),
    ]
