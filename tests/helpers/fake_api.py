"""A server on loopback that speaks the OpenAI API as tests and benchmarks want it, faults included.

In a test::

    from tests.helpers.fake_api import FakeApi, Reply

    async with FakeApi([Reply(status=429, headers={"Retry-After": "0"}), "hello"]) as api:
        client = OpenAIClient(OpenAISettings(kind="openai", name="m", base_url=api.base_url))

By itself: ``python tests/helpers/fake_api.py --port 8000 --latency 0.5``.
"""

import argparse
import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from aiohttp import web

from codeact.models.remote.probe import REHEARSAL


@dataclass(frozen=True)
class Reply:
    """One answer: a completion with `text`, or any fault.

    `hang` is where the server stops for good: before it answers, or in the middle of the body.
    `cut` closes the connection in the middle of the body. `body` replaces the JSON. `message` has
    further fields of the assistant's message.
    """

    text: str | None = "ok"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    latency: float = 0.0
    hang: str = ""
    cut: bool = False
    message: dict[str, Any] = field(default_factory=dict)
    tool_calls: list[Any] | None = None
    finish_reason: str = "stop"
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    )


@dataclass(frozen=True)
class Seen:
    """One request as the server got it."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    content: bytes = b""
    query: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Seen, int], Reply | str]
"""Called with the request and its number, from 0."""


def _first(body: dict[str, Any]) -> object:
    """Return the text of the first message."""
    messages = body.get("messages") or [{}]
    return messages[0].get("content")


def _error(reply: Reply) -> dict[str, Any]:
    return {"error": {"message": reply.text, "type": "fake", "code": reply.status}}


def _completion(reply: Reply, path: str) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": reply.finish_reason}
    if path.endswith("/chat/completions"):
        choice["message"] = {"role": "assistant", "content": reply.text, **reply.message}
        if reply.tool_calls is not None:
            choice["message"]["tool_calls"] = reply.tool_calls
    else:
        choice["text"] = reply.text
    answer: dict[str, Any] = {"id": "fake", "object": "completion", "choices": [choice]}
    if reply.usage is not None:
        answer["usage"] = reply.usage
    return answer


class FakeApi:
    """Serves while its context is open; `seen` is the log of completion requests.

    `replies` is a list, used one by one (its last one for good), or a function. `models` are what
    it lists, `models_reply` is an answer in place of that list, `elsewhere` is what any other
    address gets. `hits` counts all requests by path. `takes` answers the `rehearsals`, in which a
    client finds out whether the server takes a run's parameters; they are not in `seen`.
    """

    routes: tuple[str, ...] = (
        "/v1/chat/completions",
        "/v1/completions",
        # As Azure has it.
        "/openai/deployments/{name}/chat/completions",
    )

    def __init__(
        self, replies: Sequence[Reply | str] | Handler = ("ok",), *, latency: float = 0.0
    ) -> None:
        self.replies = replies
        self.latency = latency
        self.seen: list[Seen] = []
        self.rehearsals: list[Seen] = []
        self.takes: Callable[[Seen], Reply | str] = lambda seen: "ok"
        self.count = 0
        self.keep_log = True
        self.models: Sequence[str | dict[str, Any]] = ("m",)
        self.models_status = 200
        self.models_reply: Reply | None = None
        self.elsewhere = Reply(status=404, text="no such page")
        self.detokenize: Callable[[list[int]], str] | None = None
        """As vLLM's, which stands beside the API; None has none."""
        self.hits: Counter[str] = Counter()
        self.base_url = ""
        self.in_flight = self.peak_in_flight = 0
        self._runner: web.AppRunner | None = None
        self._stop = asyncio.Event()

    async def start(self, port: int = 0) -> Self:
        app = web.Application(client_max_size=64 * 2**20)
        for route in self.routes:
            app.router.add_post(route, self._handle)
        app.router.add_get("/v1/models", self._handle_models)
        # As Azure has it.
        app.router.add_get("/openai/models", self._handle_models)
        app.router.add_post("/detokenize", self._handle_detokenize)
        app.router.add_route("*", "/{path:.*}", self._handle_elsewhere)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, backlog=1024)
        await site.start()
        real_port = self._runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{real_port}/v1"
        return self

    async def stop(self) -> None:
        self._stop.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _next(self, seen: Seen) -> Reply:
        number, self.count = self.count, self.count + 1
        if callable(self.replies):
            reply = self.replies(seen, number)
        else:
            reply = self.replies[min(number, len(self.replies) - 1)]
        return Reply(text=reply) if isinstance(reply, str) else reply

    def _rehearsed(self, seen: Seen) -> Reply:
        reply = self.takes(seen)
        return Reply(reply) if isinstance(reply, str) else reply

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.hits[request.path] += 1
        content = await request.read()
        query = dict(request.query)
        seen = Seen(request.path, request.headers, json.loads(content), content, query)
        if REHEARSAL in (_first(seen.body), seen.body.get("prompt")):
            self.rehearsals.append(seen)
            return await self._answer(request, self._rehearsed(seen))
        if self.keep_log:
            self.seen.append(seen)
        reply = self._next(seen)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            return await self._answer(request, reply)
        finally:
            self.in_flight -= 1

    async def _handle_models(self, request: web.Request) -> web.StreamResponse:
        self.hits[request.path] += 1
        if self.models_reply is not None:
            return await self._answer(request, self.models_reply)
        listed = [{"id": m} if isinstance(m, str) else m for m in self.models]
        data = {"object": "list", "data": listed}
        return web.json_response(data, status=self.models_status)

    async def _handle_detokenize(self, request: web.Request) -> web.StreamResponse:
        if self.detokenize is None:
            return await self._handle_elsewhere(request)
        self.hits[request.path] += 1
        asked = await request.json()
        return web.json_response({"prompt": self.detokenize(asked["tokens"])})

    async def _handle_elsewhere(self, request: web.Request) -> web.StreamResponse:
        self.hits[request.path] += 1
        return await self._answer(request, self.elsewhere)

    async def _answer(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if delay := reply.latency + self.latency:
            await asyncio.sleep(delay)
        if reply.hang == "before":
            await self._stop.wait()
        body = reply.body
        if body is None:
            content = _completion(reply, request.path) if reply.status == 200 else _error(reply)
            body = json.dumps(content).encode()
        headers = {"Content-Type": "application/json", **reply.headers}
        if not (reply.cut or reply.hang == "body"):
            return web.Response(body=body, status=reply.status, headers=headers)
        response = web.StreamResponse(status=reply.status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if reply.hang == "body":
            await self._stop.wait()
        if request.transport is not None:
            request.transport.close()
        return response


async def _serve(server: type[FakeApi], options: argparse.Namespace) -> None:
    api = server([replace(Reply(), text=options.text)], latency=options.latency)
    api.keep_log = False
    await api.start(options.port)
    print(api.base_url, flush=True)  # noqa: T201 (a script's answer: where to connect)
    await asyncio.Event().wait()


def main(server: type[FakeApi] = FakeApi) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=server.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--text", default="<execute>\nprint(1)\n</execute>")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(server, parser.parse_args()))


if __name__ == "__main__":
    main()
