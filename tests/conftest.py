"""Real parts for the tests: a sandbox on this machine, and a Docker engine of their own."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from codeact.exceptions import ExecutorUnavailable
from codeact.sandboxes.settings import LocalSettings
from codeact.sandboxes.start import start_sandbox

# Tracking costs every run a second or two; tests/results/test_tracking.py switches it on again.
os.environ["WANDB_MODE"] = "disabled"

LAUNCHER = Path(__file__).parent.parent / "launchers" / "docker_engine.sh"


# Those that take longest: begun first, they do not run on alone in the end.
LONGEST = ("test_sandbox_run_faults", "test_graders_mint_parity")
LONGEST += ("test_sandbox_recorded_cells", "test_sandbox_engines", "test_sandbox_session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, each still whole; `make test` keeps that order."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def local_sandbox() -> None:
    """Skip, with the executor's own reason, where model-written code cannot be isolated."""

    async def probe() -> None:
        sandbox = await start_sandbox(LocalSettings(preload=()))
        await sandbox.close()

    try:
        asyncio.run(probe())
    except ExecutorUnavailable as error:
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
        subprocess.run(["sh", str(LAUNCHER), "stop", str(folder)], check=False, timeout=120)
        shutil.rmtree(folder, ignore_errors=True)
