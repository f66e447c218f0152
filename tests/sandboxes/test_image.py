"""The image of executor=docker where no container registry can be reached."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codeact.sandboxes.docker.image import _explain
from codeact.sandboxes.settings import DockerSettings, ImageSettings
from codeact.sandboxes.start import start_sandbox
from tests.conftest import own_engine

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "sandbox" / "offline_image.sh"
MADE_OF = (
    SCRIPT,
    ROOT / "sandbox" / "Dockerfile",
    *sorted((ROOT / "sandbox" / "guest").glob("*.py")),
    ROOT / "conf" / "sandbox.yaml",
    ROOT / "codeact" / "sandboxes" / "docker" / "image.py",
)
CELL = (
    "import sys, numpy, pandas, scipy, sympy, math_verify, matplotlib, networkx, bs4, nltk\n"
    "from math_verify import parse, verify\n"
    "verify(parse('$\\\\frac{1}{2}$', parsing_timeout=None), parse('0.5', parsing_timeout=None),"
    " timeout_seconds=None), sys.prefix"
)


def offline(*words: str, path: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHON": sys.executable, **({"PATH": path} if path else {})}
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("missing", ["mmdebstrap", "docker"])
def test_without_its_programs_it_fails_and_makes_nothing(tmp_path: Path, missing: str) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in {"dirname", "mmdebstrap", "docker"} - {missing}:
        tools.joinpath(name).symlink_to(shutil.which(name) or "/bin/true")
    done = offline(str(tmp_path / "made"), path=str(tools))
    assert done.returncode == 1
    assert f"{missing} is not here" in done.stderr
    assert "apt-get install" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "made").exists()


def test_what_a_build_without_a_registry_says_is_a_command_with_all_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///a folder/docker.sock")
    settings = ImageSettings(packages=("ipython", "math-verify[antlr4_9_3]"))
    said = _explain("dial tcp: lookup registry: no such host", settings, None)
    (command,) = [line.strip() for line in said.splitlines() if "offline_image.sh" in line]
    echo = f'{command.partition(" sh ")[0]}; printf "%s\\n" {command.partition(" sh ")[2]}'
    words = subprocess.check_output(["/bin/sh", "-c", f"{echo}; echo $DOCKER_HOST"], text=True)
    script, _, *packages, host = words.splitlines()
    assert Path(script) == SCRIPT
    assert packages == list(settings.packages)
    assert host == "unix:///a folder/docker.sock"


@pytest.mark.timeout(1800)
@pytest.mark.skipif(
    not os.environ.get("CODEACT_OFFLINE_IMAGE"),
    reason="CODEACT_OFFLINE_IMAGE=1 builds the offline image: some minutes, once for its content",
)
async def test_the_commands_give_an_image_that_runs_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user would: the script, the command it prints, a cell. Kept by content between runs."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in MADE_OF)).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = home / "codeact" / "tests" / f"offline-image-{digest}.tar"
    with own_engine("image") as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        if kept.is_file():
            load = ["docker", "load", "--quiet", "--input", kept]
            await asyncio.to_thread(subprocess.run, load, check=True)
        else:
            await asyncio.to_thread(build, tmp_path / "a folder, (of) wheels=1", kept)
        sandbox = await start_sandbox(DockerSettings(slots=2, warm=1))
        try:
            async with await sandbox.session() as session:
                done = await session.execute(CELL, seconds=60)
        finally:
            await sandbox.close()
    assert done.output == "Out[1]: (True, '/opt/venv')\n"


def build(folder: Path, kept: Path) -> None:
    done = offline(str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    (command,) = done.stdout.splitlines()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    built = subprocess.run(
        ["/bin/sh", "-c", command],
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-3000:]
    for old in kept.parent.glob("offline-image-*"):
        old.unlink()
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    subprocess.run(["docker", "save", "--output", part, "codeact-sandbox"], check=True)
    part.rename(kept)
