"""A guest that began before its settings were known is as one that did not, or is ended."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from codeact.cli import main
from codeact.commands import head_start
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.sandboxes.guest_program import PRELOAD
from codeact.sandboxes.head_start import HEAD_START, EarlyGuest
from codeact.sandboxes.local import LocalSandbox
from codeact.sandboxes.settings import LocalSettings
from codeact.sandboxes.start import start_sandbox

SEEN = """
import os, resource, sys
def text(path):
    with open(path) as file:
        return file.read()
limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
keys = ("Cap", "Seccomp", "NoNewPrivs", "Uid", "Groups", "Threads")
status = [line for line in text("/proc/self/status").splitlines() if line.startswith(keys)]
RESULT = {
    "modules": list(sys.modules),
    "path": sys.path,
    "environment": dict(os.environ),
    "command": text("/proc/1/cmdline"),
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in limits},
    "status": [line for line in status if not line.startswith(("Uid", "Groups"))],
    "server": [line for line in text("/proc/1/status").splitlines() if line.startswith("Cap")],
    "mounts": sorted(line.split()[4] for line in text("/proc/self/mountinfo").splitlines()),
}
"""


@pytest.fixture
def early() -> Iterator[EarlyGuest]:
    """A guest that has begun."""
    HEAD_START.begin()
    guest = HEAD_START._guest
    if guest is None:
        pytest.skip("no guest begins early here: bubblewrap is missing, or groups are systemd's")
    yield guest
    HEAD_START.take()
    assert _left_of(guest) == []


def _left_of(guest: EarlyGuest) -> list[str]:
    """Return what is there of a guest that is to be gone: folders, groups, processes."""
    groups = guest.group.folders if guest.group is not None else ()
    left = [str(path) for path in (guest.folder, *map(Path, groups)) if path.exists()]
    return [*left, *([f"process {guest.process.pid}"] if guest.process.poll() is None else [])]


async def _seen(sandbox: LocalSandbox) -> dict[str, Any]:
    async with await sandbox.session() as session:
        told = await session.evaluate(SEEN, seconds=10)
    assert told.ok, told.error
    seen: dict[str, Any] = told.value
    # What the libraries take counts in, and is not the same to the page in any two processes.
    seen["limits"]["RLIMIT_AS"] = [
        round(bound / (64 << 20)) for bound in seen["limits"]["RLIMIT_AS"]
    ]
    return seen


async def test_sessions_see_no_difference(early: EarlyGuest) -> None:
    settings = LocalSettings(slots=3, processes=20, memory_mb=512)
    seen, folders, counted = [], [], []
    for _ in range(2):
        sandbox = await start_sandbox(settings)
        assert isinstance(sandbox, LocalSandbox)
        try:
            server = sandbox._server
            assert server is not None
            seen.append(await _seen(sandbox))
            folders.append(server.folder)
            files = [
                Path(one) / "pids.max" for one in (server.group.folders if server.group else ())
            ]
            counted.append([file.read_text() for file in files if file.exists()])
            assert not (server.folder / "early").exists()
            assert not (server.folder / "options").exists()
        finally:
            await sandbox.close()
    assert folders[0] == early.folder != folders[1], "it was not the early guest that was taken"
    assert seen[0] == seen[1]
    assert counted[0] == counted[1]
    assert {"numpy", "sympy"} <= set(seen[0]["modules"])


@pytest.mark.parametrize(
    "changes", [{"preload": ()}, {"server_memory_mb": 1024}, {"python": "/usr/bin/env"}], ids=str
)
async def test_other_settings_get_a_guest_of_their_own(
    early: EarlyGuest, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = LocalSandbox(LocalSettings(slots=1, **changes))
    monkeypatch.setattr(sandbox, "_bubblewrap", "bwrap")
    assert await sandbox._head_start() is None
    assert _left_of(early) == []


async def test_a_guest_that_has_ended_is_not_taken(early: EarlyGuest) -> None:
    for process in [*psutil.Process(early.process.pid).children(), early.process]:
        process.kill()
    early.process.wait()
    sandbox = await start_sandbox(LocalSettings(slots=1, preload=()))
    assert isinstance(sandbox, LocalSandbox)
    try:
        assert (await _seen(sandbox))["command"]
        assert _left_of(early) == []
    finally:
        await sandbox.close()


def test_no_process_may_be_begun_before_the_settings_allow_it(early: EarlyGuest) -> None:
    if early.group is None:
        early.discard()
        pytest.skip("there is no control group here")
    counts = [Path(folder) / "pids.max" for folder in early.group.folders]
    assert {int(file.read_text()) for file in counts if file.exists()} <= {64}
    early.discard()


def test_a_command_that_is_refused_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[EarlyGuest] = []
    begin = HEAD_START.begin

    def noted() -> None:
        begin()
        begun.extend([HEAD_START._guest] if HEAD_START._guest is not None else [])

    monkeypatch.setattr(HEAD_START, "begin", noted)
    assert main(["run", "bogus=1"]) == 1
    assert "unknown key 'bogus'" in capsys.readouterr().err
    assert HEAD_START.take() is None
    for guest in begun:
        assert _left_of(guest) == []


@pytest.mark.parametrize(
    ("command", "words", "expected"),
    [
        ("run", ["model=scripted", "executor.slots=3", "-m"], True),
        ("run", ["executor=local", "dry_run=false"], False),
        ("run", ["executor=local", "compute=local"], True),
        ("run", ["executor=docker"], False),
        ("run", ["executor.preload=[]"], False),
        ("run", ["+compute=ray"], False),
        ("run", ["--help"], False),
        ("run", ["--config-dir", "mine"], False),
        ("validate", [], True),
        ("stats", ["source=runs"], False),
    ],
)
def test_who_gets_a_head_start(
    command: str, words: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bool] = []
    monkeypatch.setattr(HEAD_START, "begin", lambda: begun.append(True))
    with head_start.head_start(command, words):
        assert begun == [True] * expected


@pytest.mark.parametrize("command", head_start._COMMANDS)
def test_what_is_expected_is_what_our_options_say(command: str) -> None:
    words = ("source=x",) if command == "replay" else ()
    executor = compose_config(Invocation(command, words)).config["executor"]
    told = {name: executor[name] for name in ("kind", "python", "server_memory_mb")}
    assert told == {"kind": "local", "python": None, "server_memory_mb": None}
    assert json.dumps(executor["preload"]) == json.dumps(PRELOAD)
