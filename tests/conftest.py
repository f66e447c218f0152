"""Real parts for the tests: a sandbox on this machine, and a Docker engine of their own."""

import asyncio
import gc
import json
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from codeact.exceptions import ExecutorUnavailable, SandboxFailure
from codeact.sandboxes.settings import LocalSettings
from codeact.sandboxes.start import start_sandbox

# Tracking costs every run a second or two; tests/results/test_tracking.py switches it on again.
os.environ["WANDB_MODE"] = "disabled"

LAUNCHER = Path(__file__).parent.parent / "launchers" / "docker_engine.sh"


SLOW_SECONDS = 1.0
DURATIONS = Path(__file__).with_name("durations.json")
"""Seconds of the tests that take long, all parameters together; `make durations` measures them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "write how long the tests took into tests/durations.json"
    parser.addoption("--record-durations", action="store_true", help=words)


def pytest_configure(config: pytest.Config) -> None:
    """Where the whole run is seen, say what became slow, or write it down."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Durations(config), "durations")


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """Thousands of tests stay to the end; each search for garbage would go through them all."""
    gc.enable()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what a quick run leaves out, and put the longest files first.

    Begun first, they do not run on alone in the end: `make test` keeps the order, a file whole.
    """
    known = known_durations()
    of_files: dict[str, float] = defaultdict(float)
    for name, seconds in known.items():
        of_files[name.partition("::")[0]] += seconds
    for item in items:
        if known.get(name_of(item.nodeid), 0.0) >= SLOW_SECONDS:
            item.add_marker("slow")
        if "docker" in item.nodeid or "docker_engine" in getattr(item, "fixturenames", ()):
            item.add_marker("docker")
    items.sort(key=lambda item: -of_files[name_of(item.nodeid).partition("::")[0]])


def known_durations() -> dict[str, float]:
    return cast(dict[str, float], json.loads(DURATIONS.read_text()))


def name_of(nodeid: str) -> str:
    """A test's name in durations.json: its path beneath tests/, without parameters."""
    return nodeid.partition("[")[0].removeprefix("tests/")


class Durations:
    """Adds up how long each test takes, its fixtures included."""

    def __init__(self, config: pytest.Config) -> None:
        self.record = bool(config.getoption("--record-durations"))
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[name_of(report.nodeid)] += report.duration

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        known = known_durations()
        if self.record:
            kept = {name: seconds for name, seconds in known.items() if name not in self.seconds}
            long = {n: round(s, 1) for n, s in self.seconds.items() if s >= SLOW_SECONDS / 2}
            table = dict(sorted({**kept, **long}.items()))
            DURATIONS.write_text(json.dumps(table, indent=0) + "\n")
            return
        # On a busy machine everything takes longer: only what is far beyond is worth a word.
        for name, seconds in self.seconds.items():
            if seconds > 3 * SLOW_SECONDS and name not in known:
                line = f"{name} took {seconds:.1f} s and is not known to: make durations"
                terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session")
def local_sandbox() -> None:
    """Skip, with the executor's own reason, where model-written code cannot be isolated."""

    async def probe() -> None:
        sandbox = await start_sandbox(LocalSettings(preload=()))
        await sandbox.close()

    try:
        asyncio.run(probe())
    except ExecutorUnavailable as error:
        if isinstance(error.__cause__, SandboxFailure):
            raise  # it can run here, and broke
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def engine_for_the_test(request: pytest.FixtureRequest) -> None:
    """Tests that name docker get an engine; the others do not wait for one."""
    engine_where_named(request)


def engine_where_named(request: pytest.FixtureRequest) -> None:
    """For fixtures of a module, too, which come before those of a test."""
    if "docker" in request.node.nodeid or getattr(request, "param", None) == "docker":
        request.getfixturevalue("docker_engine")


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[None]:
    """DOCKER_HOST as it is given, or an engine on a private socket that ends with the tests.

    The launcher installs Debian's engine where there is none; on a developer's own machine that is
    not for tests to decide, so they do it in CI alone.
    """
    if os.environ.get("DOCKER_HOST"):
        yield
        return
    if not (shutil.which("dockerd") or os.environ.get("CI")):
        pytest.skip("no Docker engine: set DOCKER_HOST, or be root and install docker.io")
    with own_engine("tests") as engine:
        os.environ["DOCKER_HOST"] = engine.address
        yield
        del os.environ["DOCKER_HOST"]


class Engine(NamedTuple):
    """A Docker engine of the tests' own."""

    address: str
    folder: Path

    def start(self, **env: str) -> "subprocess.CompletedProcess[str]":
        """Start it, or start it again."""
        return subprocess.run(
            ["sh", str(LAUNCHER), "start", str(self.folder)],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@contextmanager
def own_engine(name: str, **env: str) -> Iterator[Engine]:
    """An engine that is nobody else's, with what the launcher takes by `env`; skips without one."""
    if os.geteuid() != 0:
        pytest.skip("only root can start an engine of its own")
    # Paths of sockets are short, so the engine's folder is not beneath pytest's.
    folder = Path(f"/tmp/codeact-{name}-{os.getpid()}")
    engine = Engine(f"unix://{folder}/docker.sock", folder)
    try:
        started = engine.start(**env)
        if started.returncode != 0:
            pytest.skip(f"the Docker engine does not start here: {started.stderr.strip()[-300:]}")
        yield engine
    finally:
        subprocess.run(["sh", str(LAUNCHER), "stop", str(folder)], check=False, timeout=600)
        shutil.rmtree(folder, ignore_errors=True)
