"""What the sandbox commands call: the self-test, cells from a file, and the sweep."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from codeact.episode.protocol import NO_OUTPUT
from codeact.exceptions import ConfigError, ExecutorUnavailable
from codeact.sandboxes.cells import read_cells, run_cells
from codeact.sandboxes.check import check_sandbox
from codeact.sandboxes.docker.image import build_image
from codeact.sandboxes.owner import owner_lives, this_owner
from codeact.sandboxes.server import Server
from codeact.sandboxes.settings import ImageSettings
from codeact.sandboxes.sweep import OWNER_FILE, PREFIX, UNNAMED_SECONDS, sweep_folders
from tests.helpers.sandboxes import EXECUTORS, settings, started


@pytest.mark.parametrize("kind", EXECUTORS)
async def test_every_promise_holds(kind: str) -> None:
    if kind == "docker" and not os.environ.get("DOCKER_HOST"):
        pytest.skip("DOCKER_HOST is not set")
    rows = await check_sandbox(settings(kind, preload=()))
    assert [row for row in rows if not row.held] == []
    assert len(rows) > 15


async def test_cells_of_a_session_run_in_order(tmp_path: Path) -> None:
    sandbox = await started("local", preload=(), cell_seconds=30.0)
    lines = [
        '{"session": "a", "code": "import time; time.sleep(3); x = 1"}',
        '{"session": "b", "code": "x = 2"}',
        '{"session": "a", "code": "x += 10; x"}',
        '{"session": "b", "code": "1 / 0"}',
        "",
        '{"session": "b", "code": "x"}',
    ]
    file = tmp_path / "cells.jsonl"
    file.write_text("\n".join(lines))
    try:
        got = [
            (r.session, r.status, r.observation.strip().splitlines()[-1:])
            async for r in run_cells(sandbox, read_cells(file))
        ]
    finally:
        await sandbox.close()
    assert [r for r in got if r[0] == "a"] == [
        ("a", "ok", [NO_OUTPUT]),
        ("a", "ok", ["Out[2]: 11"]),
    ]
    assert [r[1:] for r in got if r[0] == "b"] == [
        ("ok", [NO_OUTPUT]),
        ("error", ["ZeroDivisionError: division by zero"]),
        ("ok", ["Out[3]: 2"]),
    ]
    assert got[0][0] == "b", "sessions run side by side"


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "cells.jsonl"
    file.write_text('{"session": "a", "code": "1"}\n{"session": "a"}\n')
    with pytest.raises(ConfigError, match="line 2"):
        read_cells(file)


def test_owners_are_told_apart() -> None:
    assert owner_lives(this_owner())
    code = "from codeact.sandboxes.owner import this_owner; print(this_owner())"
    dead = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert not owner_lives(dead)
    # A later process with the same pid is not the same owner.
    host, boot, pid, started, namespace = this_owner().split("/")
    assert not owner_lives(f"{host}/{boot}/{pid}/1/{namespace}")
    # Nor is one of a container beside this one, whose pids are not ours and cannot be looked at:
    # not even one that has a dead pid of ours.
    assert owner_lives(f"{host}/{boot}/{pid}/1/{namespace}1")
    assert not owner_lives(f"{host}/of-another-start/{pid}/{started}/{namespace}1")
    # As older versions wrote it, without a namespace.
    assert owner_lives(f"{host}/{boot}/{pid}/{started}")
    assert not owner_lives(f"{host}/{boot}/{pid}/1")
    assert owner_lives("what nobody wrote")
    # Nothing is known of another machine, so nothing of it is swept.
    assert owner_lives(dead.replace(dead.split("/")[0], "elsewhere"))


async def test_the_sweep_takes_only_what_the_dead_left() -> None:
    living, dead = Server(), Server()
    host, boot, pid, _, namespace = this_owner().split("/")
    (dead.folder / OWNER_FILE).write_text(f"{host}/{boot}/{pid}/1/{namespace}")
    swept = sweep_folders()
    assert str(dead.folder) in [row.name for row in swept]
    assert not dead.folder.exists()
    assert living.folder.exists()
    await asyncio.gather(living.close(), dead.close())
    assert not living.folder.exists()


def test_a_folder_that_nobody_signed_is_swept_once_it_is_old() -> None:
    """Its maker died before it wrote its name; one that was made just now is about to."""
    new, old = (Path(tempfile.mkdtemp(prefix=PREFIX)) for _ in range(2))
    past = time.time() - 2 * UNNAMED_SECONDS
    os.utime(old, (past, past))
    swept = [row.name for row in sweep_folders()]
    assert str(old) in swept
    assert not old.exists()
    assert new.exists()
    new.rmdir()


def test_a_sweep_beside_owners_who_come_and_go() -> None:
    """A folder that vanishes between being seen and being looked at is its owner's doing."""
    code = (
        "import shutil, sys, tempfile\n"
        "print(flush=True)\n"
        "while True: shutil.rmtree(tempfile.mkdtemp(prefix=sys.argv[1]))"
    )
    prefix = f"{PREFIX}come-and-go-"
    others = [
        subprocess.Popen([sys.executable, "-c", code, prefix], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()
        for _ in range(1500):
            sweep_folders()
    finally:
        for other in others:
            other.kill()
            other.communicate()
        for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
            folder.rmdir()


async def test_an_image_that_cannot_be_fetched_says_what_to_do() -> None:
    if not os.environ.get("DOCKER_HOST"):
        pytest.skip("DOCKER_HOST is not set")
    missing = ImageSettings(name="codeact-test", base_image="localhost:1/no/such:image")
    with pytest.raises(ExecutorUnavailable, match=r"offline_image\.sh"):
        await build_image(missing)


async def test_no_wheels_are_a_mistake(tmp_path: os.PathLike[str]) -> None:
    with pytest.raises(ConfigError, match="holds no wheels"):
        await build_image(ImageSettings(wheels=str(tmp_path)))
