"""The published rules, exactly: every count, every conversation, the tier of every record."""

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from codeact.collection.pipeline import select, sort_into_tiers
from codeact.collection.report import SelectionReport, TierReport
from codeact.collection.settings import SelectConfig, TiersConfig
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.validation import validated

DATA = Path(__file__).parents[3] / "shared" / "data"
TRANSCRIPTS = DATA / "transcripts"
SETS = {
    "easy": "easy_instances",
    "medium": "medium_instances",
    "strong": "hard_gpt4_instances",
}
TIER_NAMES = {"gpt4_short": "strong_short", "hard_gpt4": "strong"}
FILTER_NAMES = {
    "kept": "",
    "n_turns-1==invalid_action": "invalid_only",
    "all_turns_failed_solution_or_error": "all_turns_failed",
}

pytestmark = pytest.mark.skipif(
    not TRANSCRIPTS.is_dir(), reason="the shared recordings (../shared/data) are not here"
)


class Made(NamedTuple):
    """What a command made, and what it should have made."""

    report: SelectionReport
    out: Path
    expected: Path

    def counts(self) -> dict:
        return json.loads((self.expected / "counts.json").read_text())


def words(out: Path, feedback: str) -> tuple[str, ...]:
    chosen = ("selection=published", f"selection.feedback={feedback}")
    return (f"source={TRANSCRIPTS}", f"out={out}", *chosen)


@pytest.fixture(scope="module", params=["none", "all"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("selection")
    invocation = Invocation("select", words(out, request.param))
    report = select(validated(SelectConfig, compose_config(invocation)))
    name = {"none": "postprocess_nofb", "all": "postprocess_all"}[request.param]
    return Made(report, out, DATA / "expected" / name)


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tiers")
    tasks = ("task=mint", f"data={DATA / 'mint_tasks'}")
    composed = compose_config(Invocation("tiers", (*words(out, "all"), *tasks)))
    sort_into_tiers(validated(TiersConfig, composed))
    return out


def test_every_count_of_tiers(made: Made) -> None:
    report, expected = made.report, made.counts()
    easy, medium, strong = (report.tiers[name] for name in SETS)
    assert report.problems == []
    found = {
        "files": report.files,
        "loaded": report.records,
        "dedup_removed": report.reasons["duplicate"],
        "gpt4_rows": report.strong_records,
        "other_rows": report.weaker_records,
        "completed_experiments": report.complete_experiments,
        "not_completed_rows": report.reasons["incomplete"],
        "completed_rows": report.complete_records,
        "unique_tasks": report.tasks,
        "easy": easy.records,
        "easy_unique": easy.tasks,
        "medium": medium.records,
        "medium_unique": medium.tasks,
        "hard_unique": report.unsolved,
        "gpt4_medium": strong.records,
        "easy_by_task": easy.by_task,
        "medium_by_task": medium.by_task,
        "gpt4_by_task": strong.by_task,
        "hard_by_task": report.unsolved_by_task,
    }
    not_ours = {*SETS.values(), "seconds", "total_s", "maxrss_mb", "pandas"}
    assert found == {name: count for name, count in expected.items() if name not in not_ours}


@pytest.mark.parametrize(("tier", "name"), SETS.items())
def test_every_count_of_the_selection(made: Made, tier: str, name: str) -> None:
    assert selection_counts(made.report.tiers[tier]) == made.counts()[name]


def selection_counts(tier: TierReport) -> dict:
    taken = {one.name: one.records for one in tier.taken}
    entered = tier.records - taken["excluded_tasks"]
    return {
        "in": entered,
        "after_invalid_filter": entered - taken["invalid_only"],
        "kept": tier.kept,
        "kept_by_task": tier.kept_by_task,
        "duplicate_ids": tier.duplicate_ids,
        "messages": tier.messages,
        "chars": tier.characters,
    }


@pytest.mark.parametrize(("tier", "name"), SETS.items())
def test_every_conversation_is_kept_value_for_value(made: Made, tier: str, name: str) -> None:
    with gzip.open(made.expected / f"{name}.sft.jsonl.gz") as file:
        expected = Counter(canonical(file))
    with (made.out / f"{tier}.jsonl").open("rb") as found:
        assert Counter(canonical(found)) == expected


def canonical(lines: object) -> Iterator[bytes]:
    for line in lines:  # type: ignore[attr-defined]
        yield msgspec.json.encode(msgspec.json.decode(line), order="deterministic")


def test_the_unsolved_tasks(made: Made) -> None:
    expected = (made.expected / "hard_unsolved.tsv").read_text().splitlines()
    assert sorted((made.out / "unsolved.tsv").read_text().splitlines()) == sorted(expected)


def test_tier_and_reason_of_every_record(tiers: Path) -> None:
    with gzip.open(DATA / "expected" / "selection.csv.gz", "rt") as file:
        expected = {(row["run"], int(row["line"])): row for row in csv.DictReader(file)}
    with (tiers / "records.csv").open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == len(expected) == 27_542
    for row in found:
        run = str(Path(row["file"]).parent.relative_to(TRANSCRIPTS))
        other = expected.pop((run, int(row["line"]) - 1))
        tier, outcome = other["tier"], other["outcome"]
        assert row["tier"] == TIER_NAMES.get(tier, tier)
        assert row["dropped_by"] == FILTER_NAMES.get(outcome, outcome)
        for name in ("task_id", "success"):
            assert row[name] == other[name]
        assert row["turns"] == other["n_turns"]


def test_hard_tasks_of_the_published_sets_are_task_files_again(tiers: Path) -> None:
    with (tiers / "unsolved.tsv").open() as file:
        unsolved = Counter(line.split("\t")[1] for line in file)
    written = {path.stem: len(path.read_text().splitlines()) for path in (tiers / "hard").iterdir()}
    assert written == unsolved


def test_unique_ids_are_unique(tmp_path: Path) -> None:
    chosen = (*words(tmp_path, "all"), "selection.conversion.ids=unique")
    report = select(validated(SelectConfig, compose_config(Invocation("select", chosen))))
    assert [tier.duplicate_ids for tier in report.tiers.values()] == [0, 0, 0]
    assert sum(tier.kept for tier in report.tiers.values()) == 5014
