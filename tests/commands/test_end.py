"""When a command has ended, nothing that it started is left."""

import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.helpers.commands import launch


@pytest.mark.parametrize("tracker", ["none", "wandb"])
def test_no_process_of_a_run_outlives_it(tmp_path: Path, tracker: str) -> None:
    command = launch(
        *("run", "task=gsm8k", "data=pkg://codeact.sample/tasks", "limit=1"),
        *("executor.preload=[]", "executor.warm=1"),
        *(f"tracker={tracker}", f"run_dir={tmp_path / 'run'}"),
        env={**os.environ, "WANDB_MODE": "offline"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    seen: set[psutil.Process] = set()
    names: set[str] = set()
    while not os.waitid(os.P_PID, command.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        # Each time again: between fork and exec a process has its parent's words.
        for process in _descendants(command.pid):
            seen.add(process)
            names |= _words(process)
        time.sleep(0.01)
    left = [process for process in seen if process.is_running()]
    assert command.wait() == 0, command.stderr and command.stderr.read()
    assert left == []
    with pytest.raises(ProcessLookupError):
        os.killpg(command.pid, 0)
    assert any(name.endswith("janitor.py") for name in names), "no janitor was seen to run"
    assert any("bwrap" in name for name in names), "no sandbox was seen to run"
    if tracker == "wandb":
        assert any(name.endswith("wandb-core") for name in names), "no W&B was seen to run"


def _descendants(pid: int) -> set[psutil.Process]:
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def _words(process: psutil.Process) -> set[str]:
    try:
        return set(process.cmdline())
    except psutil.Error:
        return set()
