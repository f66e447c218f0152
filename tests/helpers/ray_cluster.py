"""A Ray cluster on this machine for tests, and codeact runs on it."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from codeact.recordings.run_folder import EPISODES
from tests.helpers.commands import begin
from tests.helpers.ports import free_port

ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
NOTICES_THE_DEAD_SOON = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    # One that is killed refuses the check at once; one on a busy machine only answers late.
    "health_check_timeout_ms": 10000,
    "health_check_failure_threshold": 3,
}


Made = TypeVar("Made")


def patiently(start: Callable[[], Made], tries: int = 3) -> Made:
    """Start a Ray, again where it gave up: beside other tests its processes may take 30 s."""
    for _ in range(tries - 1):
        with suppress(Exception):
            return start()
    return start()


@contextmanager
def cluster() -> Iterator[Any]:
    """A head that takes jobs and no workers, and one node for workers."""
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster

    # Where Ray notes the last cluster that was started here; it fails where the folder is missing.
    Path("/tmp/ray").mkdir(exist_ok=True)
    # Paths of sockets are short, so Ray's folder is not beneath pytest's.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    arguments = {
        "num_cpus": 0,
        "object_store_memory": 1 << 27,
        "include_dashboard": True,
        "dashboard_port": 0,
        "_system_config": NOTICES_THE_DEAD_SOON,
        "temp_dir": folder,
    }
    # The usual port may be taken by another Ray, and jobs are for the agent behind it.
    made = patiently(
        lambda: Cluster(
            initialize_head=True,
            head_node_args={**arguments, "dashboard_agent_listen_port": free_port()},
        )
    )
    # As `ray start` does it: without this file a job may join any other Ray of this machine.
    Path(folder, "ray_current_cluster").write_text(made.address)
    try:
        add_node(made)
        yield made
    finally:
        made.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def add_node(made: Any, **options: Any) -> Any:
    return patiently(lambda: made.add_node(num_cpus=4, object_store_memory=1 << 27, **options))


def worker_pids(node: Any) -> list[int]:
    """The processes of codeact's workers on a node."""
    (raylet,) = node.all_processes["raylet"]
    found = []
    for process in psutil.Process(raylet.process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::EpisodeWorker"):
                found.append(process.pid)
    return found


class Driver:
    """``codeact run`` on a cluster, as a process of its own."""

    def __init__(self, made: Any, folder: Path, *words: str) -> None:
        self.folder = folder
        self._out, self._err = folder.with_suffix(".out"), folder.with_suffix(".err")
        command = ["run", *words, f"run_dir={folder}", "progress_seconds=1", "tracker=none"]
        command += ["compute=ray", f"compute.address={made.address}"]
        self.process = begin(*command, out=self._out, err=self._err)

    def finish(self, seconds: float = 240) -> int:
        """Wait for the end; the exit status."""
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()

    def until_played(self, count: int) -> None:
        self.until(lambda: self.played() >= count)

    def until(self, holds: Callable[[], bool], seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            said = f"{self.played()} episodes played; stderr: {self.stderr}"
            assert self.process.poll() is None, f"ended ({self.process.returncode}); {said}"
            assert time.monotonic() < deadline, f"not in {seconds:.0f} s; {said}"
            time.sleep(0.05)

    def played(self) -> int:
        """Episodes written so far."""
        file = self.folder / EPISODES
        return file.read_bytes().count(b"\n") if file.exists() else 0

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()
