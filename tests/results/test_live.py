"""The live display: what a person sees at a terminal, whatever the terminal does."""

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from codeact.experiment.events import Load
from codeact.experiment.services import ServiceStats, combined
from codeact.models.replicas import EndpointStats
from codeact.recordings.run_folder import Spent
from codeact.results.live import screen as live_screen
from codeact.results.live.layout import frame
from codeact.results.live.numbers import LiveNumbers, RunExtent
from codeact.results.live.screen import Screen
from codeact.results.progress import LineProgress, LiveProgress, make_progress
from codeact.sandboxes.sandbox import SandboxStats
from tests.helpers.commands import WORDS, codeact
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.records import make_record
from tests.helpers.serving import threaded

TASKS = ["task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"]
TASKS += ["executor.preload=[]", "executor.warm=1", "tracker=none"]
SERVER = EndpointStats(
    "http://10.0.0.7:8000/v1", 900, 880, 12, 1, 7.5, 48, False, 64, 31, 5, 2, 3.0
)
SANDBOX = SandboxStats("local", 61, 192, 2, 1)


class Terminal(io.StringIO):
    """A terminal that shows what is written to it; one of another size cuts its lines."""

    def __init__(self, columns: int = 80, lines: int = 24, encoding: str = "utf-8") -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, lines)
        self._stream = pyte.Stream(self.screen)
        self._encoding = encoding
        self.raw = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        text.encode(self._encoding)
        self.raw += text
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]


def console(terminal: Terminal, **how: str) -> Console:
    made = Console(
        file=terminal, force_terminal=True, emoji=False, highlight=False, _environ=how or None
    )
    return made


def drawn(terminal: Terminal, lines: list[str], **how: str) -> Screen:
    """A screen whose frames are drawn only when a test has something printed."""
    made = console(terminal, **how)
    made._width, made._height = terminal.screen.columns, terminal.screen.lines
    return Screen(made, lambda width, height: [Text(line) for line in lines], seconds=3600)


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def numbers(runs: int = 1, episodes: int = 40) -> LiveNumbers:
    found = LiveNumbers({f"turns=max{n}_p1": RunExtent(500, 10) for n in range(runs)})
    for n in range(episodes):
        cause = "provider" if n % 9 == 0 else None
        found.add(f"turns=max{n % runs}_p1", make_record(str(n), cause=cause, success=n % 2 == 0))
    services = ServiceStats((SERVER,), (SANDBOX,), 4, 3)
    found.hear(Load(64, 396, 40, Spent(1_234_567, 4.21), services))
    return found


def text_of(lines: list[Text]) -> str:
    return "\n".join(line.plain for line in lines)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 220),
    height=st.integers(1, 60),
    runs=st.integers(1, 30),
    episodes=st.integers(0, 50),
)
def test_a_frame_fits_every_terminal(width: int, height: int, runs: int, episodes: int) -> None:
    lines = frame("x" * 90, numbers(runs, episodes).snapshot(), width, height)
    assert 1 <= len(lines) <= height
    assert all(line.cell_len <= width and "\n" not in line.plain for line in lines)


@pytest.mark.parametrize("width", [79, 59])
def test_a_frame_says_all_that_matters_and_cuts_none_of_it(width: int) -> None:
    shown = text_of(frame("runs/a", numbers(3).snapshot(), width, 40))
    for part in (
        *("70 of 1,500", "64 in flight", "396 queued", "1.2 M spent", "$4.21 so far"),
        *("10.0.0.7:8000", "31 under way", "limit 48 of 64", "12 refused (429)", "1 error"),
        *("2 wait for the minute's limit", "paused 3 s", "5 waiting", "61 of 192 sessions"),
        *("restarted 1×", "provider 5", "4 on 3 nodes", "turns=max2_p1"),
    ):
        assert part in shown, part
    assert "(33.0–64.4)" in shown


def test_where_there_are_few_lines_progress_and_failures_stay() -> None:
    shown = text_of(frame("runs/a", numbers(3).snapshot(), 79, 5))
    assert "of 1,500" in shown
    assert "failures  provider 5" in shown
    assert "turns=max" not in shown


def test_the_cost_at_the_end_is_each_runs_own_mean() -> None:
    found = LiveNumbers({"dear": RunExtent(10, 0), "cheap": RunExtent(10, 0)})
    found.hear(Load(2, 18, 0, Spent(0, 1.0)))  # an earlier session's dollar
    for name, cost in (("dear", 0.5), ("cheap", 0.1)):
        record = make_record(name)
        record.cost = cost
        record.accounts = None
        found.add(name, record)
    found.hear(Load(2, 16, 2, Spent(0, 1.6)))
    assert found.snapshot().usd_at_end == pytest.approx(1.0 + 5.0 + 1.0)


def test_speed_now_is_that_of_the_last_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    found = LiveNumbers({"run": RunExtent(1000, 0)})
    for second in range(100):
        tokens = 100 * second if second < 50 else 5000 + 10 * (second - 50)
        found.hear(Load(1, 1, second, Spent(tokens, 0.0)))
    shown = found.snapshot()
    assert (shown.episodes_now, shown.tokens_now) == (1.0, 10.0)


def test_what_two_workers_say_of_one_server_is_added_up() -> None:
    out = EndpointStats("http://10.0.0.7:8000/v1", 1, 0, 0, 1, 0.0, 8, True, 64)
    parts = [ServiceStats((SERVER,), (SANDBOX,)), ServiceStats((out,), (SANDBOX,))]
    found = combined(parts, 2)
    (server,), (sandbox,) = found.servers, found.sandboxes
    assert (server.requests, server.limit, server.most, server.errors) == (901, 56, 128, 2)
    assert not server.is_left_out, "one of them reaches it"
    assert (sandbox.sessions, sandbox.alive, sandbox.sandboxes) == (122, 2, 2)
    assert (found.workers, found.nodes) == (2, 2)


def test_lines_are_printed_above_the_frame_and_the_last_frame_stays() -> None:
    terminal = Terminal()
    screen = drawn(terminal, ["frame 1", "frame 2"])
    screen.start()
    for word in ("one", "two"):
        screen.print(word)
        until(lambda word=word: word in terminal.shown)  # type: ignore[misc]
        assert terminal.screen.cursor.x == 0
    assert terminal.shown[:5] == ["one", "two", "frame 1", "frame 2", ""]
    screen.stop()
    assert terminal.shown[:5] == ["one", "two", "frame 1", "frame 2", ""]
    assert (terminal.screen.cursor.y, terminal.screen.cursor.x) == (4, 0)
    assert "\x1b[?" not in terminal.raw, "no mode is changed that a kill would leave behind"


def test_a_frame_at_the_bottom_scrolls_and_leaves_nothing_behind() -> None:
    terminal = Terminal(lines=6)
    screen = drawn(terminal, ["frame 1", "frame 2", "frame 3"])
    screen.start()
    for number in range(12):
        screen.print(f"line {number}")
    until(lambda: "line 11" in terminal.shown)
    screen.stop()
    passed = ["".join(c.data for c in row.values()).rstrip() for row in terminal.screen.history.top]
    everything = [*passed, *terminal.shown]
    assert [line for line in everything if line.startswith("line")] == [
        f"line {number}" for number in range(12)
    ]
    assert [line for line in everything if line.startswith("frame")] == [
        "frame 1",
        "frame 2",
        "frame 3",
    ]


@pytest.mark.parametrize("columns", [60, 132])
def test_after_a_resize_nothing_of_the_old_frame_is_left(columns: int) -> None:
    terminal = Terminal()
    lines = ["x" * 79] * 5
    screen = drawn(terminal, lines)
    screen.start()
    screen.print("before")
    until(lambda: "before" in terminal.shown)
    terminal.screen.resize(24, columns)
    screen._console._width = columns
    lines[:] = ["y" * (columns - 1)] * 3
    screen.print("after")
    until(lambda: "after" in terminal.shown)
    screen.stop()
    assert [line[:1] for line in terminal.shown[:6]] == ["b", "a", "y", "y", "y", ""]
    assert not any("x" in line for line in terminal.shown)


def test_a_terminal_that_takes_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_screen, "_ENDING", 0.05)
    goes_on = threading.Event()

    class Stopped(Terminal):
        def write(self, text: str) -> int:
            goes_on.wait(30)
            return super().write(text)

    terminal = Stopped()
    screen = drawn(terminal, ["frame"])
    started = time.monotonic()
    screen.start()
    for number in range(1000):
        screen.print(str(number))
    screen.stop()
    assert time.monotonic() - started < 5
    goes_on.set()
    until(lambda: "999" in terminal.shown)


def test_what_a_server_said_cannot_move_the_cursor() -> None:
    terminal = Terminal()
    screen = drawn(terminal, ["frame"])
    screen.start()
    screen.print("\x1b[2J\x1b]0;owned\x07it said \u202e\x9b31m")
    until(lambda: any("it said" in line for line in terminal.shown))
    screen.stop()
    assert terminal.shown[0] == "·[2J·]0;owned·it said ··31m"


def test_colours_are_for_those_who_want_them() -> None:
    plain, coloured = Terminal(), Terminal()
    shown = numbers().snapshot()
    for terminal, how in ((plain, {"NO_COLOR": "1"}), (coloured, {"COLORTERM": "truecolor"})):
        made = console(terminal, TERM="xterm-256color", **how)
        made._width = made._height = 80
        Screen(made, lambda width, height: frame("run", shown, width, height))._write(
            "", goes_on=False
        )
    assert "\x1b[31m" in coloured.raw
    assert not any(f"\x1b[{code}m" in plain.raw for code in range(30, 50))
    assert [line.split() for line in plain.shown] == [line.split() for line in coloured.shown]


def test_a_terminal_without_unicode_gets_what_it_can_show() -> None:
    terminal = Terminal(encoding="ascii")
    shown = numbers().snapshot()
    made = console(terminal, TERM="xterm")
    made._width = made._height = 80
    Screen(made, lambda width, height: frame("run", shown, width, height))._write("", goes_on=False)
    assert any(line.startswith(" ###") and " - 10%" in line for line in terminal.shown)


@pytest.fixture
def slow_model() -> Iterator[str]:
    def answer(seen: Seen, number: int) -> Reply:
        return Reply("<solution> 1 </solution>", latency=0.0 if number < 4 else 60.0)

    with threaded(FakeApi(answer)) as api:
        yield api.base_url


@pytest.mark.usefixtures("local_sandbox")
def test_at_a_real_terminal_ctrl_c_ends_a_run_and_leaves_it_clean(
    tmp_path: Path, slow_model: str
) -> None:
    words = ["run", "model=server", "model.name=m", f"model.base_url={slow_model}", *TASKS]
    words += ["model.probe=false", "compute.concurrency=2", f"run_dir={tmp_path / 'run'}"]
    child = pexpect.spawn(
        WORDS[0],
        [*WORDS[1:], *words],
        dimensions=(24, 80),
        env={**os.environ, "TERM": "xterm-256color"},
        timeout=60,
    )
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    raw = b""

    def shows(*parts: str) -> None:
        nonlocal raw
        end = time.monotonic() + 60
        while not all(any(part in line for line in screen.display) for part in parts):
            assert time.monotonic() < end, "\n".join(screen.display)
            new = child.read_nonblocking(1 << 16, 60)
            raw += new
            stream.feed(new)

    shows("2 of 8", "2 in flight", "4 queued", "failures  none")
    child.setwinsize(24, 60)
    screen.resize(24, 60)
    shows("2 of 8 · 25%")
    child.sendintr()
    shows("press Ctrl-C again")
    child.sendintr()
    shows("6 episodes are left")
    while child.isalive() or not child.closed:
        try:
            new = child.read_nonblocking(1 << 16, 60)
        except pexpect.EOF:
            break
        raw += new
        stream.feed(new)
    child.close()
    assert child.exitstatus == 130
    assert b"\x1b[?" not in raw, "no mode is changed that a kill would leave behind"
    assert screen.cursor.x == 0
    assert not screen.display[screen.cursor.y].strip()


@pytest.mark.parametrize(("term", "live"), [("dumb", False), ("xterm", True)])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    term: str, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stderr", Terminal())
    progress = make_progress({"run": RunExtent(1, 0)}, 10.0)
    assert isinstance(progress, LiveProgress if live else LineProgress)


@pytest.mark.usefixtures("local_sandbox")
def test_nothing_of_it_is_in_a_log_file(tmp_path: Path) -> None:
    words = ["run", "model=scripted", *TASKS, "limit=1", f"run_dir={tmp_path / 'run'}"]
    done = codeact(*words, env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"})
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("1/1 episodes · solved ")
    assert "\x1b" not in line
