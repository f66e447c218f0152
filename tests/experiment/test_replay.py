"""Replay: recorded episodes of real models through the live environment."""

import json
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.datasets import get, load_tasks
from codeact.experiment.comparing import AFTER, DIFFERENT, EQUAL, TIME_OUT, classify
from codeact.experiment.plan import LoadedSet
from codeact.experiment.regrade import proposals
from codeact.experiment.skipped import Skipped
from codeact.experiment.strategies import strategy
from codeact.recordings.files import recording_files
from codeact.resources import resolve_path
from tests.collection.test_collection import recorded
from tests.recordings.test_exchange import full

SHARED = Path(__file__).parents[3] / "shared" / "data"
SEARCH = ["search=recorded", f"search.path={SHARED}/expected/wikipedia_cache.jsonl.gz"]
SAMPLE = "pkg://codeact.sample/tasks"
TASKS = f"data={SHARED}/mint_tasks"

RULE = "-" * 75
HEAD = f"{RULE}\nNameError                                 Traceback (most recent call last)\n"
CELL = "Cell In[1], line 1\n----> 1 f(x)\n\n"


@pytest.mark.parametrize(
    ("recorded", "live", "kind"),
    [
        ("Out[1]: 42", "Out[1]: 42", EQUAL),
        ("<object at 0x7f12ab>", "<object at 0x55e0>", "address or path"),
        (
            "cannot import name 'a' from 'b' (/usr/local/lib/python3.8/dist-packages/b.py)",
            "cannot import name 'a' from 'b' (/venv/lib/python3.11/site-packages/b.py)",
            "address or path",
        ),
        (
            f"{HEAD}{CELL}File /usr/lib/python3.8/x.py:3, in f(x)\n      3 old()\n\nNameError: n",
            f"{HEAD}{CELL}File /v/lib/python3.11/x.py:9, in f(x)\n      9 new()\n\nNameError: n",
            "frames inside libraries",
        ),
        (
            f"{HEAD}{CELL}TypeError: old words",
            f"{HEAD}{CELL}TypeError: new",
            "wording of an exception",
        ),
        ("Out[1]: 0.1", "Out[1]: np.float64(0.1)", "last digits or numpy repr"),
        ("0.02844396682049044", "0.028443966820490444", "last digits or numpy repr"),
        ("array([[ 0.,  1.]])", "array([[1.0e-17, 1.0e+00]])", "last digits or numpy repr"),
        ("19", "TimeoutError: Timed out after 30 seconds.", TIME_OUT),
        ("AttributeError: module 'math' has no attribute 'lcm'", "240", "python version"),
        ("Out[1]: 42", "Out[1]: 43", DIFFERENT),
        ("0.1234", "0.1235", DIFFERENT),
        (f"{HEAD}{CELL}NameError: n", f"{HEAD}{CELL}ValueError: n", DIFFERENT),
        (f"a\n{HEAD}{CELL}NameError: n", f"b\n{HEAD}{CELL}NameError: n", DIFFERENT),
    ],
)
def test_honest_differences_are_told_from_real_ones(recorded: str, live: str, kind: str) -> None:
    assert classify(recorded, live) == kind
    assert AFTER not in (recorded, live)


def replay(
    out: Path, source: str, pattern: str, *words: str
) -> tuple[int, list[dict[str, object]]]:
    recorded = ["replay", str(SHARED / "transcripts" / source), f"filter={pattern}"]
    status = main([*recorded, TASKS, *SEARCH, "compute.concurrency=4", f"out={out}", *words])
    return status, [json.loads(line) for line in out.read_text().splitlines()]


needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the recorded episodes of ../shared are not here"
)


@needs_shared
@pytest.mark.usefixtures("local_sandbox")
@pytest.mark.parametrize(
    ("model", "pattern"),
    [
        ("gpt-4-0613", "F=None/max5*/reasoning/gsm8k/*"),
        ("gpt-4-0613", "F=None/max5*/reasoning/mmlu/*"),
        ("claude-2", "F=gpt-4-0613/*no_GT-textual/max5*/humaneval/*"),
        ("deepseek-llm-67b-chat", "F=None/max5*/reasoning/gsm8k/*"),
        ("gpt-3.5-turbo-0613", "F=gpt-4-0613/PHF=GT-textual/max5*/gsm8k/*"),
        ("gpt-3.5-turbo-0613", "F=gpt-4-0613/PHF=no_GT-binary/max5*/gsm8k/*"),
        ("gpt-3.5-turbo-0613", "F=gpt-4-0613/PHF=no_GT-textual-sparse/max5*/gsm8k/*"),
    ],
)
def test_recorded_episodes_end_as_they_did_and_see_what_they_saw(
    tmp_path: Path, model: str, pattern: str
) -> None:
    status, differences = replay(tmp_path / "out.jsonl", model, pattern, "limit=20")
    real = [d for d in differences if d["what"] != "network observation" and d["kind"] == DIFFERENT]
    assert real == []
    assert status == 0


@pytest.mark.usefixtures("local_sandbox")
def test_a_run_of_ours_replays_to_the_letter_and_what_is_skipped_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = f"data={SAMPLE}"
    run = tmp_path / "run"
    assert main(["run", "model=scripted", "task=gsm8k", sample, f"run_dir={run}"]) == 0
    out = tmp_path / "out.jsonl"
    words = ["task=gsm8k", sample, "grading=strict", f"out={out}"]
    assert main(["replay", str(run), *words]) == 0
    assert out.read_text() == ""
    capsys.readouterr()
    assert main(["replay", str(run), *words, "limit=5", "total_limit=3"]) == 0
    assert "skipped: gsm8k: 5 episodes: beyond limit or total_limit" in capsys.readouterr().out
    assert main(["replay", str(run), *words[1:], "task=math"]) == 1
    assert "skipped: gsm8k: 8 episodes: task asks for no data set" in capsys.readouterr().err


@needs_shared
def test_a_source_without_recordings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(tmp_path), TASKS]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_what_is_not_regraded_is_counted_by_its_reason(tmp_path: Path) -> None:
    tasks = load_tasks(get("gsm8k"), resolve_path(f"{SAMPLE}/gsm8k.jsonl"))[:2]
    sets = [LoadedSet("gsm8k", get("gsm8k"), get("gsm8k").grader("strict"), tasks)]
    known, silent = full(tasks[0].id), json.loads(full(tasks[1].id))
    silent["state"]["history"] = silent["state"]["history"][:1]
    recorded(tmp_path, known, json.dumps(silent), full("none"))
    recorded(tmp_path, full("put/1"), full("put/2"), name="elsewhere")
    skipped = Skipped()
    found = proposals(recording_files(tmp_path), sets, strategy("code"), skipped)
    assert [one.task.id for one in found] == [tasks[0].id]
    reasons = [(one.task, one.episodes, one.why.split()[:4]) for one in skipped.found()]
    assert reasons == [
        ("elsewhere", 2, ["task", "asks", "for", "no"]),
        ("gsm8k", 1, ["gave", "no", "answer"]),
        ("gsm8k", 1, ["the", "task", "is", "not"]),
    ]


@needs_shared
@pytest.mark.usefixtures("local_sandbox")
def test_regrade_lists_answers_on_which_the_modes_disagree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    source = str(SHARED / "transcripts" / "gpt-3.5-turbo-0613")
    words = [
        "filter=F=None/max5*/reasoning/gsm8k/*",
        "grading=strict",
        "against=mint",
        "task=gsm8k",
    ]
    assert main(["regrade", source, *words, TASKS, f"out={out}"]) == 0
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(one["old"] != one["new"] for one in found)
    assert "strict against mint" in capsys.readouterr().out
