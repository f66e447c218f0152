"""Real parts for the tests: a sandbox on this machine, and a Docker engine of their own."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeact.edge.sandboxes.settings import LocalSettings
from codeact.edge.sandboxes.start import start_sandbox
from codeact.exceptions import ExecutorUnavailable

# Tracking costs every `codeact run` a second or two; tests/test_tracking.py switches it on again.
os.environ["WANDB_MODE"] = "disabled"

LAUNCHER = Path(__file__).parent.parent / "launchers" / "docker_engine.sh"


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
    if os.geteuid() != 0 or not (shutil.which("dockerd") or os.environ.get("CI")):
        pytest.skip("no Docker engine: set DOCKER_HOST, or be root and install docker.io")
    # Paths of sockets are short, so the engine's folder is not beneath pytest's.
    folder = f"/tmp/codeact-tests-{os.getpid()}"
    started = subprocess.run(
        ["sh", str(LAUNCHER), "start", folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if started.returncode != 0:
        pytest.skip(f"the Docker engine does not start here: {started.stderr.strip()[-300:]}")
    os.environ["DOCKER_HOST"] = started.stdout.strip().partition("=")[2]
    yield
    del os.environ["DOCKER_HOST"]
    subprocess.run(["sh", str(LAUNCHER), "stop", folder], check=False, timeout=60)
    shutil.rmtree(folder, ignore_errors=True)
