"""A client for any OpenAI-compatible endpoint: chat and plain completion.

It speaks HTTP through aiohttp itself instead of the openai package. Measured with 200 requests at
once against a server on loopback (benchmarks/model_client.py), CPU of the client per request:
openai 3.54 with its default transport 6.0 ms, with its aiohttp transport 3.7 ms (3.4 ms even
with its parsing of answers left out), this client 0.3 ms. The goal is 1.5 ms: the model is to be
the bottleneck, not the client.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from codeact.edge.models import openai_wire as wire
from codeact.edge.models.base import EpisodeKey, Request, Role
from codeact.edge.models.openai_settings import OpenAISettings, is_loopback, proxy_of
from codeact.episode.effects import Completion, Usage
from codeact.exceptions import CodeactError, ConfigError, ModelFailure, ProviderFailure

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

_MAX_BODY = 64 * 2**20
_MAX_WORDS = 300
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_PROBE = 10.0
"""Seconds that a server has to list its models before the run."""
_KEEPALIVE = 4.0
"""Below the 5 s after which uvicorn, and so vLLM, closes an idle connection."""


class _Retry(Exception):
    """The attempt failed and another may not; `wait` is what the server asked for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class _Overflow(Exception):
    def __init__(self, error: wire.ServerError) -> None:
        super().__init__(error.message)
        self.error = error


class OpenAIClient:
    """Answers requests through one pool of connections; bound to the loop of its first use."""

    def __init__(self, settings: OpenAISettings) -> None:
        self._settings = settings
        self.plain = settings.api == "completion"
        route = "completions" if self.plain else "chat/completions"
        self._url = f"{settings.base_url}/{route}"
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._session: aiohttp.ClientSession | None = None
        self._key = ""
        self._probed = self._told_no_usage = False

    # Before the run

    async def check(self, episodes: Collection[EpisodeKey] = (), role: Role = "policy") -> None:
        """Refuse a key that is not there and a server that is down or refuses the key."""
        self._key = self._read_key()
        if not self._settings.probe or self._probed:
            return
        try:
            await self._probe()
        except _Retry as fault:
            raise ConfigError(
                f"{self._settings.base_url} cannot be reached: {fault.reason}. Start the "
                "server or correct base_url (probe=false skips this check)"
            ) from None
        self._probed = True

    def _read_key(self) -> str:
        name = self._settings.api_key_env
        key = os.environ.get(name, "").strip() if name else ""
        if name and not key and not is_loopback(self._settings.base_url):
            raise ConfigError(
                f"the environment variable {name} is not set, and {self._settings.base_url} "
                "wants its key from there: set it, or set api_key_env to null if no key is needed"
            )
        if not key.isascii() or not key.isprintable():
            raise ConfigError(f"the key in {name} holds characters that no header can carry")
        return key

    async def _probe(self) -> None:
        import aiohttp  # slow, and not every command needs it

        timeout = aiohttp.ClientTimeout(total=_PROBE, sock_connect=_PROBE / 2)
        url = f"{self._settings.base_url}/models"
        try:
            # A session of its own: the run may use another event loop.
            async with (
                self._new_session() as session,
                session.get(url, timeout=timeout, allow_redirects=False) as response,
            ):
                body = await _read(response)
                status = response.status
        except (aiohttp.ClientConnectionError, OSError) as error:
            if isinstance(error, TimeoutError | aiohttp.ServerDisconnectedError):
                log.warning("%s: slow to list its models: %s", self._settings.base_url, error)
                return
            raise _Retry(self._words(str(error))) from error
        except (aiohttp.ClientError, _Retry) as error:
            log.warning("%s: cannot list its models: %s", self._settings.base_url, error)
            return
        if status in (401, 403):
            raise ConfigError(str(self._refusal(status, wire.parse_error(body))))
        if status == 200:
            self._look_for_model(body)

    def _look_for_model(self, body: bytes) -> None:
        try:
            listed = [model["id"] for model in wire.decode(body)["data"]]
        except (wire.Garbage, LookupError, TypeError):
            return
        name = self._settings.name
        if name in listed:
            return
        # A warning only: gateways accept more names than they list.
        near = get_close_matches(name, map(str, listed), n=1) or listed[:5]
        log.warning("%s does not list a model %s; it has %s", self._settings.base_url, name, near)

    # A request

    async def complete(self, request: Request) -> Completion:
        started = time.monotonic()
        body = self._body(request)
        failures: list[str] = []
        while True:
            try:
                answer = await self._attempt(wire.encode(body))
            except _Overflow as overflow:
                room = wire.room_left(overflow.error)
                self._shrink(body, room, overflow.error)
                failures.append(f"context full: asked again for {room} tokens")
            except _Retry as fault:
                failures.append(fault.reason)
                await self._pause(failures, fault.wait, time.monotonic() - started)
            else:
                seconds = time.monotonic() - started
                return self._completion(answer, request, seconds, tuple(failures))

    def _body(self, request: Request) -> dict[str, Any]:
        settings = self._settings
        sampling = settings.sampling
        body: dict[str, Any] = {"model": settings.name}
        if self.plain:
            body["prompt"] = wire.render_plain(request.messages)
        else:
            body["messages"] = request.messages
        seed = request.seed if request.seed is not None else sampling.seed
        optional = {
            "stop": request.stop[: settings.stop_limit],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": seed,
        }
        body.update({key: value for key, value in optional.items() if value not in (None, ())})
        body.update(sampling.extra)
        return body

    async def _attempt(self, body: bytes) -> wire.Answer:
        import aiohttp

        limit = self._settings.timeout.total
        try:
            async with self._slots, self._post(body) as response:
                content = await _read(response)
                if response.status != 200:
                    raise self._failure(response.status, response.headers, content)
        except TimeoutError as error:
            raise _Retry(self._words(str(error) or f"no whole answer in {limit:g} s")) from None
        except aiohttp.ClientPayloadError:
            raise _Retry("the connection broke in the middle of the answer") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Retry(self._words(f"{type(error).__name__}: {error}")) from error
        try:
            return wire.parse_answer(content)
        except wire.Garbage as garbage:
            raise _Retry(self._words(str(garbage))) from None

    def _post(self, body: bytes) -> "aiohttp.client._RequestContextManager":
        # A redirect would carry prompts and key to an address that nobody configured.
        return self._open().post(self._url, data=body, allow_redirects=False)

    def _failure(
        self, status: int, headers: Mapping[str, str], body: bytes
    ) -> CodeactError | _Retry | _Overflow:
        error = wire.parse_error(body)
        if wire.is_context_overflow(error) and status not in (401, 403, 404, 429):
            return _Overflow(error)
        if status in (408, 409, 425, 429) or status >= 500:
            if error.code == "insufficient_quota":
                return self._refusal(status, error)
            return _Retry(f"HTTP {status}: {self._words(error.message)}", wire.retry_after(headers))
        return self._refusal(status, error)

    def _refusal(self, status: int, error: wire.ServerError) -> ProviderFailure:
        name = self._settings.api_key_env
        key = f"check the key in {name}" if name else "name the variable of its key in api_key_env"
        advice = {
            401: key,
            403: f"{key} (and see what that key gives access to)",
            404: f"check the model's name, {self._settings.name}, and base_url",
            429: "the account's quota is used up",
        }.get(status, "check the model's settings (name, base_url, api, sampling)")
        if 300 <= status < 400:
            advice = "it redirects elsewhere: give the final address as base_url"
        return ProviderFailure(
            f"{self._url} refused the request with HTTP {status}: "
            f"{self._words(error.message)}; {advice}"
        )

    def _shrink(self, body: dict[str, Any], room: int | None, error: wire.ServerError) -> None:
        """Make the request fit, once; raises `ModelFailure` where it cannot be made to."""
        wanted, limit = body.get("max_tokens"), wire.context_limit(error)
        if wanted is not None and limit is not None and wanted >= limit:
            raise ProviderFailure(
                f"{self._url}: max_tokens={wanted} leaves no room for any prompt in the context of "
                f"{self._settings.name}, {limit} tokens: lower sampling.max_tokens"
            )
        fits = room is not None and room > 0 and (wanted is None or room < wanted)
        if self._settings.overflow == "fail" or not fits:
            raise ModelFailure(
                f"the conversation no longer fits the context of {self._settings.name}: "
                f"{self._words(error.message)}"
            )
        body["max_tokens"] = room

    async def _pause(self, failures: list[str], wait: float | None, seconds: float) -> None:
        settings = self._settings
        too_long = wait is not None and wait > settings.timeout.wait
        if len(failures) > settings.max_retries or too_long:
            because = f" (it asks to wait {wait:.0f} s, too long)" if too_long else ""
            raise ProviderFailure(
                f"{self._url} gave no usable answer in {_times(len(failures))} over "
                f"{seconds:.1f} s; the last: {failures[-1]}{because}"
            )
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(len(failures) - 1, 10))
        jittered = longest * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, no secret)
        # What the server asks for is a floor; the jitter keeps a crowd from returning as one.
        await asyncio.sleep(jittered if wait is None else wait + jittered / 10)

    def _completion(
        self, answer: wire.Answer, request: Request, seconds: float, retries: tuple[str, ...]
    ) -> Completion:
        if answer.usage is None and not self._told_no_usage:
            self._told_no_usage = True
            log.warning("%s reports no token usage: its tokens count as 0", self._url)
        text, cut = wire.cut_at_stop(answer.text, request.stop)
        return Completion(
            text=text,
            usage=answer.usage or Usage(),
            seconds=seconds,
            finish_reason="stop" if cut else answer.finish_reason,
            retries=retries,
        )

    def _words(self, text: str) -> str:
        """Bound another's words for a message: one line, no key, no control characters."""
        if self._key:
            text = text.replace(self._key, "[key]")
        text = " ".join(text.split())
        text = "".join(c if c.isprintable() else "�" for c in text[: _MAX_WORDS + 1])
        return text if len(text) <= _MAX_WORDS else f"{text[:_MAX_WORDS]}…"

    # Connections

    def _open(self) -> "aiohttp.ClientSession":
        if self._session is None:
            self._key = self._read_key()
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> "aiohttp.ClientSession":
        import aiohttp

        timeout = self._settings.timeout
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE),
            timeout=aiohttp.ClientTimeout(total=timeout.total, sock_connect=timeout.connect),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Not trust_env: that also reads ~/.netrc, in a thread and for every request.
            proxy=proxy_of(self._settings.base_url),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _times(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"


async def _read(response: "aiohttp.ClientResponse") -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_BODY:
            response.close()
            raise _Retry(f"the answer is longer than {_MAX_BODY} bytes")
    return b"".join(chunks)
