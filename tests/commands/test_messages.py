"""What a command says when it cannot go on: it names what is wrong, and what would mend it."""

import os
import shutil
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.exceptions import ConfigError, RecordingError
from codeact.folders import whole_folder
from codeact.resources import resolve_path

QUICK = ["model=scripted", "tracker=none"]
RECORDINGS = "pkg://codeact.sample/recordings"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["model=openai", "model.name=m"], "set model.api_key_env to null"),
        (
            ["feedback=textual", "model@feedback.model=openai", "feedback.model.name=m"],
            "set feedback.model.api_key_env to null",
        ),
    ],
)
def test_a_missing_api_key_is_told_with_the_whole_key(
    words: list[str], key: str, capsys: pytest.CaptureFixture[str], local_sandbox: None
) -> None:
    said = refused(capsys, "run", "model=scripted", *words, "tracker=none", "limit=1")
    assert "OPENAI_API_KEY is not set" in said
    assert key in said


@pytest.mark.parametrize("command", [["run", *QUICK], ["validate"], ["tiers", "rec", "out=o"]])
def test_tasks_without_data_say_how_to_get_some(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(resolve_path(RECORDINGS), "rec")
    said = refused(capsys, *command, "task=gsm8k")
    assert "data/gsm8k.jsonl is not there" in said
    assert "codeact prepare task=gsm8k" in said
    assert "data=codeact/sample/tasks" in said


def test_a_file_of_ones_own_that_is_not_there_is_not_to_be_prepared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refused(capsys, "run", *QUICK, "task=gsm8k", "task.sets.gsm8k.path=mine.jsonl")
    assert "mine.jsonl is not there; check task.sets.gsm8k.path" in said
    assert "prepare" not in said


def test_no_preference_pair_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(resolve_path(RECORDINGS), "rec")
    assert main(["select", "rec", "out=chosen", "workers=1"]) == 0
    for source in ("chosen", "chosen/easy.jsonl"):
        said = refused(capsys, "convert", source, "format=preference", "out=pairs")
        assert "is of conversations" in said
        assert "give the recordings" in said
    said = refused(capsys, "convert", "rec", "format=preference", "out=pairs")
    assert "gives no pair" in said
    assert "has both a solved and an unsolved episode" in said
    assert not Path("pairs").exists()


def test_an_error_about_another_file_is_not_blamed_on_out(tmp_path: Path) -> None:
    for read in (lambda: Path("gone.jsonl").read_bytes(), tmp_path.read_bytes):
        with pytest.raises(RecordingError) as refusal, whole_folder(tmp_path / "out"):
            read()
        assert "out=" not in str(refusal.value)
        assert "cannot be used" in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_an_error_about_what_is_written_is_blamed_on_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"out=.*No space left"), whole_folder(tmp_path / "out"):
        raise OSError(28, os.strerror(28))
    with pytest.raises(ConfigError, match="out="), whole_folder(tmp_path / "out") as folder:
        (folder / "nowhere" / "file").write_text("x")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="out="), whole_folder(tmp_path / "file" / "out"):
        pass
