"""Test every promise of the sandbox on this machine."""

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import msgspec

from codeact.exceptions import SandboxFailure
from codeact.sandboxes.base import Sandbox, Session
from codeact.sandboxes.sandbox import GuestSandbox
from codeact.sandboxes.session import GuestSession
from codeact.sandboxes.settings import AnyExecutorSettings
from codeact.sandboxes.start import start_sandbox

_LIMITS = {
    "cell_seconds": 1.0,
    "grace_seconds": 1.5,
    "memory_mb": 256,
    "processes": 32,
    "disk_mb": 32,
    "slots": 8,
}
SHORT_WAY = "plain cells take the short way"
PromiseCheck = Callable[[Sandbox, Session], Awaitable[tuple[bool, str]]]


class Promise(msgspec.Struct, frozen=True):
    """One row: the promise, whether it held on this machine, and what was observed."""

    promise: str
    held: bool
    seen: str
    seconds: float


async def check_sandbox(
    settings: AnyExecutorSettings, *, only: Collection[str] = ()
) -> list[Promise]:
    """Try every promise, or only those named, with small limits.

    Raises ExecutorUnavailable if nothing can start.
    """
    sandbox = await start_sandbox(settings.model_copy(update=_LIMITS))
    rows = []
    try:
        for promise, attempt in _PROMISES.items():
            if only and promise not in only:
                continue
            began = time.monotonic()
            try:
                async with await sandbox.session(tools={"double": _double}) as session:
                    held, seen = await attempt(sandbox, session)
            except SandboxFailure as failure:
                held, seen = False, f"the sandbox failed: {failure}"
            rows.append(Promise(promise, held, seen, time.monotonic() - began))
    finally:
        await sandbox.close()
    return rows


async def _double(value: Any) -> Any:
    return value * 2


def _cell(
    code: str,
    *,
    status: str = "ok",
    holds: str = "",
    lost: bool = False,
    seconds: float = 20.0,
) -> PromiseCheck:
    """Make a trial of one cell: what status it has, and what its output holds."""

    async def attempt(sandbox: Sandbox, session: Session) -> tuple[bool, str]:
        done = await session.execute(code, seconds=seconds)
        held = (done.status, done.state_lost) == (status, lost) and holds in done.output
        lines = done.output.strip().splitlines()
        return held, f"{done.status}: {lines[-1][:100]}" if lines else done.status

    return attempt


async def _state(sandbox: Sandbox, session: Session) -> tuple[bool, str]:
    await session.execute("kept = 1")
    await session.execute("while True: pass")
    done = await session.execute("kept")
    return done.output == "Out[3]: 1\n", done.output.strip()


async def _fresh(sandbox: Sandbox, session: Session) -> tuple[bool, str]:
    first = await session.execute("import os; os._exit(0)")
    done = await session.execute("1 + 1")
    return first.state_lost and done.output == "Out[1]: 2\n", first.output.strip()


async def _apart(sandbox: Sandbox, session: Session) -> tuple[bool, str]:
    """Try, from a second session, to reach the first one's files, memory and processes."""
    mine = await session.evaluate(
        "import os\nopen('private', 'w').write('x')\nRESULT = [os.getpid(), os.getcwd()]", seconds=5
    )
    if not mine.ok:
        return False, mine.error
    pid, folder = mine.value
    reach = (
        "import os\nreached = []\n"
        f"tries = dict(file=lambda: open({folder + '/private'!r}).read(),\n"
        f"    memory=lambda: open('/proc/{pid}/mem', 'rb').read(1),\n"
        f"    environment=lambda: open('/proc/{pid}/environ', 'rb').read(),\n"
        f"    signal=lambda: os.kill({pid}, 0), server=lambda: os.kill(1, 0))\n"
        "for name, reach in tries.items():\n"
        "    try: reach(); reached.append(name)\n    except OSError: pass\n"
        "RESULT = reached"
    )
    async with await sandbox.session() as other:
        reached = (await other.evaluate(reach, seconds=5)).value
    return reached == [], f"reached: {', '.join(reached)}" if reached else "nothing was reached"


async def _wiped(sandbox: Sandbox, session: Session) -> tuple[bool, str]:
    found: list[str] = []
    for _ in range(12):
        async with await sandbox.session() as other:
            look = "import os\nRESULT = os.listdir('.')\nopen('left', 'w').close()"
            found += (await other.evaluate(look, seconds=5)).value or []
    return found == [], f"found {found}" if found else "12 sessions, no file of another"


async def _sockets(sandbox: Sandbox, session: Session) -> tuple[bool, str]:
    """Fill sockets with much more than the memory limit: the session ends, or cannot do it.

    Another session must survive.
    """
    async with await sandbox.session() as neighbour:
        await neighbour.execute("kept = 1")
        began = time.monotonic()
        done = await session.execute(_SOCKETS, seconds=20)
        seen = f"{done.status} after {time.monotonic() - began:.1f} s"
        lives = (await neighbour.execute("kept")).output == "Out[2]: 1\n"
    held = done.output.strip()
    if done.status == "ok" and held.isdigit():
        seen += f", {held} MB held"
    few = done.status == "ok" and held.isdigit() and int(held) <= _LIMITS["memory_mb"]
    bound = f"; all sessions together: {sandbox.bound}" if isinstance(sandbox, GuestSandbox) else ""
    return (done.status == "oom" or few) and lives, seen + bound


async def _short_way(sandbox: Sandbox, session: Session) -> tuple[bool, str]:
    """Say who runs plain cells. Either way they show the same, so this holds in any case."""
    moved = session.moved_internal if isinstance(session, GuestSession) else ""
    if moved:
        return True, f"no: IPython's run_cell runs all cells, somewhat slower, since {moved} moved"
    return True, "yes: every internal of IPython that this needs is as expected"


async def _speed(sandbox: Sandbox, session: Session) -> tuple[bool, str]:
    began = time.perf_counter()
    other = await sandbox.session()
    ready = time.perf_counter()
    await other.execute("1 + 1")
    first = time.perf_counter()
    for _ in range(200):
        await other.execute("1 + 1")
    later = (time.perf_counter() - first) / 200
    await other.close()
    seen = (
        f"ready in {(ready - began) * 1e3:.1f} ms, first result {(first - ready) * 1e3:.1f} ms, "
        f"later cells {later * 1e3:.2f} ms"
    )
    return later < 0.1, seen


_ENVIRONMENT = (
    "import os\nallowed = {'PATH', 'HOME', 'TMPDIR', 'LANG', 'TZ', 'USER', 'LOGNAME', 'TERM'}\n"
    "allowed |= {'PWD', 'IPYTHONDIR', 'MPLCONFIGDIR', 'HOSTNAME', 'PYTHONHASHSEED', 'GPG_KEY'}\n"
    "sorted(n for n in os.environ if n not in allowed and not n.startswith(('PYTHON', 'OPENBLAS', "
    "'OMP_', 'MKL_', 'JE_ARROW_')))"
)
_ALARM = "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"
_SOCKETS = """
import os, socket, struct, time
here, there = os.pipe()
def fill():
    held, kept = 0, []
    try:
        while held < (300 << 20):
            one, other = socket.socketpair()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
            one.setblocking(False)
            kept += [one, other]
            try:
                while True: held += one.send(bytes(65536))
            except BlockingIOError: pass
    except OSError: pass
    os.write(there, struct.pack('q', held))
    time.sleep(60)
for _ in range(4):
    if os.fork() == 0:
        fill()
        os._exit(0)
print(sum(struct.unpack('q', os.read(here, 8))[0] for _ in range(4)) >> 20)
time.sleep(3)
"""
_CAPABILITIES = (
    "print(sorted({line.split()[1].strip('0') for line in open('/proc/self/status')"
    " if line.startswith('Cap')}))"
)
_COMMAND = (
    "len(open('/proc/1/cmdline').read()) < 500 and 'def ' not in open('/proc/1/cmdline').read()"
)
_HOARD = (
    "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n"
    "        x = bytearray(120 << 20); time.sleep(30)\ntime.sleep(30)"
)
_PROMISES: dict[str, PromiseCheck] = {
    "a cell is run as IPython runs it": _cell("x = 20\nx + 22", holds="Out[1]: 42\n"),
    "an error is IPython's own traceback": _cell(
        "1 / 0", status="error", holds="ZeroDivisionError: division by zero\n"
    ),
    "the soft time limit keeps the state": _state,
    "the hard time limit ends what ignores it": _cell(
        _ALARM,
        status="timeout",
        holds="variables, imports and files are lost.]",
        lost=True,
        seconds=0.5,
    ),
    "a lost interpreter is replaced, with a notice": _fresh,
    "one process cannot exceed the memory limit": _cell(
        "x = bytearray(1 << 30)", status="error", holds="MemoryError"
    ),
    "many processes cannot either": _cell(_HOARD, status="oom", holds="out of memory", lost=True),
    "kernel memory held in sockets is bounded": _sockets,
    "processes are limited": _cell(
        "import os, time\nfor _ in range(100):\n    if os.fork() == 0: time.sleep(30); os._exit(0)",
        status="error",
        holds="BlockingIOError",
    ),
    "disk is limited": _cell(
        "for i in range(100): open(f'f{i}', 'wb').write(bytes(1 << 20))",
        status="error",
        holds="No space left on device",
    ),
    "output is bounded": _cell("for _ in range(3000): print('x' * 999)"),
    "there is no network": _cell(
        "import socket; socket.create_connection(('192.0.2.1', 80), 0.5)",
        status="error",
        holds="OSError",
    ),
    "there is nothing on stdin": _cell("input()", status="error", holds="EOFError"),
    "the environment is ours alone": _cell(_ENVIRONMENT, holds="Out[1]: []\n"),
    "the system is read-only": _cell(
        "try: open('/usr/x', 'w')\nexcept OSError: print('refused')", holds="refused"
    ),
    "privileges cannot be had": _cell(
        "import os; os.setuid(0)", status="error", holds="PermissionError"
    ),
    "there are no capabilities, and none to gain": _cell(_CAPABILITIES, holds="['']\n"),
    "the server's command line tells nothing": _cell(_COMMAND, holds="Out[1]: True\n"),
    "sessions cannot reach each other": _apart,
    "a session's files do not outlive it": _wiped,
    "host tools are called back": _cell("double(21)", holds="Out[1]: 42\n"),
    SHORT_WAY: _short_way,
    "speed": _speed,
}
