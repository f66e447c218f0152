"""Every data set goes the whole way, from raw files to counted tokens, also when it is killed."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codeact.cli import main
from codeact.datasets import families
from codeact.recordings.published_paths import our_name
from tests.helpers.all_sets import FAMILIES, SHARED, SUBJECTS, TASKS, AllSets, all_sets
from tests.helpers.answers import SETTING
from tests.helpers.killing import kill_at_every_moment, outputs

pytestmark = pytest.mark.slow
"""Whichever test comes first makes the collection."""
ELSEWHERE = {"alfworld", "toolbench", "typed"}
"""Families that need more than the package itself; they have tests of their own."""
RULES = ["selection=published", "selection.excluded_tasks=[]", "selection.order=tasks", "workers=1"]
EACH = dict.fromkeys(FAMILIES, TASKS)


class Collected(NamedTuple):
    """A collection that nothing came between, and what it was made of."""

    sets: AllSets
    words: list[str]
    out: Path

    @property
    def stages(self) -> dict[str, Any]:
        return json.loads((self.out / "report.json").read_bytes())["stages"]


def words(collected: Collected, out: Path) -> list[str]:
    return [*collected.words, f"out={out}"]


@pytest.fixture(scope="module")
def whole(local_sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> Collected:
    if not SHARED.is_dir():
        pytest.skip("the raw samples (../shared/data/raw) are not here")
    root = tmp_path_factory.mktemp("sets")
    sets = all_sets(root)
    folder = sets.recipe(root / "conf")
    recipe = ["collect", "recipe=all_sets", "--config-dir", str(folder), f"data={sets.data}"]
    collected = Collected(sets, [*recipe, *RULES], root / "out")
    assert main(words(collected, collected.out)) == 0
    return collected


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_family_is_taken() -> None:
    assert set(FAMILIES.values()) == set(families.FAMILIES.ours) - ELSEWHERE


def test_a_model_solves_the_tasks_whose_references_it_gives(whole: Collected) -> None:
    for model, stage in (("weak", "weak-weak"), ("strong", "strong")):
        (run,) = whole.out.glob(f"runs/{stage}-*")
        found: dict[str, set[str]] = {name: set() for name in FAMILIES}
        for record in lines(run / "episodes.jsonl"):
            if record["outcome"]["success"]:
                found[record["task_name"]].add(record["task_id"])
        hard = {name: whole.sets.unsolved(name, "weak") for name in FAMILIES}
        solved = whole.sets.solved[model]
        asked = solved if model == "weak" else {name: solved[name] & hard[name] for name in hard}
        assert found == asked
        assert all(found.values())


def test_the_hard_tier_is_what_the_weaker_model_did_not_solve_line_by_line(
    whole: Collected,
) -> None:
    for name in FAMILIES:
        hard = (whole.out / "tiers" / "hard" / f"{name}.jsonl").read_bytes().splitlines()
        given = (whole.sets.data / f"{name}.jsonl").read_bytes().splitlines()[:TASKS]
        tasks = whole.sets.tasks[name]
        wanted = whole.sets.unsolved(name, "weak")
        assert hard == [line for line, task in zip(given, tasks, strict=True) if task.id in wanted]


def test_every_set_is_in_every_stage_and_the_counts_add_up(whole: Collected) -> None:
    stages = whole.stages
    hard = {name: len(whole.sets.unsolved(name, "weak")) for name in FAMILIES}
    assert stages["weak-weak"]["episodes"] == sum(EACH.values())
    assert stages["tiers"]["unsolved_by_task"] == dict(sorted(hard.items()))
    assert stages["strong"]["episodes"] == sum(hard.values())
    report = stages["select"]
    assert report["records"] == sum(EACH.values()) + sum(hard.values())
    assert report["problems"] == []
    kept = Counter[str]()
    for tier in report["tiers"].values():
        assert tier["kept"] == tier["records"]
        kept.update(tier["kept_by_task"])
    solved = {
        name: len(whole.sets.solved["weak"][name])
        + len(whole.sets.solved["strong"][name] & whole.sets.unsolved(name, "weak"))
        for name in FAMILIES
    }
    assert kept == solved
    rows = stages["statistics"]["rows"]
    counted = Counter[str]()
    for row in rows:
        counted[row["task"]] += row["examples"]
    assert counted == {**solved, "all": sum(solved.values())}


def test_each_conversation_ends_with_the_answer_that_was_right(whole: Collected) -> None:
    answers = {
        (name, task.id): families.get(FAMILIES[name]).correct_answer(task)
        for name, tasks in whole.sets.tasks.items()
        for task in tasks
    }
    for tier in whole.stages["select"]["tiers"]:
        for one in lines(whole.out / "selected" / f"{tier}.jsonl"):
            _, name, *task_id, _model, _setting = one["id"].split("/")
            answer = answers[our_name(name), "/".join(task_id)]
            assert str(answer).strip() in one["conversations"][-1]["content"]


def test_what_was_selected_is_converted_in_every_form_of_text(
    whole: Collected, tmp_path: Path
) -> None:
    kept = sum(tier["kept"] for tier in whole.stages["select"]["tiers"].values())
    for form in ("sft", "openai"):
        out = tmp_path / form
        assert main(["convert", str(whole.out / "selected"), f"format={form}", f"out={out}"]) == 0
        assert sum(len(lines(path)) for path in out.glob("*.jsonl")) == kept


def test_the_stages_by_themselves_are_those_of_the_collection(
    whole: Collected, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tiers` and the run on its hard tasks, as a user gives them."""
    (weak,) = whole.out.glob("runs/weak-*")
    task = f"task=[{','.join(sorted(set(FAMILIES.values())))}]"
    out = tmp_path / "tiers"
    skip = [task, "missing=skip"]
    assert main(["tiers", str(weak), f"out={out}", f"data={whole.sets.data}", *skip, *RULES]) == 0
    collected = whole.out / "tiers" / "hard"
    assert {path.name: path.read_bytes() for path in (out / "hard").iterdir()} == {
        path.name: path.read_bytes() for path in collected.iterdir()
    }
    capsys.readouterr()
    strong = ["model=scripted", "tracker=none", f"data={out / 'hard'}", "dry_run=true"]
    assert main(["run", *strong, *skip]) == 0
    hard = sum(len(whole.sets.unsolved(name, "weak")) for name in FAMILIES)
    said = capsys.readouterr()
    assert f"episodes: {hard}\n" in said.out
    assert (
        said.err == f"skipped the data set algebra: {out / 'hard' / 'algebra.jsonl'} is not there\n"
    )


def test_exported_paths_are_the_published_ones_and_come_back(
    whole: Collected, tmp_path: Path
) -> None:
    (weak,) = whole.out.glob("runs/weak-*")
    tree, runs, again = (tmp_path / name for name in ("tree", "runs", "again"))
    assert main(["export", str(weak), f"out={tree}"]) == 0
    paths = {str(path.relative_to(tree).parent) for path in tree.rglob("results.jsonl")}
    root = f"weak/F=None/{SETTING}"
    for place in ("code_generation/APPS/train", "tabular/wiki_table_questions/train"):
        assert f"{root}/{place}" in paths
    assert {f"{root}/reasoning/{name}/train" for name in SUBJECTS} < paths
    assert {f"{root}/reasoning/gsm8k", f"{root}/code_generation/humaneval"} < paths
    assert len(paths) == len(FAMILIES)
    assert main(["import", str(tree), f"out={runs}"]) == 0
    (run,) = runs.rglob("episodes.jsonl")
    assert {record["task_name"] for record in lines(run)} == set(FAMILIES)
    assert main(["export", str(runs), f"out={again}"]) == 0
    for path in tree.rglob("results.jsonl"):
        assert lines(again / path.relative_to(tree)) == lines(path)


@pytest.mark.timeout(300)  # ten processes start, one after the other
def test_killed_at_every_stage_it_goes_on_to_the_same_bytes(
    whole: Collected, tmp_path: Path
) -> None:
    """One collection, killed at each moment in turn; every session goes on where that left it."""
    command = words(whole, tmp_path)
    killed = kill_at_every_moment(command, tmp_path)
    assert len(killed) >= 5, killed
    assert main(command) == 0
    assert outputs(tmp_path) == outputs(whole.out)
    for stage in ("weak-weak", "strong"):
        (path,) = tmp_path.glob(f"runs/{stage}-*/episodes.jsonl")
        played = [record["id"] for record in lines(path)]
        assert len(played) == len(set(played)) == whole.stages[stage]["episodes"]
    assert not list(tmp_path.rglob(".unfinished-*"))
