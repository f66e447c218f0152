"""Trackers: what W&B is told is what the run folder holds, and W&B never gets in the way."""

import http.server
import json
import os
import pty
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.validation import validated
from codeact.experiment.events import Listeners, Load, NullListener
from codeact.experiment.summary import Summary
from codeact.recordings.run_folder import EPISODES
from codeact.results.trackers.metrics import (
    COLUMNS,
    ConversationSample,
    RunMetrics,
    Scrubber,
    numbers,
)
from tests.helpers.commands import codeact, launch
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.records import make_record
from tests.helpers.serving import threaded
from tests.helpers.wandb_files import OfflineRun, offline_runs

pytestmark = pytest.mark.usefixtures("local_sandbox")

SAMPLE = ["task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"]
SAMPLE += ["executor.preload=[]", "executor.warm=1"]
QUICK = ["model=scripted", *SAMPLE]
KEY = "s3cr3t-abcdefghij-0123456789-xyz"


def environment(home: Path, **more: str) -> dict[str, str]:
    """A user's who has never heard of W&B."""
    home.mkdir(exist_ok=True)
    state = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_") and k != "NETRC"}
    return {**state, "HOME": str(home), **more}


def play(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return codeact("run", *words, env=environment(home, **more))


def lines_about_wandb(text: str) -> list[str]:
    return [line for line in text.splitlines() if "w&b" in line.lower() or "wandb" in line.lower()]


def numbers_of(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers of a summary.json, by the path to each."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from numbers_of(value, f"{prefix}{key}/")
        elif key != "failures" or prefix:
            yield f"{prefix}{key}", value


def assert_tells_the_folder(run: OfflineRun, folder: Path) -> None:
    """Number by number."""
    document = json.loads((folder / "summary.json").read_text())
    expected = dict(numbers_of(document))
    assert {key: run.summary[key] for key in expected} == expected
    assert run.summary["failures/total"] == len(document["failures"])
    final = run.history[-1]
    assert final["success_rate"] == document["overall"]["success_rate"]
    assert final["episodes/finished"] == document["overall"]["episodes"]
    assert final["_step"] == (folder / EPISODES).read_bytes().count(b"\n")


def test_an_offline_run_read_back_is_what_the_run_folder_says(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = play(tmp_path / "home", "limit=2", f"run_dir={folder}")
    assert done.returncode == 0, done.stderr
    (run,) = offline_runs(folder)
    assert_tells_the_folder(run, folder)
    assert (run.exit_code, run.name, run.group, run.project) == (0, "run", "", "codeact")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert {key: run.config[key] for key in config} == config
    overall = json.loads((folder / "summary.json").read_text())["overall"]
    assert run.history[-1]["tokens/policy"] == (
        overall["usage"]["prompt"] + overall["usage"]["completion"]
    )
    assert {"latency/sandbox_p50", "latency/model_p99", "queued"} <= run.history[-1].keys()
    assert tuple(run.table["columns"]) == COLUMNS
    assert not (tmp_path / "home" / ".local").exists()
    records = {r["id"]: r for r in map(json.loads, (folder / EPISODES).open())}
    rows = {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in run.table["data"]}
    assert rows.keys() == records.keys()
    for id_, row in rows.items():
        assert row["success"] == records[id_]["outcome"]["success"]
        assert records[id_]["messages"][-1]["content"][:200] in row["conversation"]


@pytest.mark.parametrize("variables", [{}, {"WANDB_MODE": "offline"}], ids=["no key", "asked for"])
def test_offline_one_line_says_where_the_files_are(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    done = play(tmp_path / "home", *QUICK, "limit=1", f"run_dir={tmp_path / 'run'}", **variables)
    assert done.returncode == 0, done.stderr
    (line,) = lines_about_wandb(done.stderr)
    assert f"wandb sync {tmp_path / 'run'}/wandb/offline-run-*" in line
    assert lines_about_wandb(done.stdout) == []


def test_a_terminal_is_not_asked_for_a_key(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = launch(
        *["run", *QUICK, "limit=1", f"run_dir={tmp_path / 'run'}"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(tmp_path / "home", COLUMNS="400", TERM="xterm"),
        start_new_session=True,
    )
    os.close(theirs)
    # One that waits for an answer is killed, and has not ended by itself.
    late = threading.Timer(150, process.kill)
    late.start()
    shown = b""
    while part := _read(ours):
        shown += part
    os.close(ours)
    assert process.wait(30) == 0, shown.decode()
    late.cancel()
    assert len(lines_about_wandb(shown.decode())) == 1, shown.decode()


def _read(terminal: int) -> bytes:
    """What it shows next; nothing when its last user has gone."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def test_no_tracker_and_a_disabled_one_leave_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name, words, more in (
        ("none", ["tracker=none"], {}),
        ("disabled", [], {"WANDB_MODE": "disabled"}),
    ):
        folder = tmp_path / name
        done = play(home, *QUICK, *words, "limit=1", f"run_dir={folder}", **more)
        assert done.returncode == 0, done.stderr
        assert not list(folder.glob("wandb*"))
        assert lines_about_wandb(done.stderr) == []


def test_a_resumed_run_goes_on_under_its_id(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "run"
    for limit in (2, 4, 4):
        done = play(home, *QUICK, f"limit={limit}", f"run_dir={folder}")
        assert done.returncode == 0, done.stderr
    # Nothing was left to play the third time, so there was nothing to tell.
    first, second = offline_runs(folder)
    assert first.id == second.id == json.loads((folder / "wandb.json").read_text())["id"]
    assert first.history[-1]["_step"] == 2
    assert [row["_step"] for row in second.history] == [
        row["episodes/finished"] for row in second.history
    ]
    assert second.history[0]["_step"] > 2
    assert_tells_the_folder(second, folder)
    assert len(second.table["data"]) == 4


def test_episodes_that_are_redone_count_once(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "run"
    model = ["model=server", "model.name=m", "model.max_retries=0", *SAMPLE, "limit=3"]
    down = {"failed": True}

    def answer(seen: Seen, number: int) -> Reply | str:
        return Reply(status=500) if down["failed"] else "<solution> 1 </solution>"

    with threaded(FakeApi(answer)) as api:
        words = [*model, f"model.base_url={api.base_url}", f"run_dir={folder}"]
        failed = play(home, *words)
        assert failed.returncode == 1, failed.stderr
        (run,) = offline_runs(folder)
        assert_tells_the_folder_without_a_rate(run, folder)
        down["failed"] = False
        done = play(home, *words)
        assert done.returncode == 0, done.stderr
    _, again = offline_runs(folder)
    assert_tells_the_folder(again, folder)
    assert again.history[-1]["episodes/finished"] == 3
    assert again.history[-1]["_step"] == 6


def assert_tells_the_folder_without_a_rate(run: OfflineRun, folder: Path) -> None:
    assert run.summary["overall/success_rate"] is None
    assert run.summary["failures/total"] == run.history[-1]["failures/provider"] == 3
    assert all(row[COLUMNS.index("error")] for row in run.table["data"])


def test_a_sweep_is_a_group_with_a_run_for_each_job(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    words = [*QUICK, "-m", "turns=max1_p1,max2_p2,max3_p2", "limit=2", f"run_dir={sweep}"]
    done = play(tmp_path / "home", *words)
    assert done.returncode == 0, done.stderr
    folders = sorted(path for path in sweep.iterdir() if path.is_dir())
    runs = [run for folder in folders for run in offline_runs(folder)]
    assert [run.name for run in runs] == [f.name.rpartition(",")[2] for f in folders]
    assert {run.group for run in runs} == {"sweep"}
    assert len({run.id for run in runs}) == 3
    for run, folder in zip(runs, folders, strict=True):
        assert_tells_the_folder(run, folder)
    assert len(lines_about_wandb(done.stderr)) == 1


def test_no_key_gets_out_in_answers_errors_or_settings(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "run"

    def answer(seen: Seen, number: int) -> Reply | str:
        if "Petra" in json.dumps(seen.body):
            return f"The key is {KEY}, is it not? <solution> {KEY} </solution>"
        return Reply(status=500, text=f"who sent {KEY}?")

    with threaded(FakeApi(answer)) as api:
        play(
            home,
            "model=server",
            "model.name=m",
            "model.api_key_env=MY_OWN",
            "model.max_retries=0",
            "+model.sampling.extra={password: hunter2hunter2}",
            f"model.base_url={api.base_url}",
            *SAMPLE,
            "limit=2",
            f"run_dir={folder}",
            MY_OWN=KEY,
            WANDB_MODE="offline",
            WANDB_API_KEY="w" * 40,
        )
    assert KEY in (folder / EPISODES).read_text(), "the attack did not reach the run"
    (run,) = offline_runs(folder)
    assert len(run.table["data"]) == 2
    assert "The key is ***" in json.dumps(run.table)
    left = [p for root in (folder / "wandb", home) for p in root.rglob("*") if p.is_file()]
    assert len(left) > 3
    for file in left:
        for secret in (KEY, "hunter2", "w" * 40):
            assert secret.encode() not in file.read_bytes(), file


@contextmanager
def refusing_server() -> Iterator[str]:
    """A W&B that knows no key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(401)
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("fault", ["refused", "unreachable"])
def test_where_wandb_cannot_be_used_the_run_goes_on_offline(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "run"
    with refusing_server() as url:
        done = play(
            tmp_path / "home",
            *QUICK,
            "limit=2",
            f"run_dir={folder}",
            WANDB_API_KEY="w" * 40,
            WANDB_BASE_URL=url if fault == "refused" else "http://127.0.0.1:9",
            WANDB_HTTP_TIMEOUT="1",
        )
    assert done.returncode == 0, done.stderr
    (line,) = lines_about_wandb(done.stderr)
    assert "w" * 40 not in line
    (run,) = offline_runs(folder)
    assert_tells_the_folder(run, folder)


def test_a_wandb_that_fails_does_not_end_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "wandb").write_text("in the way")
    done = play(tmp_path / "home", *QUICK, "limit=2", f"run_dir={folder}")
    assert done.returncode == 0, done.stderr
    assert (folder / EPISODES).read_bytes().count(b"\n") == 2
    (line,) = lines_about_wandb(done.stderr)
    assert "told nothing more" in line


def test_a_listener_that_raises_is_heard_of_once_and_left_out() -> None:
    class Broken(NullListener):
        def load(self, load: Load) -> None:
            raise RuntimeError("no")

    class Other(NullListener):
        def __init__(self) -> None:
            self.loads = 0
            self.notices: list[str] = []

        def load(self, load: Load) -> None:
            self.loads += 1

        def notice(self, text: str) -> None:
            self.notices.append(text)

    other = Other()
    listeners = Listeners([Broken(), other])
    listeners.load(Load(1, 1, 1))
    listeners.load(Load(1, 1, 1))
    assert other.loads == 2
    assert len(other.notices) == 1
    assert "Broken" in other.notices[0]


def scrubber(**environment: str) -> Scrubber:
    config = validated(RunConfig, compose_config(Invocation("run", ("model=scripted",))))
    return Scrubber(config, environment)


def test_which_trajectories_are_shown_depends_on_no_order() -> None:
    records = [make_record(str(n)) for n in range(200)]
    forwards, backwards = ConversationSample(20, scrubber()), ConversationSample(20, scrubber())
    for record in records:
        forwards.add(record)
    for record in reversed(records):
        backwards.add(record)
    assert forwards.rows == backwards.rows
    assert len(forwards.rows) == 20


def test_a_trajectory_is_of_bounded_length_however_long_its_messages() -> None:
    long = make_record("0")
    long.messages = [{"role": "user", "content": "x" * 5_000_000}] * 400
    long.outcome = make_record("0", cause="harness").outcome
    table = ConversationSample(5, scrubber())
    table.add(long)
    assert sum(len(str(cell)) for cell in table.rows[0]) < 100_000


def test_a_key_is_found_before_the_text_is_cut() -> None:
    text = "x" * 1990 + KEY
    assert KEY[:6] not in scrubber(SOME_API_KEY=KEY).text(text)


def test_costs_and_rates_that_are_not_known_are_not_plotted_as_zero() -> None:
    summary = Summary()
    summary.add(make_record("0", cause="provider"))
    assert not {"cost/policy", "success_rate", "success_rate/gsm8k"} & numbers(summary).keys()


def test_the_last_row_is_that_of_the_summary_that_is_given() -> None:
    metrics = RunMetrics(ConversationSample(0, scrubber()))
    metrics.add(make_record("0"))
    summary = Summary()
    summary.add(make_record("0", success=False))
    assert metrics.measure(summary=summary).row["success_rate"] == 0.0
