"""The clock of graded code, which stands still while others have the processors.

A second counts when the code ran or slept, not when it was ready and the machine had no processor
for it: a verdict is the same on a busy machine. Where the kernel keeps no account of waiting, the
processor's time counts alone. The code may tamper with all this in its own process; it is then
ended by the kernel's limit on processor time, or by the host.
"""

import _thread
import math
import os
import resource
import signal
import time
from types import FrameType
from typing import Any

_GRACE_S = 2.0
"""How long code may go on after its TimeoutError."""
_LEAST_S = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


class ProcessorMeter:
    """Measures the seconds that a process had, from now on."""

    def __init__(self, pid: int | str = "self") -> None:
        self.pid = pid
        self.waited = _waited(pid)
        self.began = time.monotonic()

    def seconds(self) -> float:
        """Return how many seconds it ran or slept."""
        wall = time.monotonic() - self.began
        waited = _waited(self.pid)
        if waited is None or self.waited is None:
            return min(wall, _processor_time(self.pid))
        return wall - min(wall, max(0.0, waited - self.waited))


def _waited(pid: int | str) -> float | None:
    """Return for how many seconds the threads of a process were ready and did not run."""
    try:
        if pid == "self" and not _thread._count():
            return int(_read("/proc/self/schedstat").split()[1]) / 1e9
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
        accounts = [_read(f"/proc/{pid}/task/{task}/schedstat") for task in tasks]
        return sum(int(account.split()[1]) for account in accounts) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def _processor_time(pid: int | str) -> float:
    try:
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, ValueError, IndexError):
        return 0.0


def _read(path: str) -> bytes:
    """Read a small file: this is done several times a verdict, and pathlib is slow."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


class Clock:
    """A limit on the seconds of this process; it runs while it is entered, again and again."""

    def __init__(self, seconds: float) -> None:
        self.limit = seconds
        self.spent = 0.0
        self.late = False
        bound_processor_time(seconds)

    def __enter__(self) -> "Clock":
        self.meter = ProcessorMeter()
        self.usual: Any = signal.getsignal(signal.SIGALRM)
        signal.signal(signal.SIGALRM, self.ring)
        self._set(self.limit - self.spent)
        return self

    def __exit__(self, *_exc: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.usual)
        self.spent += self.meter.seconds()

    def ring(self, number: int, frame: FrameType | None) -> None:
        """Look whether the time is up; the session's own alarm marks the end as a time-out."""
        left = self.limit - self.spent - self.meter.seconds()
        if self.late and left < -_GRACE_S:
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGXCPU)
        if left > 0 or self.late:
            self._set(left + _GRACE_S if self.late else left)
            return
        self.late = True
        self._set(_GRACE_S)
        try:
            if callable(self.usual):
                self.usual(number, frame)
        except TimeoutError:
            pass
        raise TimeoutError(f"Timed out after {self.limit:g} seconds.")

    @staticmethod
    def _set(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, _LEAST_S))


def bound_processor_time(seconds: float) -> None:
    """Have the kernel end this process, and those that it starts, when they compute for longer."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    # The kernel counts whole seconds; the clock above comes first where it is left alone.
    bound = math.ceil(used.ru_utime + used.ru_stime + seconds + _GRACE_S)
    resource.setrlimit(resource.RLIMIT_CPU, (bound, bound + 1))


def run(source: str, seconds: float) -> list[Any]:
    """Run a program in a namespace of its own; return its seconds and its ``RESULT``."""
    clock = Clock(seconds)
    space: dict[str, Any] = {}
    with clock:
        exec(compile(source, "<string>", "exec"), space)  # noqa: S102
    return [clock.spent, space.get("RESULT")]
