"""CPU of the client per model request, against a server on loopback in its own process.

``python benchmarks/model_client.py [--requests 2000] [--concurrency 200]``

Compares codeact's clients of both APIs, with either transport, with the openai package by itself.
One client also runs with everything switched on: two addresses with affinity, limits a minute, a
response cache that is written. The package runs with its default transport, with its aiohttp
transport, and with the latter and without its parsing of answers. Every client runs in its own
process; what it imports is not counted.
"""

# ruff: noqa: D103 (a program, not a library)

import argparse
import asyncio
import contextlib
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop

# The size of a prompt in the middle of an episode, and the stop strings that go with it.
MESSAGES = (
    {"role": "user", "content": "instruction and example " * 250},
    {"role": "assistant", "content": "<execute>\nprint(6 * 7)\n</execute>\n" * 10},
    {"role": "user", "content": "Observation:\n42\nYou have 4 steps left.\n"},
)
STOP = ("\nObservation:", "\nExpert feedback:", "\nTask:", "\n---")
SAMPLING = {"temperature": 0.0, "max_tokens": 1024}
ROOT = Path(__file__).parents[1]
FAKE_API = "tests.helpers.fake_api"
FAKE_ANTHROPIC = "tests.helpers.fake_anthropic"

Ask = Callable[[], Awaitable[Any]]


@contextlib.asynccontextmanager
async def openai_sdk(
    base_url: str, concurrency: int, *, aio: bool, raw: bool
) -> AsyncIterator[Ask]:
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    transport = openai.DefaultAioHttpClient if aio else openai.DefaultAsyncHttpxClient
    client = openai.AsyncOpenAI(
        base_url=base_url, api_key="none", http_client=transport(limits=limits), max_retries=0
    )
    completions = client.chat.completions
    create: Any = completions.with_raw_response.create if raw else completions.create

    async def ask() -> Any:
        return await create(model="m", messages=list(MESSAGES), stop=list(STOP), **SAMPLING)

    async with client:
        yield ask


@contextlib.asynccontextmanager
async def ours(
    base_url: str,
    concurrency: int,
    *,
    transport: str,
    everything: bool = False,
    kind: str = "openai",
) -> AsyncIterator[Ask]:
    from codeact.models.base import EpisodeKey, ModelClient, Request
    from codeact.models.cache import CachedModel, ResponseStore
    from codeact.models.registry import parse_settings

    values = {"kind": kind, "name": "m", "base_url": base_url, "sampling": SAMPLING}
    values |= {"concurrency": concurrency, "transport": transport, "api_key_env": None}
    if everything:
        values["base_urls"] = [base_url.replace("127.0.0.1", "localhost")]
        values["prices"] = {"prompt": 1.0, "completion": 2.0}
        values |= {"requests_per_minute": 1_000_000, "tokens_per_minute": 10**10}
    settings = parse_settings(values)
    numbers = itertools.count()

    def request() -> Request:
        episode = EpisodeKey("t", str(next(numbers)))
        return Request(messages=MESSAGES, stop=STOP, episode=episode, turn=1)  # type: ignore[arg-type]

    async with contextlib.AsyncExitStack() as stack:
        client: ModelClient = settings.create()
        stack.push_async_callback(client.close)
        if everything:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            store = ResponseStore(Path(folder))
            stack.push_async_callback(store.close)
            client = CachedModel(client, settings, store)
        yield lambda: client.complete(request())


CLIENTS: dict[str, Callable[[str, int], contextlib.AbstractAsyncContextManager[Ask]]] = {
    "codeact, transport=lean": lambda u, c: ours(u, c, transport="lean"),
    "codeact, transport=sdk": lambda u, c: ours(u, c, transport="sdk"),
    "codeact, lean, with everything": lambda u, c: ours(u, c, transport="lean", everything=True),
    "codeact, Claude, lean": lambda u, c: ours(u, c, transport="lean", kind="anthropic"),
    "codeact, Claude, sdk": lambda u, c: ours(u, c, transport="sdk", kind="anthropic"),
    "openai, default transport": lambda u, c: openai_sdk(u, c, aio=False, raw=False),
    "openai, aiohttp transport": lambda u, c: openai_sdk(u, c, aio=True, raw=False),
    "openai, aiohttp, not parsed": lambda u, c: openai_sdk(u, c, aio=True, raw=True),
}


async def measure(name: str, base_url: str, requests: int, concurrency: int) -> dict[str, float]:
    async with CLIENTS[name](base_url, concurrency) as ask:
        await asyncio.gather(*(ask() for _ in range(concurrency)))  # opens the connections
        turns = iter(range(requests))

        async def worker() -> None:
            for _ in turns:
                await ask()

        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        return {
            "cpu_ms": (time.process_time() - cpu) / requests * 1000,
            "wall": time.perf_counter() - wall,
            "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def in_own_process(name: str, base_url: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", name, "--base-url", base_url]
    command += ["--requests", str(options.requests), "--concurrency", str(options.concurrency)]
    found: dict[str, float] = json.loads(subprocess.check_output(command, timeout=300))
    return found


@contextlib.contextmanager
def served(module: str, latency: float) -> Iterator[str]:
    """Run a server of the tests by itself; yields its address."""
    command = [sys.executable, "-m", module, "--latency", str(latency)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait(10)


def compare(options: argparse.Namespace) -> None:
    with (
        served(FAKE_API, options.latency) as api,
        served(FAKE_ANTHROPIC, options.latency) as claude,
    ):
        print(
            f"{options.requests} requests, {options.concurrency} at once, {options.latency} s each"
        )
        for name in CLIENTS:
            base_url = claude if "Claude" in name else api
            rounds = [in_own_process(name, base_url, options) for _ in range(options.rounds)]
            median = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
            print(
                f"{name:30} {median['cpu_ms']:6.2f} CPU-ms/request"
                f" {median['wall']:6.2f} s wall {median['mb']:5.0f} MB",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds the server takes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--base-url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        found = uvloop.run(
            measure(options.only, options.base_url, options.requests, options.concurrency)
        )
        print(json.dumps(found))
    else:
        compare(options)


if __name__ == "__main__":
    main()
