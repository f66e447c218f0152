"""The docker executor's other forms: a container for each session, a distant engine, runsc."""

import asyncio
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from codeact.exceptions import SandboxFailure
from codeact.sandboxes.channel import Channel
from codeact.sandboxes.docker.executor import DockerSandbox
from codeact.sandboxes.docker.relay import FRAME, STREAM, Relay
from codeact.sandboxes.owner import OWNER, this_owner
from codeact.sandboxes.session import GuestSession
from codeact.sandboxes.settings import DockerSettings
from tests.conftest import own_engine
from tests.helpers.sandboxes import started

pytestmark = pytest.mark.usefixtures("docker_engine")


@asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[DockerSandbox]:
    """A docker sandbox without libraries, which must leave no container behind."""
    sandbox = await started("docker", **{"preload": (), "slots": 4, "end_seconds": 5.0, **changes})
    assert isinstance(sandbox, DockerSandbox)
    try:
        yield sandbox
    finally:
        await sandbox.close()
        # An engine with much to do says that a removal goes on, and finishes it a little later.
        for _ in range(300):
            if not (left := our_containers(changes.get("engine"))):
                break
            await asyncio.sleep(0.2)
        assert left == set()


def our_containers(engine: str | None = None) -> set[str]:
    """The containers that this process has started and not removed."""
    words = ["docker", *(["--host", engine] if engine else [])]
    words += ["ps", "--all", "--quiet", "--filter", f"label={OWNER}={this_owner()}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def container_of(session: GuestSession) -> Any:
    return session._server._process._container  # type: ignore[union-attr]


async def is_whole(session: GuestSession, number: int = 1) -> bool:
    return (await session.execute("1 + 1")).output == f"Out[{number}]: 2\n"


# ---------------------------------------------------------------------------- a container each


async def test_a_container_each_keeps_state_and_nothing_else_sees_it() -> None:
    async with (
        running(isolation="container") as sandbox,
        await sandbox.session() as one,
        await sandbox.session() as other,
    ):
        await one.execute("mine = 41\nopen('note', 'w').write('private')")
        assert (await one.execute("mine + 1")).output == "Out[2]: 42\n"
        assert container_of(one).id != container_of(other).id
        look = (
            "import os\nRESULT = [os.path.exists('note'), len(os.listdir('/slots')),\n"
            "    sum(p.isdigit() for p in os.listdir('/proc'))]"
        )
        found, slots, processes = (await other.evaluate(look, seconds=5)).value
        assert (found, slots) == (False, 1)
        assert processes <= 3, "the server, this session, no other"


async def test_a_lost_interpreter_stays_in_its_own_container() -> None:
    async with (
        running(isolation="container", spare=0) as sandbox,
        await sandbox.session() as session,
    ):
        before = container_of(session).id
        lost = await session.execute("import os; os._exit(0)")
        assert (lost.status, lost.state_lost) == ("killed", True)
        assert await is_whole(session)
        assert container_of(session).id == before


async def test_containers_that_are_taken_are_replaced_and_given_back_are_removed() -> None:
    async with running(isolation="container", spare=2) as sandbox:
        used = set()
        for _ in range(4):
            async with await sandbox.session() as session:
                assert await is_whole(session)
                used.add(container_of(session).id)
        assert len(used) == 4, "no session gets another's container"
        for _ in range(600):
            names = our_containers()
            if len(names) == 2 and not any(name.startswith(tuple(names)) for name in used):
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"{names} are left of {used} and two spare ones")


async def test_a_killed_container_is_one_sessions_loss() -> None:
    async with (
        running(isolation="container") as sandbox,
        await sandbox.session() as one,
        await sandbox.session() as other,
    ):
        await other.execute("kept = 1")
        cell = asyncio.create_task(one.execute("import time; time.sleep(30)", seconds=40))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(container_of(one).kill)
        with pytest.raises(SandboxFailure):
            await asyncio.wait_for(cell, 35)
        assert (await other.execute("kept")).output == "Out[2]: 1\n"
        assert await is_whole(one), "and it gets another one"


async def test_more_sessions_than_containers_wait_their_turn() -> None:
    async with running(isolation="container", slots=2, spare=1) as sandbox:

        async def one() -> bool:
            async with await sandbox.session() as session:
                assert len(our_containers()) <= 2 + 1 + 2, "in use, spare, and being removed"
                return await is_whole(session)

        assert all(await asyncio.gather(*[one() for _ in range(5)]))


async def test_a_container_of_ones_own_has_limits_of_ones_own() -> None:
    changes = {"isolation": "container", "spare": 0, "memory_mb": 128, "cpus": 0.5}
    async with (
        running(container_memory_mb=None, **changes) as sandbox,
        await sandbox.session() as session,
    ):
        facts = container_of(session).attrs["HostConfig"]
        settings = sandbox.settings
        assert facts["Memory"] >> 20 == 128 + settings.disk_mb + 512
        assert facts["NanoCpus"] == 500_000_000
        assert facts["PidsLimit"] == settings.processes + 64
        assert facts["NetworkMode"] == "none"
        assert facts["ReadonlyRootfs"]


# ---------------------------------------------------------------------------- over docker exec


@pytest.fixture(scope="module")
def distant_engine() -> Iterator[str]:
    """An engine that also listens on TCP, on this machine's loopback address alone."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{door.getsockname()[1]}"
    with own_engine("tcp", DOCKER_ENGINE_TCP=address):
        yield f"tcp://{address}"


async def add(left: int, right: int) -> int:
    return left + right


@pytest.mark.parametrize("isolation", ["shared", "container"])
async def test_a_distant_engine(distant_engine: str, isolation: str) -> None:
    """All that a session does, over one attached stream: state, tools, size, limits, loss."""
    async with (
        running(engine=distant_engine, isolation=isolation, spare=1) as sandbox,
        await sandbox.session(setup="given = 1", tools={"add": add}) as session,
    ):
        mounts = [mount["Destination"] for mount in container_of(session).attrs["Mounts"]]
        assert "/run/codeact" not in mounts, "no folder is shared with this machine"
        assert (await session.execute("mine = given + 41\nmine")).output == "Out[1]: 42\n"
        assert (await session.execute("add(mine, 8)")).output == "Out[2]: 50\n"
        full = await session.execute("print('x' * (1 << 21))")
        assert full.output == "x" * (1 << 20)
        source = f"RESULT = len('{'y' * (3 << 20)}')"
        assert (await session.evaluate(source, seconds=20)).value == 3 << 20
        soft = await session.execute("while True: pass", seconds=0.3)
        assert (soft.status, soft.state_lost) == ("timeout", False)
        hard = await session.execute(
            "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
            seconds=0.3,
        )
        assert (hard.status, hard.state_lost) == ("timeout", True)
        assert (await session.execute("given")).output == "Out[1]: 1\n"


async def test_sessions_of_a_distant_engine_do_not_wait_for_each_other(distant_engine: str) -> None:
    flood = "import os\nwhile True: os.write(1023, b'\\x00\\x00\\x00\\x02{}' * 10000)"
    async with (
        running(engine=distant_engine, slots=8) as sandbox,
        await sandbox.session() as loud,
        await sandbox.session() as quiet,
    ):
        noise = asyncio.create_task(loud.execute(flood, seconds=2))
        for number in range(1, 21):
            assert await asyncio.wait_for(is_whole(quiet, number), 30)
        assert (await noise).state_lost


async def test_a_distant_container_that_is_killed_is_a_failure(distant_engine: str) -> None:
    async with running(engine=distant_engine) as sandbox, await sandbox.session() as session:
        cell = asyncio.create_task(session.execute("import time; time.sleep(30)", seconds=40))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(container_of(session).kill)
        with pytest.raises(SandboxFailure):
            await asyncio.wait_for(cell, 35)
        assert await is_whole(session)


async def test_a_distant_container_ends_with_its_driver(distant_engine: str) -> None:
    """Nothing of a killed driver's is swept there: the end of the stream has to do."""
    program = (
        "import asyncio, sys\nfrom codeact.sandboxes.start import start_sandbox\n"
        "from codeact.sandboxes.settings import DockerSettings\n"
        "async def main():\n"
        "    settings = DockerSettings(image='host', preload=(), engine=sys.argv[1])\n"
        "    sandbox = await start_sandbox(settings)\n"
        "    print(sandbox._server._process._container.id, flush=True)\n"
        "    async with await sandbox.session() as s: await s.execute('while True: pass')\n"
        "asyncio.run(main())"
    )
    driver = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", program, distant_engine],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    assert driver.stdout is not None
    name = (await asyncio.to_thread(driver.stdout.readline)).strip()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    listing = ["docker", "--host", distant_engine, "ps", "--quiet", "--no-trunc"]
    for _ in range(600):
        done = await asyncio.to_thread(
            subprocess.run, listing, capture_output=True, text=True, check=True
        )
        if name not in done.stdout:
            break
        await asyncio.sleep(0.1)
    else:
        raise AssertionError(f"{name} goes on without its driver")


# ---------------------------------------------------------------------------- runtimes, networks


def has_runsc() -> bool:
    form = ["docker", "info", "--format", "{{json .Runtimes}}"]
    done = subprocess.run(form, capture_output=True, text=True, check=False)
    return "runsc" in done.stdout


async def test_runsc() -> None:
    """gVisor as the engine's runtime: slower, a kernel of its own, the same promises."""
    if not has_runsc():
        pytest.skip("the engine has no runtime runsc (apt-get install runsc, start it anew)")
    async with (
        running(runtime="runsc", slots=2, cell_seconds=10.0, start_seconds=200.0) as sandbox,
        await sandbox.session() as session,
    ):
        await session.execute("mine = 41\nopen('note', 'w').write('x')")
        assert (await session.execute("mine + 1")).output == "Out[2]: 42\n"
        kernel = await session.execute("print(open('/proc/version').read())")
        host = await asyncio.to_thread(Path("/proc/version").read_text)
        assert kernel.output.strip() != host.strip()
        soft = await session.execute("while True: pass", seconds=0.5)
        assert (soft.status, soft.state_lost) == ("timeout", False)
        lost = await session.execute("import os; os._exit(0)")
        assert (lost.status, lost.state_lost) == ("killed", True)
        assert (await session.execute("import os; os.listdir()")).output == "Out[1]: []\n"


@pytest.fixture(scope="module")
def bridged_engine() -> Iterator[str]:
    """An engine whose containers have a network."""
    if Path("/sys/class/net/docker0").exists():
        pytest.skip("there is an engine with a bridge already, and one is all that a machine takes")
    with own_engine("net", DOCKER_ENGINE_BRIDGE="1") as engine:
        yield engine.address
    subprocess.run(["ip", "link", "delete", "docker0"], check=False, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("network", [True, False])
async def test_a_network_is_there_only_when_asked_for(bridged_engine: str, network: bool) -> None:
    # The machine itself, as containers on the bridge see it: "… inet 172.17.0.1/16 …".
    words = ["ip", "-4", "-oneline", "address", "show", "docker0"]
    shown = await asyncio.to_thread(subprocess.check_output, words, text=True)
    gateway = shown.split("inet ")[1].partition("/")[0]
    heard = asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(answer, gateway, 0)
    port = server.sockets[0].getsockname()[1]
    cell = f"import socket; socket.create_connection(({gateway!r}, {port}), 2).recv(9)"
    async with (
        server,
        running(engine=bridged_engine, network=network) as sandbox,
        await sandbox.session() as session,
    ):
        result = await session.execute(cell, seconds=5)
    assert heard.is_set() == network, result.output
    assert ("b'hello'" in result.output) == network
    assert result.status == ("ok" if network else "error")


def test_auto_takes_the_stream_where_a_folder_is_not_shared() -> None:
    class Client:
        def __init__(self, address: str) -> None:
            self.api = type("Api", (), {"base_url": address})

    def shares(address: str, **changes: Any) -> bool:
        return DockerSandbox(DockerSettings(**changes))._shares_folders(Client(address))  # type: ignore[arg-type]

    assert shares("http+docker://localhost")
    assert not shares("http+docker://localhost", runtime="runsc")
    assert not shares("http+docker://localhost", transport="exec")
    assert not shares("http+docker://ssh")
    assert not shares("https://192.0.2.7:2376")
    assert shares("https://192.0.2.7:2376", transport="socket")


async def test_a_stream_that_is_no_plain_socket_is_pumped() -> None:
    """Under TLS or ssh docker-py hands out objects that no event loop knows."""

    class Encrypted:
        def __init__(self, inner: socket.socket) -> None:
            self.fileno, self.recv, self.sendall = inner.fileno, inner.recv, inner.sendall
            self.close = inner.close

    here, there = socket.socketpair()

    answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        stream = there.makefile("rb")
        while header := stream.read(FRAME.size):
            answers.put(header + stream.read(FRAME.unpack(header)[1]))

    def answer() -> None:
        """Send each frame back, as an engine hands on what a process writes to its stdout."""
        while True:
            frame = answers.get()
            there.sendall(STREAM.pack(1, len(frame)) + frame)

    class Lane(Channel):
        def __init__(self) -> None:
            self.data = b""
            self.lost = asyncio.Event()

        def feed(self, data: bytes | memoryview) -> None:
            self.data += data

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"x" * (5 << 20))

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.set()

    for side in (read, answer):
        threading.Thread(target=side, daemon=True).start()
    relay = await Relay.attach(Encrypted(here))
    lanes = [Lane(), Lane()]
    for lane in lanes:
        relay.connect("door", lane)
    for _ in range(3000):
        if all(len(lane.data) > 5 << 20 for lane in lanes):
            break
        await asyncio.sleep(0.02)
    assert [lane.data for lane in lanes] == [b"door" + b"x" * (5 << 20)] * 2
    there.shutdown(socket.SHUT_RDWR)
    await asyncio.wait_for(asyncio.gather(*[lane.lost.wait() for lane in lanes]), 60)
