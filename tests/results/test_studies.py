"""Studies: which runs are compared, what their tables say, and the published figures in them."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from codeact.exceptions import ConfigError
from codeact.results.comparison.sources import runs_in
from codeact.results.studies.conduct import failure_class
from codeact.results.studies.groups import report_study
from codeact.results.studies.model import StudyReport
from codeact.results.studies.report import write_study
from codeact.results.studies.rows import failure_rows, feedback_rows, format_rows, limit_rows
from codeact.results.studies.settings import StudyConfig
from tests.helpers.commands import codeact
from tests.helpers.records import make_record

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
TREE = DATA / "transcripts"
SAMPLE = ["task=gsm8k", "data=codeact/sample/tasks", "limit=1", "tracker=none"]
ANSWERS = ["<solution>28</solution>", "ANSWER: 28", '{"answer": "28"}', "Answer: 28"]


def study(name: str, *places: Path, **more: object) -> StudyReport:
    recipe = yaml.safe_load((ROOT / "conf" / "study" / f"{name}.yaml").read_text())
    config = StudyConfig.model_validate({"study": recipe, **more})
    with ExitStack() as stack:
        return report_study(config, [run for one in places for run in runs_in(str(one), stack)])


def formats(out: Path, *words: str) -> list[str]:
    answers = f"model.texts={json.dumps(ANSWERS)}"
    return ["study", "formats", "model=scripted", answers, *SAMPLE, f"out={out}", *words]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("studies") / "formats"
    done = codeact(*formats(out))
    assert done.returncode == 0, done.stderr
    assert "Action formats: Does acting by code" in done.stdout
    yield out


def test_a_sweep_is_played_compared_and_written(played: Path) -> None:
    """All eight formats are one comparison, direct among them, though it has no sandbox."""
    report = json.loads((played / "report.json").read_bytes())
    (group,) = report["groups"]
    runs = {run["name"]: run for run in group["comparison"]["runs"]}
    assert list(runs) == [
        *yaml.safe_load((ROOT / "conf/study/formats.yaml").read_text())["options"]
    ]
    solved = {name for name, run in runs.items() if run["success"]["value"] == 1}
    assert solved == {"code", "code_fenced", "json", "json_code", "text", "direct"}
    # Proposals that were no answer in this format come before the one that is.
    refused = {name: one["conduct"]["refused"] for name, one in group["formats"].items()}
    assert (refused["code"], refused["code_fenced"], refused["text"]) == (0, 1, 3)
    assert group["formats"]["tool_calls"]["failures"] == {"no action": 1}
    page = (played / "report.html").read_text()
    assert "://" not in page
    assert "<td>tool_calls</td>" in page
    assert (played / "differences.svg").exists()


def test_the_same_command_resumes_and_plays_nothing_twice(played: Path) -> None:
    files = sorted(played.glob("runs/*/episodes.jsonl"))
    before = [file.read_bytes() for file in files]
    done = codeact(*formats(played))
    assert done.returncode == 0, done.stderr
    assert [file.read_bytes() for file in files] == before


def test_runs_are_taken_as_they_are(played: Path) -> None:
    report = study("formats", played / "runs")
    assert [row[1] for row in format_rows(report)[1:]] == report_names(report)
    solved = {row[1]: row[3] for row in failure_rows(report)[1:]}
    assert (solved["code"], solved["tool_calls"]) == ("1", "0")


def report_names(report: StudyReport) -> list[str]:
    return [run.name for group in report.groups for run in group.comparison.runs]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["study", "formats", "prompt=json", "out=x"], "the study says that"),
        (["study", "formats", "run_dir=y", "out=x"], "the study says that"),
        (["study", "formats"], "give out=DIR"),
        (["study", "formats", "source=y", "model=scripted"], "leave out model=scripted"),
        (["study", "formts", "out=x"], "formats"),
        (["study", "formats", "out=x", "study.options=[json,json]"], "give each option once"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_played(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = codeact(*words)
    assert done.returncode != 0
    assert said in done.stderr
    assert not list(tmp_path.rglob("episodes.jsonl"))


def test_runs_that_differ_in_more_are_not_compared(played: Path) -> None:
    one, other = (played / "runs" / name for name in names_of(played, "code", "json"))
    with pytest.raises(ConfigError, match="no two of these runs differ in turns alone"):
        study("turns", one, other)
    with pytest.raises(ConfigError, match=r"the same there \(code\)"):
        study("formats", one, one, other)


def names_of(played: Path, *formats: str) -> list[str]:
    found = {path.name: path for path in (played / "runs").iterdir()}
    return [next(name for name in found if f"prompt={one}," in f"{name},") for one in formats]


def test_unsolved_episodes_are_sorted_by_what_the_policy_did() -> None:
    record = make_record(success=False)
    assert failure_class(make_record()) is None
    assert failure_class(record) == "wrong answer"
    assert failure_class(make_record(cause="sandbox")) == "failure: sandbox"
    record.turns[0].action = "execute"
    assert failure_class(record) == "no answer"
    record.turns[0].action = "invalid"
    assert failure_class(record) == "no action"


@pytest.mark.skipif(not TREE.exists(), reason="needs ../shared/data/transcripts")
def test_the_tables_have_the_published_figures(tmp_path: Path) -> None:
    published = {
        row["model"]: row
        for row in json.loads((DATA / "expected" / "leaderboard_benchmark.json").read_bytes())
    }
    report = study("turns", TREE, accept=["tasks"])
    head, *rows = limit_rows(report)
    cells = 0
    for name, *numbers in rows:
        row = published.get(name.removesuffix("-hf"))
        if row is None:
            continue
        keys = [*(one.removeprefix("k = ") for one in head[1:-2]), "Slope", "rsquared"]
        for key, number in zip(keys, numbers, strict=True):
            told = "-" if number == "-" else f"{float(number.replace('−', '-')):.2f}"
            wanted = row[key] if row[key] == "-" else f"{row[key]:.2f}"
            assert told == wanted, (name, key)
            cells += told != "-"
    assert cells == 50
    deltas = {
        row[0]: row[4]
        for row in feedback_rows(study("feedback", TREE, accept=["tasks"]))
        if row[1:3] == ["gpt-4-0613", "no_GT-textual"]
    }
    assert deltas["gpt-3.5-turbo-0613, max5_p2"] == "+15.2"
    for name, delta in deltas.items():
        row = published[name.partition(",")[0].removesuffix("-hf")]
        assert delta == f"{row['Delta Feedback']:+.1f}".replace("-", "−"), name
    assert len(deltas) == 6
    write_study(report, ["turns"], tmp_path)
    assert (tmp_path / "turns.svg").exists()
