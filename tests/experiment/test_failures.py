"""What the end of a run says of its failures, and who may fail while it goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from codeact.episode.record import EpisodeRecord
from codeact.exceptions import RunFolderError
from codeact.experiment.events import Job, Listener, Listeners, Load, NullListener
from codeact.experiment.failures import grouped, kind_of, to_lines
from codeact.experiment.summary import FailedEpisode, Summary
from codeact.experiment.sweep_report import SweepRow, write_sweep
from codeact.results.tables import show_failures, show_sweep


def failed(*errors: str, cause: str = "provider") -> list[FailedEpisode]:
    return [FailedEpisode(f"t/{n}#0", cause, error) for n, error in enumerate(errors)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("HTTP 404: no model", "HTTP 404: no model", True),
        ("HTTP 404: no model", "HTTP 500: no model", False),
        ("[Errno 28] no room", "[Errno 13] no room", False),
        ("exit status 137", "exit status 1", False),
        ("7 attempts over 41.2 s", "3 attempts over 1,005.0 s", True),
        ("http://10.0.0.1:8000/v1: down", "https://two.example:80/v1: down", True),
        ("request req_8f3a failed", "request req_11 failed", True),
        ("id 0f8fad5b-d9cb-469f-a165-70867728950e", "id 7c9e6679-7425-40de-944b-e07fc1", True),
        ("<object at 0x7f3a2c>", "<object at 0x55aa>", True),
        ("/tmp/abc1/x.py is gone", "/tmp/qr7/x.py is gone", True),
        ("a b\n   c", "a b c", True),
        ("KeyError: name", "ValueError: name", False),
    ],
)
def test_equal_faults_are_of_one_kind(one: str, other: str, same: bool) -> None:
    assert (kind_of(one) == kind_of(other)) is same


def test_a_thousand_equal_failures_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary()
    summary.failures = failed(*(f"HTTP 404 after {n} s: no such model" for n in range(1_320)))
    summary.failures += failed("the guest died", cause="sandbox")
    assert show_failures({"run": summary}, {"run": "RUN/failures.jsonl"})
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == (
        "failed: 1,320 × provider: HTTP 404 after 0 s: no such model (t/0#0, t/1#0, t/2#0, …)"
    )
    assert second == "failed: 1 × sandbox: the guest died (t/0#0)"
    assert last == "every failed episode: RUN/failures.jsonl"


def test_a_hundred_kinds_do_not_fill_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary()
    words = [chr(97 + n // 10) + chr(97 + n % 10) for n in range(100)]
    summary.failures = failed(*(f"{word}{'x' * 5_000}" for word in words))
    assert show_failures({"run": summary}, {"run": "f"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 22
    assert "80 more episodes, of 80 other kinds" in lines[20]
    assert max(map(len, lines)) < 500


def test_a_cause_of_its_own_is_a_group_of_its_own() -> None:
    both = failed("x 1") + failed("x 2", cause="grader")
    assert [group.cause for group in grouped(both)] == ["provider", "grader"]


def test_every_failure_is_in_the_file() -> None:
    lines = to_lines(failed("HTTP 404: a\nb", "HTTP 404: c 2")).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "t/0#0", "cause": "provider", "error": "HTTP 404: a\nb", "kind": "HTTP 404: a b"},
        {"id": "t/1#0", "cause": "provider", "error": "HTTP 404: c 2", "kind": "HTTP 404: c #"},
    ]


def test_a_sweep_shows_the_run_that_failed_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(name: str, summary: Summary | None, planned: int, error: str = "") -> SweepRow:
        overrides = (f"turns={name}", "+model.extra={api_key: hunter2}", f"run_dir={tmp_path}")
        return SweepRow(name, tmp_path / name, overrides, planned, summary, error)

    rows = [
        row("fine", Summary(), 0),
        row("cut", Summary(), 5),
        row("broken", None, 5, "its disk is full:\nmake room"),
    ]
    show_sweep(rows)
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "5 episodes left" in out
    assert "ended early: its disk is full: make room" in out
    write_sweep(tmp_path, rows)
    documents = json.loads((tmp_path / "sweep.json").read_text())
    assert [one["status"] for one in documents] == ["finished", "incomplete", "failed"]
    assert documents[2]["error"] == "its disk is full:\nmake room"
    assert documents[0]["overrides"]["turns"] == "fine"
    assert "run_dir" not in documents[0]["overrides"]
    assert "hunter2" not in (tmp_path / "sweep.csv").read_text()
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_sweep(tmp_path / "nowhere", rows)


EVENTS: dict[str, Callable[[Listeners], None]] = {
    "run_started": lambda listeners: listeners.run_started(cast(Job, None)),
    "episode_finished": lambda listeners: listeners.episode_finished(
        cast(Job, None), cast(EpisodeRecord, None)
    ),
    "load": lambda listeners: listeners.load(Load(0, 0, 0)),
    "run_finished": lambda listeners: listeners.run_finished(cast(Job, None), Summary()),
    "notice": lambda listeners: listeners.notice("a notice"),
    "close": lambda listeners: listeners.close(),
}


class Failing:
    """Fails at everything that it is told."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*_: object) -> None:
            raise RuntimeError(f"no {name}")

        return fail


class Hearing(NullListener):
    """Works, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.closed = 0

    def notice(self, text: str) -> None:
        self.heard.append(text)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("place", [0, 1, 2, None])
def test_listeners_that_fail_at_everything_end_nothing(event: str, place: int | None) -> None:
    """Two or three of them, wherever one stands that works."""
    hearing = Hearing()
    listeners: list[Listener] = [cast(Listener, Failing()) for _ in range(2 + (place is None))]
    if place is not None:
        listeners.insert(place, hearing)
    listeners = Listeners(listeners)
    for tell in (EVENTS[event], *EVENTS.values()):
        tell(listeners)
    if place is not None:
        said = [text for text in hearing.heard if "is left out from here on" in text]
        assert len(said) == 2
        assert "a notice" in hearing.heard
        assert hearing.closed == 1 + (event == "close")
