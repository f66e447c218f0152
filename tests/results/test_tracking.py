"""Trackers: what W&B is told is what the run folder holds, and W&B never gets in the way."""

import gzip
import http.server
import json
import os
import pty
import re
import runpy
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams_metadata

from codeact.exceptions import ConfigError
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.trackers import TrackerSettings, trackers_of
from codeact.experiment.config.validation import validated
from codeact.experiment.events import Job, Listeners, Load, NullListener
from codeact.experiment.identity import requested_run
from codeact.experiment.plan import make_plan
from codeact.experiment.summary import Summary, summarize_folder
from codeact.recordings.run_folder import EPISODES, RunFolder
from codeact.results.trackers import expected_trackers, trackers
from codeact.results.trackers.base import FinalUpdate, TrackedRun
from codeact.results.trackers.listener import TrackingListener
from codeact.results.trackers.metrics import (
    COLUMNS,
    ConversationSample,
    MetricsRow,
    RunMetrics,
    Scrubber,
    numbers,
)
from codeact.statistics.wilson import wilson
from tests.helpers.commands import codeact, launch
from tests.helpers.documents import ROOT
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


class Told(NamedTuple):
    """A run of a recorded model that was told to both trackers, read back."""

    folder: Path
    wandb: OfflineRun
    events: EventAccumulator


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    root = tmp_path_factory.mktemp("told")
    folder = root / "run"
    words = ["tracker=[wandb,tensorboard]", "tracker.wandb.artifact=true", "limit=2"]
    done = play(root / "home", *words, "tracker.wandb.tags=[mine]", f"run_dir={folder}")
    assert done.returncode == 0, done.stderr
    (run,) = offline_runs(folder)
    # All values of a tag are kept, not a sample of them.
    events = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0, "tensors": 0})
    return Told(folder, run, events.Reload())


def test_an_offline_run_read_back_is_what_the_run_folder_says(told: Told) -> None:
    folder, run, _ = told
    assert_tells_the_folder(run, folder)
    assert (run.exit_code, run.name, run.project) == (0, "run", "codeact")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert {key: run.config[key] for key in config} == config
    overall = json.loads((folder / "summary.json").read_text())["overall"]
    assert run.history[-1]["tokens/policy"] == (
        overall["usage"]["prompt"] + overall["usage"]["completion"]
    )
    assert {"latency/sandbox_p50", "latency/model_p99", "queued"} <= run.history[-1].keys()
    assert tuple(run.table["columns"]) == COLUMNS
    assert not (folder.parent / "home" / ".local").exists()
    records = {r["id"]: r for r in map(json.loads, (folder / EPISODES).open())}
    rows = {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in run.table["data"]}
    assert rows.keys() == records.keys()
    for id_, row in rows.items():
        assert row["success"] == records[id_]["outcome"]["success"]
        assert records[id_]["messages"][-1]["content"][:200] in row["conversation"]


def test_two_trackers_of_one_run_are_told_the_same(told: Told) -> None:
    assert_tells_the_folder(told.wandb, told.folder)
    final = told.wandb.history[-1]
    step = final["_step"]
    scalars = {
        tag: {event.step: event.value for event in told.events.Scalars(tag)}
        for tag in told.events.Tags()["scalars"]
        if not tag.startswith("success_within_turns")
    }
    assert {"success_rate", "success_rate_low/gsm8k", "tokens/spent"} <= scalars.keys()
    last = {tag: values[step] for tag, values in scalars.items() if step in values}
    assert last == pytest.approx({tag: final[tag] for tag in last}, rel=1e-6)
    assert last.keys() == {key for key in final if key in scalars}
    assert (told.folder / "tensorboard").stat().st_mode & 0o077 == 0


def test_success_against_turns_is_a_chart_of_what_the_records_say(told: Told) -> None:
    records = [json.loads(line) for line in (told.folder / EPISODES).open()]
    solved = {
        k: sum(len(r["turns"]) <= k and r["outcome"]["success"] for r in records)
        for k in range(1, max(len(r["turns"]) for r in records) + 1)
    }
    table = told.wandb.table_of("success_within_turns_table")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert {row["turns"]: row["solved"] for row in rows} == solved
    for row in rows:
        assert row["rate"] == row["solved"] / len(records)
        assert (row["low"], row["high"]) == wilson(row["solved"], len(records))[:2]
    chart = told.wandb.charts["success_within_turns"]["panel_config"]
    assert (chart["fieldSettings"]["x"], chart["fieldSettings"]["y"]) == ("turns", "rate")
    events = told.events.Scalars("success_within_turns/rate")
    assert {event.step: event.value for event in events} == pytest.approx(
        {k: count / len(records) for k, count in solved.items()}, rel=1e-6
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb_workspaces")
def test_the_saved_view_names_what_runs_log(told: Told) -> None:
    script = runpy.run_path(str(ROOT / "launchers" / "wandb_view.py"))
    view = script["view"]("me", "codeact")._to_model().model_dump(by_alias=True)
    (section,) = [view["spec"]["section"]]
    panels = [one for part in section["panelBankConfig"]["sections"] for one in part["panels"]]
    named: set[str] = set()
    for panel in panels:
        config = panel["config"]
        axes = [config.get(axis) for axis in ("xAxis", "yAxis")]
        named |= {*(config.get("metrics") or ()), *filter(None, axes)}
    keys = {name.removeprefix("summary:") for name in named}
    # These runs have no prices.
    assert keys - told.wandb.history[-1].keys() == {"cost/spent"}
    assert len(keys) > 5
    (chart,) = [one["config"] for one in panels if one["viewType"] == "Vega2"]
    (table,) = re.findall(r"success\w+_table", str(chart))
    assert {"turns", "rate"} <= set(told.wandb.table_of(table)["columns"])
    grouping = section["runSets"][0]["grouping"]
    assert [one["name"] for one in grouping] == ["group", "jobType"]


def test_runs_of_the_same_settings_are_found_by_group_and_tags(told: Told) -> None:
    config = yaml.safe_load((told.folder / "config.yaml").read_text())
    digest = json.loads((told.folder / EPISODES).open().readline())["settings_digest"]
    assert told.wandb.group == told.wandb.job_type
    assert told.wandb.group.endswith(digest[:8])
    model = config["model"]["name"]
    assert {"mine", f"model:{model}", "turns:max5_p2+tool+cd"} <= told.wandb.tags
    assert told.wandb.config["settings"]["digest"] == digest
    (start,) = (
        hparams_metadata.parse_session_start_info_plugin_data(content)
        for tag, content in told.events.PluginTagToContent("hparams").items()
        if tag == hparams_metadata.SESSION_START_INFO_TAG
    )
    assert start.hparams["digest"].string_value == digest
    assert start.hparams["max_steps"].number_value == 5


def test_the_artifact_is_a_run_folder_that_sums_up_to_the_same(told: Told, tmp_path: Path) -> None:
    for name, file in told.wandb.artifacts["episodes"].items():
        content = file.read_bytes()
        is_packed = name.endswith(".gz")
        (tmp_path / name.removesuffix(".gz")).write_bytes(
            gzip.decompress(content) if is_packed else content
        )
    assert summarize_folder(tmp_path).document() == summarize_folder(told.folder).document()
    kept = [yaml.safe_load((f / "config.yaml").read_text()) for f in (tmp_path, told.folder)]
    assert kept[0] == kept[1]


def job_of(tmp_path: Path, *words: str) -> Job:
    config = validated(RunConfig, compose_config(Invocation("run", ("model=scripted", *words))))
    return Job("run", config, cast(RunFolder, SimpleNamespace(path=tmp_path)), [])


def test_a_tracker_whose_package_is_missing_is_left_out_unless_it_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codeact.results.trackers.tensorboard.find_spec", lambda name: None)
    told: list[str] = []
    assert trackers([job_of(tmp_path, "tracker=tensorboard")], told.append) == []
    (line,) = told
    assert 'pip install "codeact[tensorboard]"' in line
    required = job_of(tmp_path, "tracker=tensorboard", "tracker.required=true")
    with (
        pytest.raises(ConfigError, match="tensorboardX is missing"),
        expected_trackers([required.config]),
    ):
        pytest.fail("it is refused before anything is spent")


class Heard:
    """A tracker that keeps what it is told, and fails where it is told to."""

    label, patience = "Heard", 10.0

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at = fails_at
        self.calls: list[str] = []

    def obstacle(self, settings: TrackerSettings) -> str | None:
        return None

    def begin(self, run: TrackedRun) -> bool:
        return self._hear("begin")

    def open(self, run: TrackedRun) -> None:
        self._hear("open")

    def log(self, run: TrackedRun, sent: MetricsRow) -> None:
        self._hear("log")

    def finish(self, run: TrackedRun, final: FinalUpdate) -> None:
        self._hear("finish")

    def close(self) -> None:
        self._hear("close")

    def unsent(self, folders: Sequence[Path]) -> str:
        return "late"

    def _hear(self, call: str) -> bool:
        if call == self.fails_at:
            raise RuntimeError("no")
        self.calls.append(call)
        return True


@pytest.mark.parametrize("fails_at", ["begin", "open", "log", "finish", "close"])
def test_one_tracker_s_trouble_is_no_other_s(tmp_path: Path, fails_at: str) -> None:
    job = job_of(tmp_path)
    asked = requested_run(make_plan(job.config), {})
    with closing(RunFolder.open(tmp_path / "run", asked)) as folder:
        job = job._replace(folder=folder)
        broken, other, notices = Heard(fails_at), Heard(), list[str]()
        settings = cast(TrackerSettings, trackers_of(job.config.tracker)["wandb"])
        both = {"broken": broken, "other": other}
        listener = TrackingListener(both, {"run": dict.fromkeys(both, settings)}, notices.append)
        listener.run_started(job)
        listener.episode_finished(job, make_record("0"))
        listener.run_finished(job, Summary())
        listener.close()
    assert other.calls == ["begin", "open", "log", "finish", "close"]
    assert fails_at not in broken.calls
    assert len(notices) == 1
    assert "Heard" in notices[0]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["wandb"]),
        (["tracker=none"], []),
        (["tracker=tensorboard"], ["tensorboard"]),
        (["tracker.wandb.project=p", "tracker=[wandb,tensorboard]"], ["wandb", "tensorboard"]),
        (["tracker=[tensorboard]", "tracker.tensorboard.required=true"], ["tensorboard"]),
    ],
)
def test_every_choice_of_trackers_composes_and_changes_no_identity(
    words: list[str], names: list[str]
) -> None:
    plain = validated(RunConfig, compose_config(Invocation("run", ("tracker=none",))))
    config = validated(RunConfig, compose_config(Invocation("run", tuple(words))))
    assert list(trackers_of(config.tracker)) == names
    assert config.digest == plain.digest
    kept = RunConfig.model_validate(config.model_dump())
    assert kept.tracker == config.tracker


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tracker=[wandb,tensorbord]"], "did you mean 'tensorboard'?"),
        (["tracker=[wandb,none]"], "none is not one of them"),
        (["tracker=[wandb,tensorboard]", "tracker.project=p"], "'tracker.wandb.project'"),
        (["tracker=[wandb,tensorboard]", "tracker.wandb.mode=now"], "tracker.wandb.mode: Input"),
        (["tracker.kind=wand"], "did you mean 'wandb'?"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_by_name(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        validated(RunConfig, compose_config(Invocation("run", tuple(words))))
    assert said in str(refused.value)


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
    both = "tracker=[wandb,tensorboard]"
    for limit in (2, 4, 4):
        done = play(home, *QUICK, both, f"limit={limit}", f"run_dir={folder}")
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
    assert len(list((folder / "tensorboard").glob("events.*"))) == 2
    finished = EventAccumulator(str(folder / "tensorboard")).Reload().Scalars("episodes/finished")
    assert [event.step for event in finished] == [event.value for event in finished]
    assert {2, 4} <= {event.step for event in finished}


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
    assert {run.job_type.split()[1] for run in runs} == {
        f"max{turns}+tool+cd" for turns in ("1_p1", "2_p2", "3_p2")
    }
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
            "tracker=[wandb,tensorboard]",
            "tracker.wandb.artifact=true",
            f"run_dir={folder}",
            MY_OWN=KEY,
            WANDB_MODE="offline",
            WANDB_API_KEY="w" * 40,
        )
    assert KEY in (folder / EPISODES).read_text(), "the attack did not reach the run"
    (run,) = offline_runs(folder)
    assert len(run.table["data"]) == 2
    assert "The key is ***" in json.dumps(run.table)
    roots = (folder / "wandb", folder / "tensorboard", home)
    left = [p for root in roots for p in root.rglob("*") if p.is_file()]
    assert len(left) > 3
    episodes = gzip.decompress(run.artifacts["episodes"]["episodes.jsonl.gz"].read_bytes())
    assert b"The key is ***" in episodes
    for content in (episodes, *(file.read_bytes() for file in left)):
        for secret in (KEY, "hunter2", "w" * 40):
            assert secret.encode() not in content


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


def test_trackers_that_fail_do_not_end_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("wandb", "tensorboard"):
        (folder / name).write_text("in the way")
    words = ["tracker=[wandb,tensorboard]", "limit=2", f"run_dir={folder}"]
    done = play(tmp_path / "home", *QUICK, *words)
    assert done.returncode == 0, done.stderr
    assert (folder / EPISODES).read_bytes().count(b"\n") == 2
    told = [line for line in done.stderr.splitlines() if "told nothing more" in line]
    assert sorted(line.split()[0] for line in told) == ["TensorBoard", "W&B"]


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
