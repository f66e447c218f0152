"""When the sandbox itself breaks: a failure by name, in bounded time, and the next one works."""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from codeact.exceptions import SandboxFailure
from codeact.sandboxes.docker.executor import DockerSandbox
from codeact.sandboxes.owner import OWNER
from codeact.sandboxes.sandbox import GuestSandbox
from codeact.sandboxes.sweep import OWNER_FILE
from tests.conftest import engine_where_named
from tests.helpers.sandboxes import EXECUTORS, started

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=EXECUTORS)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[GuestSandbox]:
    engine_where_named(request)
    running = await started(request.param, preload=(), end_seconds=5.0, slots=8, cell_seconds=30.0)
    yield running
    await running.close()


def first_process(sandbox: GuestSandbox) -> psutil.Process:
    """Return the guest's server, as this machine sees it."""
    children = processes_of(sandbox._server.uid_base)  # type: ignore[union-attr]
    parents = [psutil.Process(pid).parent() for pid in children]
    return next(p for p in parents if p is not None and p.uids().real == 0)


def processes_of(uid_base: int) -> list[int]:
    """Return the sessions that have uids of this range; as long as a server lives, there are."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if uid_base < process.uids().real < uid_base + 4096:
                found.append(process.pid)
    return found


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def the_next_one_works(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        assert (await session.execute("1 + 1")).output == "Out[1]: 2\n"


async def break_during_cell(sandbox: GuestSandbox, how: Any) -> None:
    """Break something while a cell runs: it must end in SandboxFailure, and before the cell."""
    async with await sandbox.session() as session:
        cell = asyncio.create_task(session.execute("import time; time.sleep(30)", seconds=40))
        await asyncio.sleep(0.3)
        result = how()
        if asyncio.iscoroutine(result):
            await result
        with pytest.raises(SandboxFailure):
            await asyncio.wait_for(cell, 28)
    await the_next_one_works(sandbox)


async def test_guest_killed(sandbox: GuestSandbox) -> None:
    await the_next_one_works(sandbox)
    await break_during_cell(sandbox, lambda: first_process(sandbox).send_signal(signal.SIGKILL))


async def test_container_killed(sandbox: GuestSandbox) -> None:
    if not isinstance(sandbox, DockerSandbox):
        pytest.skip("the local executor has no container")
    container = sandbox._server._process._container  # type: ignore[union-attr]

    async def kill() -> None:
        await asyncio.to_thread(container.kill)

    await break_during_cell(sandbox, kill)


async def test_guest_hangs(sandbox: GuestSandbox) -> None:
    """A stopped server still has live sessions; only what needs it fails, and then for good."""
    await the_next_one_works(sandbox)
    process = first_process(sandbox)
    async with await sandbox.session() as session:
        process.send_signal(signal.SIGSTOP)
        assert (await session.execute("1")).status == "ok"
        with pytest.raises(SandboxFailure):
            await asyncio.wait_for(session.execute("import os; os._exit(0)"), 60)
    await the_next_one_works(sandbox)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount in a sandbox")
async def test_one_session_that_does_not_end_costs_its_slot_alone(sandbox: GuestSandbox) -> None:
    """Its folder cannot be wiped: something is mounted in it, which only the machine's root can."""
    await the_next_one_works(sandbox)
    server, guest = sandbox._server, first_process(sandbox)
    assert server is not None
    async with await sandbox.session() as neighbour:
        await neighbour.execute("kept = 1")
        stuck = await sandbox.session()
        await stuck.execute("import os; os.mkdir('busy')")
        assert stuck._address is not None
        busy = f"/slots/{stuck._address.slot}/busy"
        inside = ["nsenter", "--target", str(guest.pid), "--mount", "--"]
        await asyncio.to_thread(
            subprocess.run, [*inside, "mount", "-t", "tmpfs", "none", busy], check=True
        )
        lost = await stuck.execute("os._exit(0)")
        assert (lost.status, lost.state_lost) == ("killed", True), "it is the policy's own doing"
        assert "did not end" in lost.output
        assert (await stuck.execute("1 + 1")).output == "Out[1]: 2\n", "it goes on elsewhere"
        # Seven slots are left: three more sessions fit at once, and as many as there will be wait.
        await stuck.close()
        await asyncio.gather(*[the_next_one_works(sandbox) for _ in range(20)])
        assert (await neighbour.execute("kept")).output == "Out[2]: 1\n"
        assert sandbox._server is server
        assert server.alive
        assert sandbox._slots._value == 6, "one is the neighbour's, one is stuck"
        await asyncio.to_thread(subprocess.run, [*inside, "umount", busy], check=True)
        for _ in range(500):
            if sandbox._slots._value == 7:
                break
            await asyncio.sleep(0.02)
        assert sandbox._slots._value == 7, "and it comes back when it is gone"
        assert len(server._ends) == 1


async def test_a_server_that_gives_no_interpreter_but_answers_is_kept(
    sandbox: GuestSandbox,
) -> None:
    """A connection that ends before its greeting fails one session, by name."""
    await the_next_one_works(sandbox)
    server = sandbox._server
    assert server is not None
    async with await sandbox.session() as neighbour:
        connect = server.connect

        async def cut(*args: Any) -> Any:
            channel = await connect(*args)
            channel.abort()
            return channel

        server.connect = cut  # type: ignore[method-assign]
        try:
            with pytest.raises(SandboxFailure, match="no interpreter"):
                await sandbox.session()
        finally:
            server.connect = connect  # type: ignore[method-assign]
        assert (await neighbour.execute("1")).output == "Out[1]: 1\n"
        assert sandbox._server is server
    await the_next_one_works(sandbox)


async def test_socket_folder_removed(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        shutil.rmtree(sandbox._server.folder)  # type: ignore[union-attr]
        # What is connected stays connected, or fails by name; what is new gets a new server.
        with contextlib.suppress(SandboxFailure):
            assert (await session.execute("1")).status == "ok"
        with pytest.raises(SandboxFailure, match="cannot be reached"):
            await sandbox.session()
    await the_next_one_works(sandbox)


async def test_many_open_files(sandbox: GuestSandbox) -> None:
    """With no descriptor left on the host, a session fails by name; with some again, it works."""
    await the_next_one_works(sandbox)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    held = []
    try:
        with pytest.raises(OSError, match="Too many open files"):
            for _ in range(2000):
                held.append(os.open("/dev/null", os.O_RDONLY))
        with pytest.raises(SandboxFailure):
            await sandbox.session()
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await the_next_one_works(sandbox)


async def test_a_thousand_sessions_leave_no_descriptor(sandbox: GuestSandbox) -> None:
    await the_next_one_works(sandbox)
    before = open_files()
    for _ in range(25):
        await asyncio.gather(*[the_next_one_works(sandbox) for _ in range(8)])
    for _ in range(100):
        if open_files() <= before + 3:
            break
        await asyncio.sleep(0.1)
    assert open_files() <= before + 3


async def test_whole_container_out_of_memory() -> None:
    """Sessions within their own limits that together exceed the container's."""
    running = await started(
        "docker", preload=(), slots=8, memory_mb=400, end_seconds=5.0, container_memory_mb=700
    )
    greedy = "data = bytearray(300 << 20)\nimport time; time.sleep(3)"

    async def one() -> str:
        try:
            async with await running.session() as session:
                return (await session.execute(greedy, seconds=60)).status
        except SandboxFailure:
            return "failure"

    try:
        statuses = await asyncio.wait_for(asyncio.gather(*[one() for _ in range(5)]), 200)
        assert set(statuses) & {"oom", "killed", "failure"}, statuses
        assert set(statuses) <= {"ok", "error", "oom", "killed", "failure", "timeout"}
        await the_next_one_works(running)
    finally:
        await running.close()


DRIVER = """
import asyncio, os, sys
from tests.helpers.sandboxes import settings
from codeact.sandboxes.start import start_sandbox
async def main():
    sandbox = await start_sandbox(settings(sys.argv[1], preload=(), slots=4))
    session = await sandbox.session()
    server = sandbox._server
    groups = server.group.folders if server.group is not None else ()
    print(server.uid_base, server.folder, *groups, flush=True)
    await session.execute("import time; time.sleep(60)", seconds=60)
asyncio.run(main())
"""


def start_driver(kind: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, kind],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )


@pytest.mark.parametrize("kind", EXECUTORS)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to see other users' processes")
async def test_a_killed_driver_leaks_nothing(kind: str) -> None:
    """Nobody sweeps: processes, container, control group and folder go by themselves."""
    if kind == "docker" and not os.environ.get("DOCKER_HOST"):
        pytest.skip("DOCKER_HOST is not set")
    driver = start_driver(kind)
    assert driver.stdout is not None
    uid_base, *places = (await asyncio.to_thread(driver.stdout.readline)).split()
    owner = await asyncio.to_thread((Path(places[0]) / OWNER_FILE).read_text)
    server = psutil.Process(processes_of(int(uid_base))[0]).parent()
    assert server is not None
    assert await asyncio.to_thread(lambda: all(Path(place).is_dir() for place in places))
    driver.kill()
    driver.wait()

    def left() -> list[str]:
        found = [place for place in places if Path(place).exists()]
        found += [str(pid) for pid in processes_of(int(uid_base))]
        found += [str(server)] if server.is_running() else []
        return found + (containers_of(owner) if kind == "docker" else [])

    for _ in range(300):
        if not (found := await asyncio.to_thread(left)):
            break
        await asyncio.sleep(0.1)
    assert found == []


def containers_of(owner: str) -> list[str]:
    words = ["docker", "ps", "--all", "--quiet", "--filter", f"label={OWNER}={owner}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
