"""Import and export: nothing is lost between a published tree and run folders, in both ways."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from codeact.cli import main
from codeact.datasets import split_of, task_type_of
from codeact.episode.effects import Outcome
from codeact.episode.record import EpisodeRecord, encode
from codeact.exceptions import ConfigError, RecordingError
from codeact.recordings.episodes import read_recordings
from codeact.recordings.exchange import ExportConfig, ImportConfig, export_runs, import_trees
from codeact.recordings.run_folder import read_records
from codeact.recordings.trajectory import read_trajectories
from tests.collection.test_collection import FIRST, PROPOSAL, line, recorded, run_record
from tests.helpers.records import CALL, calling_record, reasoning_record

TRANSCRIPTS = Path(__file__).parents[3] / "shared" / "data" / "transcripts"
PER_FILE = 3
FULL = {"finished": True, "terminate_reason": "task_success", "error": None}


def full(task_id: object = 1, state: dict | None = None, **task: object) -> str:
    """A line with every field that a record needs."""
    record = json.loads(line(task_id))
    record["state"] |= FULL | (state or {})
    record["task"] |= {"task_name": "reasoning", "prompt": "Add 1 and 1.", **task}
    return json.dumps(record)


def values(root: Path) -> dict[str, list[bytes]]:
    """JSON values of every line by path, with 1 and 1.0 and true told apart."""
    found = {}
    for path in sorted(root.rglob("results.jsonl*")):
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        name = str(path.relative_to(root)).removesuffix(".gz")
        lines = [msgspec.json.decode(one) for one in text.splitlines()]
        found[name] = [msgspec.json.encode(one, order="deterministic") for one in lines]
    return found


def there_and_back(root: Path, folder: Path, *, zipped: bool = False) -> Path:
    runs, again = folder / "runs", folder / "again"
    assert import_trees(ImportConfig(source=str(root), out=str(runs))).problems == []
    config = ExportConfig(source=str(runs), out=str(again), format="mint", gzip=zipped)
    assert export_runs(config, task_type_of, split_of).problems == []
    return again


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first lines of every published file that we have: all models, feedbacks, data sets."""
    if not TRANSCRIPTS.is_dir():
        pytest.skip("the shared recordings (../shared/data) are not here")
    root = tmp_path_factory.mktemp("published")
    for path in TRANSCRIPTS.rglob("results.jsonl.gz"):
        target = root / path.relative_to(TRANSCRIPTS).with_suffix("")
        target.parent.mkdir(parents=True)
        with gzip.open(path) as file, target.open("wb") as out:
            out.writelines(one for one, _ in zip(file, range(PER_FILE), strict=False))
    return root


@pytest.mark.parametrize("zipped", [False, True])
def test_a_slice_of_every_published_file_comes_back(
    tree: Path, tmp_path: Path, zipped: bool
) -> None:
    before = values(tree)
    assert any("PHF=" in name for name in before)
    assert any("alfworld" in name for name in before)
    assert values(there_and_back(tree, tmp_path, zipped=zipped)) == before


def test_published_selection_is_the_same_of_run_folders_as_of_the_recordings(
    tree: Path, tmp_path: Path
) -> None:
    assert import_trees(ImportConfig(source=str(tree), out=str(tmp_path / "runs"))).problems == []
    kept = []
    for source in (tree, tmp_path / "runs"):
        out = tmp_path / f"of-{source.name}"
        words = [str(source), f"out={out}", "selection=published", "selection.feedback=all"]
        words.append("selection.complete_only=false")  # a slice completes nothing
        # A run folder has no order of files; of duplicates, the first has to be the same one.
        assert main(["select", *words, "selection.order=tasks"]) == 0
        kept.append(
            {
                path.name: path.read_bytes()
                for path in out.glob("*.*l*")
                if path.name != "report.json"
            }
        )
    assert kept[0] == kept[1]
    assert kept[0]["easy.jsonl"].count(b"\n") > 10


def test_run_folders_say_to_every_reader_what_the_tree_says(tree: Path, tmp_path: Path) -> None:
    there_and_back(tree, tmp_path)
    fields = ("place", "record", "outcome")

    def key(episode: object) -> dict:
        return {k: v for k, v in msgspec.structs.asdict(episode).items() if k not in fields}

    def everything(root: Path) -> list[dict]:
        found = [key(one) for one in read_recordings(root)]
        return sorted(found, key=lambda one: msgspec.json.encode(one, order="deterministic"))

    assert everything(tmp_path / "runs") == everything(tree)


@pytest.mark.parametrize(
    "odd",
    [
        full(state={"latest_output": {"content": 1.0}, "more": [True, 1, 1.5, None]}),
        full(reference=None),
        full(reference=12345678901234567890123456789),
        full("x/y"),
        full(state={"history": [{"role": "user", "content": FIRST, "name": "extra"}]}),
        full(state={"agent_action_count": {"use_tool": 2, "other": 1}}),
        json.dumps(json.loads(full()) | {"final_length_exceeds_4096": False}),
    ],
)
def test_what_a_record_has_no_place_for_is_kept(odd: str, tmp_path: Path) -> None:
    recorded(tmp_path / "tree", odd)
    again = there_and_back(tmp_path / "tree", tmp_path)
    assert values(again) == values(tmp_path / "tree")


def test_a_split_and_feedback_come_back_in_the_path(tmp_path: Path) -> None:
    path = "F=gpt-4/PHF=no_GT-textual/max5_p2+tool+cd"
    file = recorded(tmp_path / "tree", full(), path=path, name="gsm8k/train")
    again = there_and_back(tmp_path / "tree", tmp_path)
    assert (again / file.relative_to(tmp_path / "tree")).exists()


def test_a_task_that_comes_twice_is_kept_as_a_sample_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = recorded(tmp_path / "tree", full(7), full(7))
    assert main(["import", str(tmp_path / "tree"), f"out={tmp_path / 'runs'}"]) == 1
    assert f"{file}:2: repeats the task 7" in capsys.readouterr().err
    (run,) = (tmp_path / "runs").rglob("episodes.jsonl")
    assert [record.sample for record in read_records(run)] == [0, 1]
    assert main(["export", str(run.parent), f"out={tmp_path / 'again'}"]) == 0
    assert values(tmp_path / "again") == values(tmp_path / "tree")


def test_the_last_of_several_words_is_where_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(tmp_path / "tree", full(1))
    tree, runs, again = (str(tmp_path / name) for name in ("tree", "runs", "again"))
    assert main(["import", tree, runs]) == 0
    assert main(["export", runs, "format=mint", again]) == 0
    assert values(tmp_path / "again") == values(tmp_path / "tree")
    before = values(tmp_path / "again")
    capsys.readouterr()
    # Two sources, and no word of where to: the second must not be written into.
    assert main(["export", runs, again]) == 1
    assert f"{again} is there already" in capsys.readouterr().err
    assert values(tmp_path / "again") == before
    assert main(["export", runs, "format=sft", f"out={again}2"]) == 1
    assert "codeact convert DIR format=sft" in capsys.readouterr().err


def test_what_is_no_episode_is_said_with_its_line_and_the_rest_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = recorded(tmp_path / "tree", full(1), '{"state": 1}', "{", full(2))
    zipped = file.with_name("results.jsonl.gz")
    zipped.write_bytes(gzip.compress((full(3) + "\n").encode() * 1000)[:-20])
    assert main(["import", str(file), str(zipped), f"out={tmp_path / 'runs'}"]) == 1
    err = capsys.readouterr().err
    assert f"{file}:2: is no recorded episode" in err
    assert f"{file}:3: is no recorded episode" in err
    assert list(tmp_path.rglob(".unfinished-*")) == []
    (run,) = (tmp_path / "runs").rglob("episodes.jsonl")
    assert [record.task_id for record in read_records(run)][:2] == ["1", "2"]


def test_an_imported_run_has_its_numbers_in_the_table_and_in_its_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counter = {"prompt_tokens": 1200, "completion_tokens": 34, "feedback_prompt_tokens": 5}
    recorded(tmp_path / "tree", full(state={"token_counter": counter}), full(2, {"success": False}))
    assert main(["import", str(tmp_path / "tree"), f"out={tmp_path / 'runs'}"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "m/none/max5" in line]
    assert row.replace(" ", "").split("│")[2:8] == [
        "2",
        "1/2",
        "50.0%[9.5,90.5]",
        "2.0",
        "1,234",
        "5",
    ]
    (summary,) = (tmp_path / "runs").rglob("summary.json")
    usage = json.loads(summary.read_bytes())["overall"]["usage"]
    assert (usage["prompt"], usage["completion"]) == (1200, 34)


def test_nothing_is_written_where_episodes_are_already_or_none_are_found(tmp_path: Path) -> None:
    recorded(tmp_path / "tree", full())
    config = ImportConfig(source=str(tmp_path / "tree"), out=str(tmp_path / "runs"))
    import_trees(config)
    with pytest.raises(ConfigError, match="holds episodes already"):
        import_trees(config)
    broken = recorded(tmp_path / "broken", "{")
    with pytest.raises(RecordingError, match=r"holds no episode\n.*results.jsonl:1"):
        import_trees(ImportConfig(source=str(broken), out=str(tmp_path / "none")))


def test_episodes_of_our_own_are_exported_once_and_only_if_the_model_ended_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    redone, failed = run_record("1"), run_record("2")
    outcome = Outcome(success=False, terminate_reason="error", cause="provider", error="down")
    failed.outcome = outcome
    first = msgspec.structs.replace(redone, outcome=outcome)
    run = tmp_path / "run"
    run.mkdir()
    written = b"".join(encode(one) + b"\n" for one in (first, redone, failed))
    (run / "episodes.jsonl").write_bytes(written + b'{"torn')
    assert main(["export", str(run), f"out={tmp_path / 'tree'}"]) == 1
    assert "episodes.jsonl:3: failed for no fault of the model's (provider)" in (
        capsys.readouterr().err
    )
    (file,) = (tmp_path / "tree").rglob("results.jsonl")
    (trajectory,) = read_trajectories(file, task_type_of)
    assert trajectory.task.task_id == "1"  # type: ignore[union-attr]
    assert trajectory.messages[-1]["content"] == PROPOSAL  # type: ignore[union-attr]
    (episode,) = read_recordings(file)
    assert episode.outcome == redone.outcome


def test_two_runs_are_not_mixed_in_one_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "episodes.jsonl").write_bytes(encode(run_record("1")) + b"\n")
    config = ExportConfig(source=str(tmp_path), out=str(tmp_path / "o"), format="mint", gzip=False)
    with pytest.raises(ConfigError, match="an earlier run has written"):
        export_runs(config, task_type_of, split_of)
    shutil.rmtree(tmp_path / "b")
    export_runs(config, task_type_of, split_of)


def test_reasoning_goes_out_beside_the_text_and_comes_back(tmp_path: Path) -> None:
    record = reasoning_record()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "episodes.jsonl").write_bytes(encode(record) + b"\n")
    tree, runs = tmp_path / "tree", tmp_path / "runs"
    config = ExportConfig(source=str(tmp_path / "run"), out=str(tree), format="mint", gzip=False)
    assert export_runs(config, task_type_of, split_of).problems == []
    import_trees(ImportConfig(source=str(tree), out=str(runs)))
    for source in (tree, runs):
        (episode,) = read_recordings(source)
        assert [turn.answer.reasoning for turn in episode.turns] == ["I add.\n", "So it is 2."]
    (again,) = (one for run in runs.rglob("episodes.jsonl") for one in read_records(run.parent))
    assert again.messages == record.messages


def _with_a_system_message(record: EpisodeRecord) -> None:
    record.messages.insert(0, {"role": "system", "content": "Think."})
    for turn in record.turns:
        turn.message = (turn.message or 0) + 1


def _with_other_words(record: EpisodeRecord) -> None:
    record.messages[2]["content"] = "You have 4 steps left."


def _with_a_call(record: EpisodeRecord) -> None:
    record.messages[1]["tool_calls"] = [CALL]


def _with_two_actions(record: EpisodeRecord) -> None:
    record.turns[0].actions = calling_record().turns[0].actions


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_with_a_system_message, "does not begin with one message of the user"),
        (_with_other_words, "has words of the environment in another form (message 3)"),
        (_with_a_call, "has tool calls, or a message of another role (message 2)"),
        (_with_two_actions, "has a turn of several actions"),
    ],
)
def test_a_conversation_that_the_published_form_has_no_place_for_is_left_out_and_said(
    change: Callable[[EpisodeRecord], None], said: str, tmp_path: Path
) -> None:
    record = reasoning_record("2")
    change(record)
    lines = encode(reasoning_record()) + b"\n" + encode(record) + b"\n"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "episodes.jsonl").write_bytes(lines)
    out = tmp_path / "out"
    config = ExportConfig(source=str(tmp_path / "run"), out=str(out), format="mint", gzip=False)
    done = export_runs(config, task_type_of, split_of)
    (problem,) = done.problems
    assert problem.place.endswith("episodes.jsonl:2")
    assert said in problem.reason
    assert done.episodes == 1
