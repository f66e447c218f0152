"""``codeact collect``: the whole way, killed at every stage and gone on with; refusals."""

import json
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.collection.recipe import CollectConfig
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.validation import validated
from codeact.resources import data_folder, resolve_path
from tests.helpers.killing import kill_at_every_moment, outputs

SHARED = Path(__file__).parents[3] / "shared" / "data"
RECIPES = [path.stem for path in data_folder("conf").glob("recipe/*.yaml")]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_names_every_key_of_its_schema(recipe: str) -> None:
    composed = compose_config(Invocation("collect", (f"recipe={recipe}", "out=x")))
    assert composed.config == validated(CollectConfig, composed).model_dump()


def words(out: Path, *more: str) -> list[str]:
    """The sample recipe with two tasks of each set."""
    quoted = [
        "recipe.common=['task=sample','tracker=none','limit=2']",
        "selection.filters=[excluded_tasks]",
        "workers=1",
    ]
    return ["collect", f"out={out}", *quoted, *more]


def episodes(out: Path, stage: str) -> list[str]:
    lines = [
        line
        for path in out.glob(f"runs/{stage}-*/episodes.jsonl")
        for line in path.read_text().splitlines()
    ]
    return [json.loads(line)["id"] for line in lines]


@pytest.fixture(scope="module")
def whole(local_sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that nothing came between."""
    out = tmp_path_factory.mktemp("whole")
    assert main(words(out)) == 0
    return out


def test_the_strong_model_plays_what_no_weaker_one_solved_and_the_report_has_all(
    whole: Path,
) -> None:
    report = json.loads((whole / "report.json").read_bytes())
    assert list(report["stages"]) == ["weak-small", "tiers", "strong", "select", "statistics"]
    hard = (whole / "tiers" / "unsolved.tsv").read_text().splitlines()
    assert 0 < report["stages"]["strong"]["episodes"] == len(hard) < 16
    assert report["stages"]["weak-small"]["episodes"] == 16
    assert [one["episodes"] for one in report["estimates"]] == [16, 16]
    kept = (whole / "selected" / "easy.jsonl").read_text().splitlines()
    counted = report["stages"]["statistics"]["rows"]
    assert sum(row["examples"] for row in counted if row["task"] == "all") >= len(kept)
    assert len(kept) == report["stages"]["select"]["tiers"]["easy"]["kept"] > 0


def test_what_is_done_is_not_done_again(whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = outputs(whole)
    assert main(words(whole)) == 0
    said = capfd.readouterr().err
    assert "begins" not in said
    assert said.count("is done already") == 5
    assert outputs(whole) == before


def test_other_rules_leave_the_runs_alone_and_a_changed_output_is_made_again(
    whole: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = outputs(whole)
    assert main(words(whole, "selection.easy_turns=1")) == 0
    said = capfd.readouterr().err
    assert "weak-small: is done already" in said
    assert "tiers: begins" in said
    assert outputs(whole) != before
    (whole / "selected" / "easy.jsonl").write_text("")
    assert main(words(whole)) == 0
    assert "select: begins" in capfd.readouterr().err
    assert outputs(whole) == before
    assert len(set(episodes(whole, "weak"))) == len(episodes(whole, "weak")) == 16


@pytest.mark.skipif(SHARED.is_dir(), reason="that of all data sets is killed, in another file")
@pytest.mark.timeout(300)  # ten processes start, one after the other
def test_killed_at_every_stage_it_goes_on_to_the_same_result(whole: Path, tmp_path: Path) -> None:
    """One collection, killed at each moment in turn; every session goes on where that left it."""
    killed = kill_at_every_moment(words(tmp_path), tmp_path)
    assert len(killed) >= 5, killed
    assert main(words(tmp_path)) == 0
    assert outputs(tmp_path) == outputs(whole)
    for stage in ("weak", "strong"):
        played = episodes(tmp_path, stage)
        assert len(played) == len(set(played)) == len(episodes(whole, stage))
    assert not list(tmp_path.rglob(".unfinished-*"))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("recipe.strong=['model=recorded','model.name=small']", "each its own model.name"),
        ("recipe.strong=['model=recorded','limit=3']", "has other tasks than recipe.strong"),
        ("recipe.strong=[recorded]", "write KEY=VALUE"),
        ("recipe.strong=['~task.sets.mbp']", "unknown key 'task.sets.mbp'"),
        ("recipe.strong=['model=recorded','~task.sets.mbpp']", "has other tasks than"),
        ("recipe.strong=['modle=recorded']", "did you mean 'model'"),
        ("recipe.assumed.promt=3", "did you mean 'recipe.assumed.prompt'"),
        ("recipe=codeact_instuct", "did you mean 'codeact_instruct'"),
    ],
)
def test_a_bad_recipe_is_refused_before_anything_is_played(
    override: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tmp_path / "o", override)) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_recipe_takes_what_a_run_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Deleted and added keys, groups, and a later word that replaces an earlier one."""
    common = ["task=sample", "tracker=none", "~task.sets.mbpp", "limit=1", "limit=3"]
    common += ["+model.prices={prompt: 1, completion: 0}", "turns=max3_p2", "total_limit=5"]
    chosen = f"recipe.common={json.dumps(common)}"
    assert main(["collect", f"out={tmp_path / 'o'}", chosen, "dry_run=true"]) == 0
    rows = [line.split("│")[1:] for line in capsys.readouterr().out.splitlines() if "│" in line]
    told = {row[0].strip(): [cell.strip() for cell in row[1:2] + row[4:5]] for row in rows}
    assert told["weak-small"] == told["strong"] == ["5", "0.05"]


def test_costs_are_estimated_before_from_prices_and_said_to_be_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = "model.prices={prompt: 2, completion: 10}"
    strong = f'recipe.strong=["model=recorded","model.name=strong","{prices}"]'
    assert main(words(tmp_path / "o", strong, "dry_run=true")) == 0
    said = capsys.readouterr().out
    assert "0.48" in said  # 16 episodes of 10,000 tokens for 2 and 1,000 for 10 USD a million
    assert "assumed for an episode: 10,000 prompt and 1,000 completion" in said
    assert not (tmp_path / "o").exists()


def test_what_each_stage_takes_is_told_with_a_total(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = "model.prices={prompt: 2, completion: 10}"
    priced = [
        f'recipe.{key}=["model=recorded","model.name={name}","{prices}"]'
        for key, name in (("weak.small", "small"), ("strong", "strong"))
    ]
    assert main(words(tmp_path / "o", *priced, "dry_run=true")) == 0
    table = [line.split() for line in capsys.readouterr().out.replace("│", "").splitlines()]
    rows = {cells[0]: cells[1:] for cells in table if len(cells) == 5}
    spent = ["16", "160,000", "16,000", "0.48"]
    idle = ["0", "0", "0", "0.00"]
    assert rows == {
        "weak-small": spent,
        "tiers": idle,
        "strong": spent,
        "select": idle,
        "statistics": idle,
        "all": ["32", "320,000", "32,000", "0.96"],
    }


RECORDED = ("~recipe.weak.small", "+recipe.weak.before=pkg://codeact.sample/recordings")


def test_tiers_are_made_of_recorded_episodes_in_place_of_a_run(
    local_sandbox: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The strong model plays the tasks that the recipe asks for, of those that they left."""
    out = tmp_path / "out"
    assert main(words(out, *RECORDED)) == 0
    stages = json.loads((out / "report.json").read_bytes())["stages"]
    source = str(resolve_path("pkg://codeact.sample/recordings"))
    assert stages["weak-before"] == {"source": source, "files": 1}
    assert [path.name.partition("-")[0] for path in (out / "runs").iterdir()] == ["strong"]
    hard = [
        (path.stem, str(json.loads(line)["id"]))
        for path in (out / "tiers" / "hard").iterdir()
        for line in path.read_text().splitlines()
    ]
    first_two = {
        (path.stem, str(json.loads(line)["id"]))
        for path in resolve_path("pkg://codeact.sample/tasks").glob("*.jsonl")
        for line in path.read_text().splitlines()[:2]
    }
    asked = sorted(set(hard) & first_two)
    assert 0 < len(asked) < len(hard)
    played = sorted(tuple(one.split("/")[:2]) for one in episodes(out, "strong"))
    assert played == asked
    capfd.readouterr()
    assert main(words(out, *RECORDED)) == 0
    assert "begins" not in capfd.readouterr().err


def test_recorded_episodes_that_are_not_there_are_told_before_anything_is_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = f"+recipe.weak.before={tmp_path / 'none'}"
    assert main(words(tmp_path / "o", missing)) == 1
    assert f"{tmp_path / 'none'}: there is no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.timeout(300)  # three runs with a sandbox
def test_a_recorded_strong_model_solves_some_of_what_weaker_ones_did_not(
    local_sandbox: None, tmp_path: Path
) -> None:
    if not SHARED.is_dir():
        pytest.skip("the shared recordings (../shared/data) are not here")
    overrides = ("recipe=recorded_models", "out=x", f"data={SHARED / 'mint_tasks'}")
    common = compose_config(Invocation("collect", overrides)).config["recipe"]["common"]
    sets = [f"~task.sets.{name}" for name in ("gsm8k", "mbpp", "humaneval", "theoremqa")]
    # Of the next tasks some recorded code runs into its time limit.
    chosen = f"recipe.common={json.dumps([*common, *sets, 'limit=5'])}"
    assert main(["collect", overrides[0], overrides[2], f"out={tmp_path}", chosen]) == 0
    stages = json.loads((tmp_path / "report.json").read_bytes())["stages"]
    assert stages["weak-gpt-3.5"]["episodes"] == stages["weak-claude-2"]["episodes"] == 10
    assert 10 > stages["strong"]["episodes"] > stages["strong"]["successes"] > 0
    tiers = stages["select"]["tiers"]
    assert tiers["easy"]["kept"] > 0
    strong = (tmp_path / "selected" / "strong.jsonl").read_text().splitlines()
    assert len(strong) == tiers["strong"]["kept"] > 0


def test_an_empty_selection_ends_it_with_a_reason_and_no_report(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(whole, "selection.steps.bounds.max_tokens=1")) == 1
    assert "nothing is left to train on" in capsys.readouterr().err
    assert not (whole / "report.json").exists()
    assert main(words(whole)) == 0
