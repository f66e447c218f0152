#!/usr/bin/env python3
"""``make demo-live``: a real small model on the CPU plays the sample suite.

Fetches and converts the model once (launchers/small_model.py; about 10 GB in FOLDER), serves it on
loopback, plays the suite against it and stops the server. On two processors the first run takes
some ten minutes of set-up and half an hour of play; what was finished before an interruption is
not played again.
"""

import argparse
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SMALL_MODEL = Path(__file__).with_name("small_model.py")
NAME = "qwen2.5-coder-1.5b-instruct"
START_SECONDS = 600


@contextmanager
def server(folder: Path, weights: str, port: int) -> Iterator[str]:
    """Serve the model while the context is open; gives its base URL."""
    log = folder / "serve.log"
    words = ["serve", str(folder), "--weights", weights, "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(SMALL_MODEL), *words], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until_healthy(process, port, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait for the server, saying how long it has been; its log tells why when it dies."""
    start = time.monotonic()
    while time.monotonic() - start < START_SECONDS:
        if process.poll() is not None:
            sys.exit(f"the server ended with status {process.returncode}; see {log}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                print(f"the server is ready after {time.monotonic() - start:.0f} s", flush=True)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(2)
    sys.exit(f"the server was not ready in {START_SECONDS} s; see {log}")


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16; without, 8-bit weights are quicker."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def main() -> int:
    """Set up, serve, play; the exit status of ``codeact run``."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "codeact-small-model"
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    parser.add_argument("--port", type=int, default=8901)
    parser.add_argument("--run-dir", default="runs/demo-live")
    chosen = parser.parse_args()
    weights = "bf16" if has_bfloat16() else "int8"
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for words in (["fetch"], ["convert", "--weights", weights]):
        command = [sys.executable, str(SMALL_MODEL), words[0], str(chosen.folder), *words[1:]]
        if status := subprocess.run(command, check=False).returncode:
            return status
    with server(chosen.folder, weights, chosen.port) as base_url:
        codeact = Path(sys.executable).with_name("codeact")
        run = [
            str(codeact),
            "run",
            "model=server",
            f"model.name={NAME}",
            f"model.base_url={base_url}",
            "model.sampling.max_tokens=400",
            "task=sample",
            "compute.concurrency=8",
            f"run_dir={chosen.run_dir}",
        ]
        return subprocess.run(run, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
