"""What a session cannot hold, have or read: kernel memory, capabilities, the graders' programs."""

import asyncio
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from codeact.processes import pid_namespace
from codeact.sandboxes.bubblewrap import find_bubblewrap
from codeact.sandboxes.control_group import GroupLimits, left_groups, make_group
from codeact.sandboxes.docker.executor import DockerSandbox
from codeact.sandboxes.sandbox import GuestSandbox
from codeact.sandboxes.sweep import sweep_groups
from tests.conftest import engine_where_named
from tests.helpers.sandboxes import started

in_one_loop = pytest.mark.asyncio(loop_scope="module")
WAYS: dict[str, dict[str, Any]] = {"local": {}, "docker": {}, "docker-exec": {"transport": "exec"}}
FILL = """
import array, os, socket, time
kept = []
def fill(one):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    one.setblocking(False)
    try:
        while True: one.send(bytes(65536))
    except BlockingIOError: pass
"""
# Each would hold some 1,500 MB.
FLOODS = {
    "pairs, in many processes": FILL
    + """
for _ in range(8):
    if os.fork() == 0:
        try:
            while True:
                kept.append(socket.socketpair())
                fill(kept[-1][0])
        except OSError: time.sleep(60)
        os._exit(0)
time.sleep(60)
""",
    "what nobody has accepted, from senders that are closed": FILL
    + """
door = socket.socket(socket.AF_UNIX)
door.bind('door')
door.listen(4096)
for _ in range(4000):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect('door')
        fill(one)
time.sleep(60)
""",
    "senders that are closed": FILL
    + """
for _ in range(16):
    if os.fork() == 0:
        try:
            while True:
                one, other = socket.socketpair()
                fill(one)
                one.close()
                kept.append(other)
        except OSError: time.sleep(60)
        os._exit(0)
time.sleep(60)
""",
    "on their way from one socket to another": FILL
    + """
for _ in range(16):
    if os.fork() == 0:
        try:
            while True:
                way = socket.socketpair()
                way[0].setblocking(False)
                kept.append(way)
                for _ in range(200):
                    one, other = socket.socketpair()
                    fill(one)
                    both = array.array('i', [one.fileno(), other.fileno()])
                    try: way[0].sendmsg([b'x'], [(1, socket.SCM_RIGHTS, both)])
                    except OSError: kept += [one, other]
        except OSError: time.sleep(60)
        os._exit(0)
time.sleep(60)
""",
    "over the loopback device": FILL
    + """
door = socket.create_server(('127.0.0.1', 0), backlog=500)
for _ in range(400):
    one = socket.create_connection(door.getsockname())
    kept += [one, door.accept()[0]]
    fill(one)
time.sleep(60)
""",
}
# What a well-behaved program does with sockets and files goes on as ever.
USUAL = """
import asyncio, shutil, socket, subprocess
async def talk():
    async def answer(_, writer):
        writer.write(b'hi')
        writer.close()
    heard = []
    server = await asyncio.start_unix_server(answer, 'here')
    reader, _ = await asyncio.open_unix_connection('here')
    heard.append(await reader.read())
    server = await asyncio.start_server(answer, '127.0.0.1', 0)
    reader, _ = await asyncio.open_connection(*server.sockets[0].getsockname())
    heard.append(await reader.read())
    return heard
open('a', 'w').write('x' * 100000)
shutil.copyfile('a', 'b')
one, other = socket.socketpair()
one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
asyncio.run(talk()), len(open('b').read()), subprocess.check_output(['cat', 'b'])[:2]
"""
REFUSED = """
import ctypes, socket
refused = []
def attempt(name, call):
    try: call()
    except OSError as error: refused.append(name)
attempt('datagrams', lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
attempt('packets', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
attempt('raw', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_RAW))
attempt('icmp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1))
attempt('mptcp', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))
attempt('netlink', lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
attempt('zerocopy', lambda: socket.socket().setsockopt(1, 60, 1))
size = socket.socket()
before = size.getsockopt(1, 7)
size.setsockopt(1, 7, 8 << 20)
refused, size.getsockopt(1, 7) == before
"""
LOOK = """
import os
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
capabilities = {status[name].strip() for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')}
words = open('/proc/1/cmdline').read().split('\\0')
try: environment = open('/proc/1/environ').read()
except OSError: environment = ''
RESULT = [sorted(capabilities), words, environment, os.listdir('/proc/self/fd')]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WAYS)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[GuestSandbox]:
    if request.param != "local":
        request.getfixturevalue("docker_engine")
    kind = request.param.partition("-")[0]
    running = await started(kind, preload=(), slots=4, cell_seconds=30.0, **WAYS[request.param])
    yield running
    await running.close()


@in_one_loop
@pytest.mark.parametrize("flood", FLOODS)
async def test_sockets_hold_no_more_than_the_limit(sandbox: GuestSandbox, flood: str) -> None:
    if sandbox.settings.kind == "docker" and flood not in list(FLOODS)[:2]:
        pytest.skip("how it is counted does not depend on the executor")
    async with await sandbox.session() as neighbour, await sandbox.session() as session:
        await neighbour.execute("kept = 1")
        done = await session.execute(FLOODS[flood], seconds=25)
        assert (done.status, done.state_lost) == ("oom", True), done.output
        assert (await neighbour.execute("kept")).output == "Out[2]: 1\n"
        assert (await session.execute("1")).output == "Out[1]: 1\n"


@in_one_loop
async def test_usual_programs_go_on_and_odd_sockets_are_refused(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        usual = await session.execute(USUAL)
        assert usual.output == "Out[1]: ([b'hi', b'hi'], 100000, b'xx')\n"
        kinds = ["datagrams", "packets", "raw", "icmp", "mptcp", "netlink", "zerocopy"]
        assert (await session.execute(REFUSED)).output == f"Out[2]: ({kinds}, True)\n"


@in_one_loop
async def test_no_capabilities_and_nothing_to_read_of_the_server(sandbox: GuestSandbox) -> None:
    async with await sandbox.session() as session:
        seen = (await session.evaluate(LOOK, seconds=20)).value
        capabilities, words, environment, descriptors = seen
        assert capabilities == ["0" * 16]
        assert len(words) == 5, words
        assert environment == ""
        # Its three streams, the folder it is reading, and its connection.
        assert len(descriptors) == 5, descriptors
        assert not (await session.evaluate("open('/run/codeact/options')", seconds=5)).ok
    if isinstance(sandbox, DockerSandbox):
        container = sandbox._server._process._container  # type: ignore[union-attr]
        assert "def " not in json.dumps(container.attrs)
        assert "modules" not in json.dumps(container.attrs)


# ---------------------------------------------------------------------------- control groups


async def test_each_is_charged_for_its_own_memory_however_many_came_before() -> None:
    # The server takes more than a session may have, and other pages once it has forked 16 times.
    sandbox = await started("local", memory_mb=96, preload=("numpy", "sympy", "pandas"))
    hold = "import time\nkept = bytearray(b'x') * (80 << 20)\ntime.sleep(0.4)\nlen(kept) >> 20"
    four = f"import os\nkept = None\nos.fork()\nos.fork()\n{hold}\ntime.sleep(20)"
    try:
        async with await sandbox.session() as first:
            for _ in range(18):
                async with await sandbox.session() as one:
                    await one.execute("1")
            async with await sandbox.session() as last:
                results = await asyncio.gather(first.execute(hold), last.execute(hold))
                assert [result.output for result in results] == ["Out[1]: 80\n"] * 2
                assert (await last.execute(four, seconds=20)).status == "oom"
            assert (await first.execute("len(kept) >> 20")).output == "Out[2]: 80\n"
    finally:
        await sandbox.close()


async def test_the_local_server_lives_in_a_group_with_limits() -> None:
    """Sessions within their own limits that together exceed the server's; then it is gone."""
    running = await started(
        "local", preload=(), slots=6, memory_mb=400, end_seconds=5.0, server_memory_mb=700
    )
    try:
        group = running._server.group  # type: ignore[union-attr]
        if group is None or not group.folders:
            pytest.skip("no control group of ours can be had here")
        folder = Path(group.folders[0])
        name = {"v1": "memory.limit_in_bytes", "v2": "memory.max"}[group.kind]
        assert (await asyncio.to_thread((folder / name).read_text)).strip() == str(700 << 20)
        assert "700 MB" in running.bound
        greedy = "data = bytearray(300 << 20)\nimport time; time.sleep(2)"

        async def one() -> str:
            async with await running.session() as session:
                return (await session.execute(greedy, seconds=20)).status

        statuses = await asyncio.gather(*[one() for _ in range(4)])
        assert "oom" in statuses, statuses
        assert set(statuses) <= {"ok", "oom", "error", "killed"}, statuses
        assert await one() == "ok"
    finally:
        await running.close()
    assert not await asyncio.to_thread(folder.exists)


def test_a_group_of_a_dead_owner_is_swept_with_what_is_in_it() -> None:
    program = (
        "import os, subprocess\n"
        "from codeact.sandboxes.control_group import GroupLimits, make_group\n"
        "group = make_group(GroupLimits(1 << 28, 100))\n"
        "if group is not None and group.folders:\n"
        "    command = group.command(['sleep', '1000'], dict(os.environ))\n"
        "    nothing = subprocess.DEVNULL\n"
        "    sleep = subprocess.Popen(command, stdout=nothing, stderr=nothing)\n"
        "    print(sleep.pid, *group.folders)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    if not done.stdout:
        pytest.skip("no control group of ours can be had here")
    pid, *folders = done.stdout.split()
    mine = make_group(GroupLimits(1 << 28, 100))
    assert mine is not None
    try:
        assert set(folders) <= set(left_groups())
        assert not set(mine.folders) & set(left_groups())
        swept = sweep_groups()
        assert set(folders) <= {leftover.name for leftover in swept}
        assert not any(leftover.problem for leftover in swept if leftover.name in folders)
        assert not any(Path(folder).exists() for folder in folders)
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
    finally:
        asyncio.run(mine.remove())
    assert not any(Path(folder).exists() for folder in mine.folders)


def second_version(root: Path, own: str, **files: str) -> dict[str, str]:
    """Lay out what a kernel with version 2 alone shows, with these files; return where it is."""
    for name, text in files.items():
        path = root / "fs" / name.replace("__", "/").replace("_", ".", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "fs" / own.strip("/")).mkdir(parents=True, exist_ok=True)
    point = str(root / "fs").replace(" ", "\\040")
    (root / "mounts").write_text(
        f"30 23 0:26 / {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    (root / "own").write_text(f"0::{own}\n")
    return {"mountinfo": str(root / "mounts"), "own": str(root / "own")}


def test_version_2_takes_the_nearest_group_that_hands_memory_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's part is played by plain files: it makes a new group's, and lets us in."""
    root = tmp_path / "with a space"
    where = second_version(
        root,
        "/user.slice/app.slice/run.scope",
        cgroup_subtree_control="cpu memory pids",
    )
    (root / "fs/user.slice/app.slice/cgroup.subtree_control").write_text("memory pids\n")
    (root / "fs/user.slice/app.slice/run.scope/cgroup.subtree_control").write_text("\n")
    (root / "fs/user.slice/app.slice/run.scope/memory.max").write_text("1000000\n")
    made = Path.mkdir

    def mkdir(self: Path, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        for name in ("memory.max", "memory.swap.max", "pids.max", "cgroup.procs"):
            (self / name).write_text("")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    group = make_group(GroupLimits(1 << 30, 99), **where)
    assert group is not None
    assert group.kind == "v2"
    (folder,) = map(Path, group.folders)
    assert folder.parent == root / "fs/user.slice/app.slice"
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert texts == {
        "memory.max": "1000000",  # The limit that holds for us holds for it, too.
        "memory.swap.max": "0",
        "pids.max": "99",
        "cgroup.procs": "0\n",
    }
    assert group.oom_kills == f"{folder}/memory.events"
    assert list(left_groups(**where)) == []
    dead = folder.with_name(f"codeact-1.1.{pid_namespace()}.aaaa")
    made(dead)
    made(folder.with_name("codeact-1.1.12345.aaaa"))
    assert list(left_groups(**where)) == [str(dead)]


def test_systemd_makes_a_scope_where_no_folder_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd's part is played by a program that writes down what it is asked for."""
    where = second_version(tmp_path, "/x.scope", cgroup_subtree_control="")
    asked = tmp_path / "asked"
    stand_in = tmp_path / "systemd-run"
    stand_in.write_text(
        f'#!/bin/sh\necho "$XDG_RUNTIME_DIR $*" >>{asked}\n'
        'while [ "$1" != -- ]; do shift; done; shift\nexec "$@"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    group = make_group(GroupLimits(1 << 30, 99), **where)
    assert group is not None
    assert group.kind == "systemd"
    words = asked.read_text()
    assert words.startswith("/run/user/1000 --user --scope ")
    assert "MemoryMax=1073741824 --property MemorySwapMax=0 --property TasksMax=99 --" in words
    environment = group.environment({"PATH": os.environ["PATH"], "LANG": "C"})
    command = group.command(["env"], {"LANG": "C"})
    seen = subprocess.check_output(command, env=environment, text=True)
    assert seen == "LANG=C\n", "what systemd-run needs is not for cells"
    monkeypatch.setenv("PATH", "/nowhere")
    assert make_group(GroupLimits(1 << 30, 99), **where) is None


# ---------------------------------------------------------------------------- without root, paths

AS_NOBODY = """
set -e
case {base} in /root/*)
    # The interpreter is where only root may look.
    mkdir {folder}/python
    mount --bind {base} {folder}/python
    mount -t tmpfs -o mode=755 tmpfs /root
    mkdir -p {base}
    mount --bind {folder}/python {base}
esac
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
"""
WITHOUT_ROOT = """
import asyncio, json, sys
from tests.helpers.sandboxes import settings
from tests.sandboxes.test_bounds import FLOODS, LOOK
from codeact.sandboxes.start import start_sandbox
async def main():
    sandbox = await start_sandbox(settings("local", preload=(), slots=4, cell_seconds=30.0))
    async with await sandbox.session() as one, await sandbox.session() as other:
        seen = [(await one.evaluate(LOOK, seconds=20)).value[:3]]
        for flood in list(FLOODS)[:3]:
            seen.append((await one.execute(FLOODS[flood], seconds=25)).status)
        seen.append((await other.execute("1 + 1")).output)
    await sandbox.close()
    print(json.dumps(seen))
print("ready", flush=True)
asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
async def test_without_root_sessions_are_bounded_too() -> None:
    """Each session has namespaces of its own, and all have one uid."""
    if find_bubblewrap() is None or shutil.which("setpriv") is None:
        pytest.skip("bubblewrap or setpriv is not installed")
    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(Path(folder).chmod, 0o777)
        script = AS_NOBODY.format(base=sys.base_prefix, folder=folder)
        words = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", WITHOUT_ROOT]
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=root,
            env={**os.environ, "HOME": folder, "TMPDIR": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, errors = await process.communicate()
    if not out.startswith(b"ready") or b"ExecutorUnavailable" in errors:
        pytest.skip(f"nobody cannot run a sandbox here: {errors.decode()[-300:]}")
    (capabilities, words, environment), *statuses = json.loads(out.splitlines()[-1])
    assert capabilities == ["0" * 16]
    assert len(words) == 5, words
    assert environment == ""
    assert statuses == ["oom", "oom", "oom", "Out[1]: 2\n"]


@pytest.mark.parametrize("kind", ["local", "docker"])
async def test_paths_may_have_any_character(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The folder of the sockets and the Python's, as far as a virtual environment allows it."""
    engine_where_named(request)
    python = tmp_path / "a, (b) c=d" / "python"
    await asyncio.to_thread(make_python, python)
    with tempfile.TemporaryDirectory(prefix="h, (i) j=k:l ", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        running = await started(kind, preload=(), slots=2, python=str(python / "bin" / "python"))
        try:
            async with await running.session() as session:
                done = await session.execute("import sys; sys.prefix")
        finally:
            await running.close()
    assert done.output == f"Out[1]: {str(python)!r}\n"


def make_python(folder: Path) -> None:
    """Make a virtual environment with IPython in it."""
    venv.create(folder, symlinks=True)
    (library,) = folder.glob("lib/python*/site-packages")
    names, owed = set[str](), ["ipython"]
    while owed:
        name = owed.pop()
        if name in names:
            continue
        names.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # For another system, or an extra.
        for file in found.files or ():
            # Ray lists files of parts that it brings along and has not installed.
            if (
                file.suffix != ".pyc"
                and ".." not in file.parts
                and Path(str(file.locate())).exists()
            ):
                (library / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), library / file)
        owed += plain(found.requires or [])


def plain(requirements: list[str]) -> list[str]:
    """Return the names of requirements that are not of an extra."""
    names = []
    for requirement in requirements:
        if "extra ==" not in requirement:
            name = requirement.partition(";")[0]
            for sign in "[<>=!~ ":
                name = name.partition(sign)[0]
            names.append(name)
    return names
