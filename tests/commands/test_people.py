"""A person takes part: step by step, as the policy, as the user; by a pipe and at a terminal."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from codeact.cli import main
from codeact.episode.effects import Usage
from codeact.episode.record import EpisodeRecord
from codeact.experiment.summary import summarize_folder
from codeact.recordings.run_folder import latest_records
from tests.helpers.commands import WORDS, codeact, launch

pytestmark = pytest.mark.usefixtures("local_sandbox")

TASK = ["task=gsm8k", "data=pkg://codeact.sample/tasks", "executor.preload=[]", "executor.warm=1"]
STEP = ["run", "step=true", "model=scripted", "tracker=none", *TASK]
CELL = "<execute>\nx = 4\n\nprint(x * 7)\n</execute>\n"


def only(folder: Path) -> EpisodeRecord:
    (record,) = latest_records(folder)
    return record


def test_a_person_is_the_policy(tmp_path: Path) -> None:
    done = codeact("play", *TASK, f"run_dir={tmp_path}", given=f"{CELL}<solution>28</solution>\n")
    assert done.returncode == 0, done.stderr
    record = only(tmp_path)
    assert record.outcome.success
    assert (record.model, record.edited) == ("person", 0)
    assert [turn.author for turn in record.turns] == ["person", "person"]
    assert record.turns[0].observation == "28"
    assert "Observation:\n28\nYou have 4 steps left" in done.stdout
    assert record.messages[0]["content"].strip() in done.stdout


def test_who_leaves_ends_the_command_and_another_one_goes_on(tmp_path: Path) -> None:
    words = ["play", *TASK, "limit=2", f"run_dir={tmp_path}"]
    done = codeact(*words, given=CELL)
    assert done.returncode == 0, done.stderr
    record = only(tmp_path)
    assert (record.outcome.cause, record.outcome.error) == ("user", "the person left in turn 2")
    assert "1 episodes are left" in done.stderr
    again = codeact(*words, given="<solution>28</solution>\n<solution>1426</solution>\n")
    assert again.returncode == 0, again.stderr
    assert [one.outcome.success for one in latest_records(tmp_path)] == [True, True]


def test_a_person_is_the_user(tmp_path: Path) -> None:
    words = ["chat", "model=scripted", "executor.preload=[]", f"run_dir={tmp_path}"]
    given = "What is\n6 * 7?\n\nLook again.\nperhaps\nn\n\ny\n"
    done = codeact(*words, given=given)
    assert done.returncode == 0, done.stderr
    record = only(tmp_path)
    assert record.messages[0]["content"].endswith("Task:\nWhat is\n6 * 7?\n")
    assert [(turn.feedback, turn.correct) for turn in record.turns] == [
        ("Look again.", None),
        (None, False),
        (None, True),
    ]
    assert "Expert feedback:\nLook again.\n" in record.messages[2]["content"]
    assert "Expert feedback" not in record.messages[4]["content"]
    assert record.feedback == "person/no_GT-textual"
    assert "'perhaps' is neither y nor n" in done.stdout
    later = codeact(*words, given="Another\n\n")
    assert later.returncode == 0, later.stderr
    assert [one.outcome.cause for one in latest_records(tmp_path)] == [None, "user"]


def test_without_a_task_nothing_is_begun(tmp_path: Path) -> None:
    done = codeact("chat", "model=scripted", f"run_dir={tmp_path / 'run'}", given="\n\n")
    assert done.returncode == 1
    assert "no task was typed" in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_edited_episode_is_recorded_as_such_and_not_counted(tmp_path: Path) -> None:
    given = "e\n<solution>28</solution>\n\nwhat\n\n\n"
    done = codeact(*STEP, "limit=2", f"run_dir={tmp_path}", given=given)
    edited, own = latest_records(tmp_path)
    assert (edited.model, edited.edited, edited.outcome.success) == ("scripted+person", 1, True)
    assert (
        edited.turns[0].original == "<thought> A first look. </thought>\n<execute> 6 * 7 </execute>"
    )
    assert edited.messages[1]["content"] == "Assistant:\n<solution>28</solution>\n"
    assert (own.model, own.edited) == ("scripted", 0)
    assert [turn.original for turn in own.turns] == [None, None]
    assert (own.outcome.cause, own.outcome.error) == ("user", "the person left in turn 3")
    overall = summarize_folder(tmp_path).overall
    assert (overall.edited, overall.counted, overall.successes) == (1, 0, 0)
    assert "edited by a person 1" in done.stdout
    assert "'what' is none of Enter, e and q" in done.stdout
    assert done.returncode == 1


def test_to_end_an_episode_ends_that_one_alone(tmp_path: Path) -> None:
    done = codeact(*STEP, "limit=2", f"run_dir={tmp_path}", given="q\n\n\n\n\n\n\n")
    first, second = latest_records(tmp_path)
    assert first.outcome.error == "the person ended the episode before turn 1 was acted on"
    assert first.turns == []
    assert second.outcome.cause is None
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["step=true"], "step=true"),
        (["model=person"], "model=person"),
        (["feedback=textual", "model@feedback.model=person"], "model@feedback.model=person"),
    ],
)
def test_nobody_is_asked_from_elsewhere(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words, "compute=ray"]) == 1
    said = capsys.readouterr().err
    assert f"{named} asks a person at this terminal, and compute=ray plays" in said


def test_an_interrupt_while_a_person_is_asked_writes_the_record(tmp_path: Path) -> None:
    words = ["play", *TASK, f"run_dir={tmp_path / 'run'}"]
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = launch(*words, stdin=subprocess.PIPE, stdout=out, stderr=out)
    deadline = time.monotonic() + 60
    while b"turn 1> " not in log.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, log.read_text()
    assert only(tmp_path / "run").outcome.error == "the person left in turn 1"


class Screen:
    """A terminal in which a command runs."""

    def __init__(self, *words: str, **env: str) -> None:
        self._process = pexpect.spawn(
            WORDS[0],
            [*WORDS[1:], *words],
            env={**os.environ, "TERM": "xterm", **env},
            timeout=60,
            encoding="utf-8",
            dimensions=(60, 100),
        )

    def after(self, shown: str, typed: str) -> None:
        """Type once something is shown."""
        self._process.expect_exact(shown)
        self._process.send(typed)

    def end(self) -> int | None:
        """Wait for the command's end; returns its exit status."""
        self._process.expect(pexpect.EOF)
        self._process.close()
        status: int | None = self._process.exitstatus
        return status


def test_a_terminal_with_an_editor(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    program = f"import sys\nopen(sys.argv[1], 'w').write({CELL!r})\n"
    editor.write_text(f"#!{sys.executable}\n{program}")
    editor.chmod(0o755)
    screen = Screen(*STEP, "limit=1", f"run_dir={tmp_path / 'run'}", EDITOR=str(editor), VISUAL="")
    screen.after("written by the model", "e\r")
    screen.after("as you edited it", "\r")
    screen.after("turn 2, written by the model", "q\r")
    assert screen.end() == 1
    record = only(tmp_path / "run")
    assert (record.turns[0].observation, record.turns[0].author) == ("28", "person")


@pytest.mark.parametrize(("key", "status"), [("\x04", 0), ("\x03", 130)], ids=["ctrl-d", "ctrl-c"])
def test_a_terminal_is_left_by_a_key(key: str, status: int, tmp_path: Path) -> None:
    screen = Screen("play", *TASK, f"run_dir={tmp_path}")
    screen.after("turn 1>", "<execute>print(4 * 7)</execute>\r")
    screen.after("turn 2>", key)
    assert screen.end() == status
    record = only(tmp_path)
    assert record.turns[0].observation == "28"
    assert record.outcome.error == "the person left in turn 2"
    assert record.usage == Usage()
