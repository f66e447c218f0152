"""Runs with `model=vllm` for tests, on a server program that only looks like vLLM's."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

FAKE = Path(__file__).parent / "fake_vllm"


class Play:
    """A run of sample tasks on fake servers, and what those saw."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"

    def words(self, *given: str, servers: int = 1, **env: str) -> list[str]:
        variables = {"PYTHONPATH": str(FAKE), "FAKE_VLLM_FOLDER": str(self.folder), **env}
        quoted = ", ".join(f"{name}: '{value}'" for name, value in variables.items())
        return [
            "run",
            *("model=vllm", "model.model=nothing", "model.name=tiny", "model.gpus=0"),
            *(f"model.servers={servers}", f"+model.env={{{quoted}}}"),
            *(f"model.log_dir={self.folder}", "task=gsm8k", "tracker=none"),
            "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl",
            *("executor.preload=[]", "executor.warm=1"),
            f"run_dir={self.run_dir}",
            *given,
        ]

    @property
    def seen(self) -> list[dict[str, Any]]:
        file = self.folder / "seen.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def starts(self) -> list[dict[str, Any]]:
        return [line for line in self.seen if "started" in line]

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [line for line in self.seen if "first" in line]

    @property
    def left(self) -> list[int]:
        """Processes of servers, and of what they started, that are still there."""
        pids = [line[key] for line in self.starts for key in ("pid", "child") if line[key]]
        return [pid for pid in pids if is_alive(pid)]

    def after(self, requests: int, act: Callable[[], None]) -> threading.Thread:
        """Do something once so many requests have been made."""

        def wait() -> None:
            if wait_for(lambda: len(self.asked) >= requests):
                act()

        thread = threading.Thread(target=wait)
        thread.start()
        return thread


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()
