"""What the two transports have in common, and what only the openai package's could do wrong."""

import asyncio
import contextlib
import gzip
import socket
import subprocess
import sys
from base64 import b64decode

import pytest

from codeact.episode.messages import Message
from codeact.exceptions import ConfigError, ProviderFailure
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.client import OpenAIClient
from codeact.models.openai.settings import OpenAISettings
from codeact.models.remote import client as remote_client
from codeact.models.remote.settings import RemoteSettings
from tests.helpers.apis import Api
from tests.helpers.fake_api import FakeApi, Reply
from tests.helpers.transports import CHOSEN

TOOLS = {"tools": [{"type": "function", "function": {"name": "é"}}], "logit_bias": {"7": 1.5}}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 0.01)


def settings_of(base_url: str, **given: object) -> OpenAISettings:
    known = {"kind": "openai", "name": "m", "base_url": base_url, "max_retries": 0, **CHOSEN}
    return OpenAISettings.model_validate({**known, **given})


def request(number: int = 1) -> Request:
    messages: tuple[Message, ...] = ({"role": "user", "content": "1 < 2 \ud800 \u2028 é"},)
    return Request(messages, ("\nTask:",), EpisodeKey("t", str(number)), 0, seed=3)


async def ask(base_url: str, **given: object) -> str:
    return await asked(settings_of(base_url, **given))


async def ask_by(api: Api, base_url: str, **given: object) -> str:
    return await asked(api.settings(base_url, **{"max_retries": 0, **given}))


async def asked(settings: RemoteSettings) -> str:
    client = settings.create()
    try:
        return (await client.complete(request())).text
    finally:
        await client.close()


# One behaviour


@pytest.mark.parametrize("api", ["chat", "completion"])
async def test_either_transport_sends_the_same_bytes_to_the_same_address(api: str) -> None:
    async with FakeApi() as server:
        for transport in ("lean", "sdk"):
            sampling = {"extra": TOOLS, "top_p": 0.5}
            await ask(server.base_url, transport=transport, api=api, sampling=sampling)
        one, other = server.seen
    assert one.content == other.content
    assert one.path == other.path
    assert one.headers["Content-Type"] == other.headers["Content-Type"] == "application/json"


def test_a_transport_is_no_part_of_what_an_experiment_is() -> None:
    one, other = (settings_of("http://h/v1", transport=name) for name in ("lean", "sdk"))
    assert one.identity() == other.identity()
    assert "transport" not in one.identity()


@pytest.mark.usefixtures("each_transport")
async def test_fields_that_no_library_knows_reach_our_own_reader() -> None:
    """DeepSeek's name for cached tokens; the openai package has no such field."""
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 8}
    async with FakeApi([Reply(usage=usage)]) as server:
        client = OpenAIClient(settings_of(server.base_url))
        answer = await client.complete(Request((), (), EpisodeKey("t", "1"), 0))
        await client.close()
    assert answer.usage.cached == 8


BOMB = gzip.compress(b" " * 2**24)
OVERSIZED = {
    "an answer": Reply(text="x" * 2**20),
    "an error": Reply(status=400, text="x" * 2**20),
    "a page to wait for": Reply(status=503, text="x" * 2**20),
    "a bomb": Reply(body=BOMB, headers={"Content-Encoding": "gzip"}),
    "a bomb as an error": Reply(status=400, body=BOMB, headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("reply", OVERSIZED.values(), ids=OVERSIZED.keys())
async def test_no_more_is_read_of_an_answer_than_the_limit(
    each_api: Api, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codeact.models.remote.lean.MAX_BODY", 2**19)
    monkeypatch.setattr("codeact.models.remote.sdk.MAX_BODY", 2**19)
    async with each_api.server([reply]) as server:
        with pytest.raises(ProviderFailure, match="the answer is longer than 524288 bytes"):
            await ask_by(each_api, server.base_url)


async def test_a_compressed_answer_is_read(each_api: Api) -> None:
    body = gzip.compress(
        b'{"choices": [{"text": "small"}], "content": [{"type": "text", "text": "small"}]}'
    )
    packed = Reply(body=body, headers={"Content-Encoding": "gzip"})
    async with each_api.server([packed]) as server:
        assert await ask_by(each_api, server.base_url) == "small"


async def test_a_broken_compression_is_a_fault_of_the_server(each_api: Api) -> None:
    async with each_api.server(
        [Reply(body=b"no gzip", headers={"Content-Encoding": "gzip"})]
    ) as server:
        with pytest.raises(ProviderFailure, match="1 attempt"):
            await ask_by(each_api, server.base_url)


async def test_a_connection_that_closes_without_an_answer_is_a_fault_of_the_server(
    each_api: Api,
) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ProviderFailure, match="the last: ServerDisconnectedError"):
            await ask_by(each_api, f"http://127.0.0.1:{port}/v1")


async def test_a_server_that_takes_no_connection_is_left_after_the_time_to_connect(
    each_api: Api,
) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        # It accepts nothing, so what its queue has no room for waits.
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                caller = stack.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(address)
            with pytest.raises(ProviderFailure, match="the last: ConnectionTimeoutError"):
                await ask_by(
                    each_api, f"http://127.0.0.1:{address[1]}/v1", timeout={"connect": 0.2}
                )


async def test_what_is_no_http_is_a_fault_of_the_server(each_api: Api) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ProviderFailure, match=r"1 attempt .*the last: ClientResponseError"):
            await ask_by(each_api, f"http://127.0.0.1:{port}/v1")


async def test_a_redirect_takes_neither_key_nor_prompt_elsewhere(
    each_api: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_KEY", "top-secret")
    async with each_api.server() as elsewhere:
        moved = Reply(status=307, headers={"Location": f"{elsewhere.base_url}/chat/completions"})
        async with each_api.server([moved]) as server:
            with pytest.raises(ProviderFailure, match="final address"):
                await ask_by(each_api, server.base_url, api_key_env="SOME_KEY")
        assert elsewhere.hits.total() == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning:openai")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:anthropic")
async def test_requests_and_checks_go_through_the_proxy_of_the_environment(
    each_api: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with each_api.server() as proxy:
        address = proxy.base_url.removesuffix("/v1").removeprefix("http://")
        monkeypatch.setenv("http_proxy", f"me:p%20w@{address}")
        monkeypatch.delenv("no_proxy", raising=False)
        client = each_api.settings("http://model.invalid/v1").create()
        await client.check()
        answer = await client.complete(request())
        await client.close()
        assert answer.text == "ok"
        (seen,) = proxy.seen
        assert seen.headers["Host"] == "model.invalid"
        assert b64decode(seen.headers["Proxy-Authorization"].removeprefix("Basic ")) == b"me:p w"
        assert proxy.hits["/v1/models"] == 1


async def test_use_proxy_false_goes_without_one(
    each_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with each_api.server() as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        with pytest.raises(ProviderFailure, match="1 attempt"):
            await ask_by(each_api, "http://model.invalid/v1", use_proxy=False)
        assert proxy.hits.total() == 0


async def test_more_are_under_way_than_a_library_allows_by_itself(each_api: Api) -> None:
    """aiohttp opens 100 connections where nobody says otherwise."""
    async with each_api.server([Reply(latency=0.5)]) as server:
        client = each_api.settings(server.base_url, concurrency=150).create()
        await asyncio.gather(*(client.complete(request(number)) for number in range(150)))
        await client.close()
        assert server.peak_in_flight == 150


# The openai package reads the environment by itself


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user of the openai package may have set."""
    monkeypatch.setenv("OPENAI_API_KEY", "for-openai-alone")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "for-openai-alone")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-for-openai-alone")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-for-openai-alone")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer for-openai-alone")
    monkeypatch.setenv("SOME_KEY", "the-server-s")


@pytest.mark.usefixtures("environment")
async def test_another_server_gets_its_own_key_and_nothing_that_is_openai_s() -> None:
    async with FakeApi() as server:
        await ask(server.base_url, transport="sdk", api_key_env="SOME_KEY")
        (seen,) = server.seen
    assert seen.headers["Authorization"] == "Bearer the-server-s"
    assert "for-openai-alone" not in str(seen.headers)


@pytest.mark.usefixtures("environment")
async def test_a_server_without_a_key_gets_none() -> None:
    async with FakeApi() as server:
        await ask(server.base_url, transport="sdk", api_key_env=None)
        (seen,) = server.seen
    assert "Authorization" not in seen.headers
    assert "for-openai-alone" not in str(seen.headers)


@pytest.mark.usefixtures("environment")
async def test_openai_itself_is_told_organization_and_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with FakeApi() as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        given = {"transport": "sdk", "api_key_env": "OPENAI_API_KEY"}
        await ask("http://api.openai.com/v1", **given)
        (seen,) = proxy.seen
    assert seen.headers["OpenAI-Organization"] == "org-for-openai-alone"
    assert seen.headers["OpenAI-Project"] == "proj-for-openai-alone"
    assert seen.headers["Authorization"] == "Bearer for-openai-alone"


async def test_a_lone_unset_key_is_refused_by_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    given = {"transport": "sdk", "api_key_env": "OPENAI_API_KEY"}
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        await ask("https://api.openai.com/v1", **given)


# It takes a second to import


ASKING = """
import asyncio, sys
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.settings import OpenAISettings

async def main():
    known = {"kind": "openai", "name": "m", "base_url": sys.argv[1], "transport": sys.argv[2]}
    client = OpenAISettings(**known).create()
    await client.check()
    answer = await client.complete(Request((), (), EpisodeKey("t", "1"), 0))
    await client.close()
    print(answer.text, "openai" in sys.modules)

asyncio.run(main())
"""


@pytest.mark.parametrize(("transport", "imported"), [("lean", False), ("sdk", True)])
async def test_the_package_is_imported_only_where_it_is_used(
    transport: str, imported: bool
) -> None:
    async with FakeApi() as server:
        words = [sys.executable, "-c", ASKING, server.base_url, transport]
        process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
        said, _ = await process.communicate()
    assert said.decode().split() == ["ok", str(imported)]
