"""The response cache: the very same request is answered from it, and nothing else is."""

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest

from codeact.cli import main
from codeact.episode.effects import Completion, Usage
from codeact.episode.record import EpisodeRecord
from codeact.exceptions import ConfigError, ProviderFailure
from codeact.experiment.resources import Cache, Resources
from codeact.models import cache as response_cache
from codeact.models.base import EpisodeKey, ModelSettings, Prices, Request
from codeact.models.cache import CachedModel, ResponseStore
from codeact.models.openai.settings import OpenAISettings
from codeact.models.scripted import ScriptedModel
from codeact.recordings.run_folder import latest_records
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.serving import threaded

SETTINGS = OpenAISettings(kind="openai", name="m", base_url="http://127.0.0.1:1/v1")
ANSWER = Completion("yes", usage=Usage(9, 2, 4), seconds=3.0, retries=("HTTP 500",), cost=0.5)
PRICES = Prices(prompt=1.0, completion=2.0)


def request(**changes: Any) -> Request:
    first = Request(
        messages=({"role": "user", "content": "hello"},),
        stop=("\nTask:",),
        episode=EpisodeKey("t", "1"),
        turn=0,
        seed=7,
    )
    return msgspec.structs.replace(first, **changes)


class Counting:
    """A model that counts what it is asked."""

    def __init__(self, answer: Completion | Exception = ANSWER) -> None:
        self.asked = 0
        self._answer = answer

    def __call__(self, request: Request) -> Completion:
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def cached(
    script: Counting, store: ResponseStore, settings: ModelSettings = SETTINGS
) -> CachedModel:
    return CachedModel(ScriptedModel(script), settings, store)


async def is_hit(folder: Path, asked: Request, settings: ModelSettings = SETTINGS) -> bool:
    """Whether a fresh client finds an answer to a request that was not put by it."""
    script, store = Counting(), ResponseStore(folder)
    answer = await cached(script, store, settings).complete(asked)
    await store.close()
    assert answer.reused == (script.asked == 0)
    return answer.reused


async def keep(folder: Path, *asked: Request) -> None:
    store = ResponseStore(folder)
    model = cached(Counting(), store)
    for one in asked:
        await model.complete(one)
    await store.close()


# What is found again


async def test_a_hit_is_the_answer_of_then_and_free_now(tmp_path: Path) -> None:
    await keep(tmp_path, request())
    store = ResponseStore(tmp_path)
    priced = SETTINGS.model_copy(update={"prices": PRICES})
    answer = await cached(Counting(), store, priced).complete(request())
    unpriced = await cached(Counting(), store).complete(request())
    await store.close()
    assert (answer.text, answer.usage, answer.retries) == ("yes", ANSWER.usage, ())
    assert (answer.reused, answer.cost, unpriced.cost) == (True, 0.0, None)
    assert answer.seconds < ANSWER.seconds


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": ({"role": "user", "content": "hello!"},)},
        {"messages": ({"role": "system", "content": "hello"},)},
        {"stop": ()},
        {"seed": 8},
        {"seed": None},
        {"turn": 1},
        {"role": "feedback"},
        {"episode": EpisodeKey("t", "1", sample=1)},
        {"episode": EpisodeKey("t", "2")},
        {"episode": EpisodeKey("u", "1")},
    ],
    ids=str,
)
async def test_any_other_request_misses(tmp_path: Path, changes: dict[str, Any]) -> None:
    await keep(tmp_path, request())
    assert not await is_hit(tmp_path, request(**changes))
    assert await is_hit(tmp_path, request())


@pytest.mark.parametrize(
    ("changes", "hits"),
    [
        ({"name": "other"}, False),
        ({"api": "completion"}, False),
        ({"overflow": "shrink"}, False),
        ({"sampling": {"temperature": 0.1}}, False),
        ({"sampling": {"max_tokens": 1}}, False),
        ({"sampling": {"extra": {"top_k": 1}}}, False),
        ({"base_url": "http://elsewhere/v1", "concurrency": 3, "max_retries": 1}, True),
        ({"prices": {"prompt": 1.0, "completion": 1.0}}, True),
    ],
    ids=str,
)
async def test_settings_count_where_they_decide_the_answer(
    tmp_path: Path, changes: dict[str, Any], hits: bool
) -> None:
    await keep(tmp_path, request())
    settings = OpenAISettings.model_validate({**SETTINGS.model_dump(), **changes})
    assert await is_hit(tmp_path, request(), settings) is hits


# What serves

VLLM = {"id": "m", "object": "model", "created": 1, "owned_by": "vllm", "root": "/models/a"}
VLLM |= {"parent": None, "max_model_len": 4096, "permission": [{"id": "modelperm-1", "created": 1}]}
LLAMA = {"id": "m", "created": 1, "owned_by": "llamacpp", "meta": {"n_params": 7, "size": 9}}


async def answered(folder: Path, listed: Any, **changes: Any) -> bool:
    """Whether a server on a port of its own, that lists these models, finds an answer kept."""
    async with FakeApi() as api, Resources() as resources:
        api.models = listed
        values = {**SETTINGS.model_dump(), "base_url": api.base_url, **changes}
        settings = OpenAISettings.model_validate(values)
        client = await resources.client(settings, [], cache=Cache(str(folder), settings))
        return (await client.complete(request())).reused


@pytest.mark.parametrize("entry", [VLLM, LLAMA], ids=["vllm", "llama.cpp"])
async def test_a_server_that_starts_again_elsewhere_is_the_same(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    assert not await answered(tmp_path, [entry])
    again = {**entry, "created": 2, "permission": [{"id": "modelperm-2"}]}
    assert await answered(tmp_path, [{**VLLM, "id": "other"}, again])
    assert await answered(tmp_path, [entry], probe=False)


@pytest.mark.parametrize(
    "other",
    [
        {**VLLM, "root": "/models/b"},
        {**VLLM, "max_model_len": 8192},
        {**VLLM, "root": "/adapters/m", "parent": "base"},
        LLAMA,
        {**LLAMA, "meta": {"n_params": 8, "size": 9}},
        {"id": "m"},
    ],
    ids=["root", "length", "adapter", "llama.cpp", "another of it", "says nothing"],
)
async def test_two_checkpoints_of_one_name_share_nothing(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    assert not await answered(tmp_path, [VLLM])
    assert not await answered(tmp_path, [other])
    assert await answered(tmp_path, [VLLM])


async def test_where_a_server_only_names_the_model_its_address_counts(tmp_path: Path) -> None:
    async with FakeApi() as first, FakeApi() as second:
        found = []
        for url in (first.base_url, second.base_url, first.base_url):
            async with Resources() as resources:
                settings = SETTINGS.model_copy(update={"base_url": url})
                client = await resources.client(settings, [], cache=Cache(str(tmp_path), settings))
                found.append((await client.complete(request())).reused)
    assert found == [False, False, True]


async def test_a_revision_is_the_users_own_word(tmp_path: Path) -> None:
    assert not await answered(tmp_path, [VLLM], revision="2024-05-01")
    assert not await answered(tmp_path, [VLLM], revision="2024-06-01")
    assert not await answered(tmp_path, [VLLM])
    assert await answered(tmp_path, [VLLM], revision="2024-05-01")


def test_a_revision_that_is_not_given_changes_no_identity() -> None:
    assert "revision" not in SETTINGS.identity()
    assert SETTINGS.model_copy(update={"revision": "a"}).identity()["revision"] == "a"


async def test_replicas_that_say_the_same_are_one_and_others_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeApi() as second:
        second.models = [VLLM]
        assert not await answered(tmp_path, [VLLM])
        assert await answered(tmp_path, [VLLM], base_urls=[second.base_url])
        assert "different models" not in caplog.text
        second.models = [{**VLLM, "root": "/models/b"}]
        assert not await answered(tmp_path, [VLLM], base_urls=[second.base_url])
    assert "different models: ['/models/a', '/models/b']" in caplog.text


async def test_an_answer_is_found_before_it_is_written(tmp_path: Path) -> None:
    script, store = Counting(), ResponseStore(tmp_path)
    model = cached(script, store)
    await model.complete(request())
    assert (await model.complete(request())).reused
    await store.close()
    assert script.asked == 1


async def test_lone_surrogates_in_a_request_or_an_answer_do_no_harm(tmp_path: Path) -> None:
    broken = request(messages=({"role": "user", "content": "a\ud800"},))
    await keep(tmp_path, broken)
    assert await is_hit(tmp_path, broken)
    store = ResponseStore(tmp_path)
    answer = await cached(Counting(Completion("\ud800")), store).complete(request())
    await store.close()
    assert answer.text == "\ud800"


# What is not kept


async def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    script, store = Counting(ProviderFailure("down")), ResponseStore(tmp_path)
    for _ in range(2):
        with pytest.raises(ProviderFailure):
            await cached(script, store).complete(request())
    await store.close()
    assert script.asked == 2


@pytest.mark.parametrize(
    "value", [b'{"text": "ye', b"", b"\xff\x00", b"[]", b"{}", b'{"text": 3}'], ids=repr
)
async def test_a_torn_or_foreign_value_counts_as_absent(tmp_path: Path, value: bytes) -> None:
    await keep(tmp_path, request())
    with lmdb.open(str(tmp_path)) as environment, environment.begin(write=True) as transaction:
        ((key, _),) = list(transaction.cursor())
        transaction.put(key, value)
    assert not await is_hit(tmp_path, request())
    assert await is_hit(tmp_path, request())  # the miss has put it right


# The folder


async def test_a_full_map_grows(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path, map_size=2**16)
    model = cached(Counting(Completion("x" * 10_000)), store)
    await asyncio.gather(*(model.complete(request(turn=turn)) for turn in range(100)))
    await store.close()
    assert all([await is_hit(tmp_path, request(turn=turn)) for turn in range(0, 100, 7)])


_WRITER = """
import asyncio, sys
from pathlib import Path
from tests.models.test_cache import *

async def write(folder, first):
    store = ResponseStore(folder, map_size=2**17)
    model = cached(Counting(Completion("x" * 5000)), store)
    for turn in range(first, first + 60):
        await model.complete(request(turn=turn))
        await asyncio.sleep(0.001)
    await store.close()

asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
"""


def test_several_processes_write_and_grow_one_cache(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), str(first)])
        for first in (0, 60, 120)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    script = Counting()

    async def read() -> None:
        store = ResponseStore(tmp_path)
        for turn in range(180):
            await cached(script, store).complete(request(turn=turn))
        await store.close()

    asyncio.run(read())
    assert script.asked == 0


async def test_a_cache_that_another_process_has_grown_is_still_read(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path, map_size=2**17)
    grown = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _WRITER, str(tmp_path), "0"], check=True
    )
    assert grown.returncode == 0
    script = Counting()
    await cached(script, store).complete(request(turn=59))
    await cached(script, store).complete(request(turn=60))
    await store.close()
    assert script.asked == 1
    assert await is_hit(tmp_path, request(turn=60))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_costs_the_cache_and_not_the_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fill() -> None:
        store = ResponseStore(tmp_path / "cache")
        model = cached(Counting(Completion("x" * 100_000)), store)
        for turn in range(6):
            assert len((await model.complete(request(turn=turn))).text) == 100_000
            await asyncio.sleep(0.05)
        await store.close()

    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let a test mount a file system")
    try:
        with caplog.at_level(logging.WARNING):
            asyncio.run(fill())
        assert caplog.text.count("cannot be written, so new answers are not kept") == 1
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.parametrize("content", [b"no database" * 1000, None], ids=["foreign", "a file"])
def test_a_folder_that_is_no_cache_is_refused(tmp_path: Path, content: bytes | None) -> None:
    folder = tmp_path / "cache"
    if content is None:
        folder.write_bytes(b"")
    else:
        folder.mkdir()
        (folder / "data.mdb").write_bytes(content)
    with pytest.raises(ConfigError, match=r"cache=.*Give a folder"):
        ResponseStore(folder)


async def test_policy_and_feedback_share_one_folder(tmp_path: Path) -> None:
    keys = [EpisodeKey("t", "1")]
    other = SETTINGS.model_copy(update={"name": "critic"})
    async with FakeApi() as api, Resources() as resources:
        api.models = ("m", "critic")
        found = []
        for settings in (SETTINGS, other):
            here = settings.model_copy(update={"base_url": api.base_url})
            cache = Cache(str(tmp_path), settings)
            client = await resources.client(here, keys, cache=cache)
            found += [await client.complete(request()) for _ in range(2)]
        assert api.count == 2
    assert [answer.reused for answer in found] == [False, True, False, True]


# A run


def play(api: FakeApi, folder: Path, *words: str) -> list[EpisodeRecord]:
    command = ["run", "model=server", "model.name=m", f"model.base_url={api.base_url}"]
    command += ["task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"]
    command += ["executor.preload=[]", "executor.warm=1"]
    command += ["turns=max2_p2", "model.prices={prompt: 1.0, completion: 2.0, cached: 0.5}"]
    assert main([*command, f"run_dir={folder}", *words]) == 0
    return sorted(latest_records(folder), key=lambda record: record.id)


def reply(seen: Seen, number: int) -> Reply:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 60},
    }
    first = len(seen.body["messages"]) == 1
    text = "<execute> print(6 * 7) </execute>" if first else f"<solution> {number} </solution>"
    return Reply(text=text, usage=usage)


@pytest.mark.usefixtures("local_sandbox")
def test_the_same_run_again_asks_for_nothing_and_costs_nothing(tmp_path: Path) -> None:
    cache = f"cache={tmp_path / 'cache'}"
    with threaded(FakeApi(reply)) as api:
        first = play(api, tmp_path / "first", "limit=4", cache)
        asked = api.count
        again = play(api, tmp_path / "again", "limit=4", cache)
        assert asked == 8
        assert api.count == asked
        play(api, tmp_path / "warmer", "limit=1", cache, "model.sampling.temperature=0.5")
        assert api.count == asked + 2
        play(api, tmp_path / "more", "limit=1", cache, "samples=2")
        assert api.count == asked + 4
    assert [one.messages for one in again] == [one.messages for one in first]
    assert [one.outcome for one in again] == [one.outcome for one in first]
    assert [one.usage for one in again] == [one.usage for one in first]
    assert [one.cost for one in again] == [0.0] * 4
    # 40 fresh and 60 cached prompt tokens, 10 of the answer; twice.
    assert [one.cost for one in first] == pytest.approx([2 * (40 + 30 + 20) / 1e6] * 4)
    assert all(turn.reused == 1 for one in again for turn in one.turns)


def test_the_library_is_not_imported_where_nothing_is_kept() -> None:
    program = f"import sys, {response_cache.__name__}; print('lmdb' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"
