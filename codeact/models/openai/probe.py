"""Checks that servers are reachable, accept the key and have the model."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar

from codeact import web
from codeact.models.base import RequestMeter
from codeact.models.openai import wire
from codeact.models.openai.booking import book_failure
from codeact.models.openai.exchange import Response
from codeact.models.openai.refusals import rejection
from codeact.models.openai.settings import EndpointSettings
from codeact.models.openai.transport import Connections, RequestFailed

log = logging.getLogger(__name__)

T = TypeVar("T")

_LIST_SECONDS = 10.0
_ASK_SECONDS = 30.0
"""How long a server may take to list its models, and to answer with one token."""


class ServerCheck(NamedTuple):
    """The result of checking a server before a run.

    `down`: why it cannot be reached. `wrong`: why it can answer nothing. `serves`: what it says
    about its model, None if nothing.
    """

    base_url: str
    down: str | None = None
    wrong: str | None = None
    serves: dict[str, Any] | None = None

    @property
    def refusal(self) -> str | None:
        """Why it cannot be used, in words for the user."""
        return f"{self.base_url} cannot be reached: {self.down}" if self.down else self.wrong


class ProbeFailure(NamedTuple):
    """Why a server did not complete a small request; `lasting` if it never will."""

    why: str
    lasting: bool


class Probe:
    """Checks the servers of a model, with connections of its own."""

    def __init__(self, settings: EndpointSettings, route: str, connections: Connections) -> None:
        self._settings = settings
        self._route = route
        self._connections = connections
        self.meter = RequestMeter()

    async def check(self) -> list[ServerCheck]:
        """Check every server, all at once."""
        return await _each(self._settings.addresses, self._check)

    async def ask(self) -> list[ProbeFailure | None]:
        """Ask every server for one token; None for each one that gives it."""
        return await _each(self._settings.addresses, self._ask)

    async def _check(self, base_url: str) -> ServerCheck:
        import aiohttp

        try:
            response = await self._connections.fetch(f"{base_url}/models", _LIST_SECONDS)
        except (TimeoutError, aiohttp.ServerDisconnectedError) as error:
            log.warning("%s: slow to list its models: %s", base_url, error)
        except (aiohttp.ClientConnectionError, OSError) as error:
            return ServerCheck(base_url, down=self._connections.words(str(error)))
        except (aiohttp.ClientError, RequestFailed) as error:
            log.warning("%s: cannot list its models: %s", base_url, error)
        else:
            return await self._judge(base_url, response)
        return ServerCheck(base_url)

    async def _judge(self, base_url: str, response: Response) -> ServerCheck:
        """Interpret a server's list of models."""
        listed = _listed(response)
        if listed is not None:
            return await self._check_model(base_url, listed)
        if response.status >= 500:
            log.warning("%s: cannot list its models: HTTP %d", base_url, response.status)
            return ServerCheck(base_url)
        if response.status not in (401, 403) and (better := await self._better(base_url)):
            return ServerCheck(
                base_url, wrong=f"{base_url} is not the API: did you mean base_url={better}?"
            )
        return ServerCheck(base_url, wrong=await self._wrong(base_url, response))

    async def _wrong(self, base_url: str, response: Response) -> str | None:
        """Return why a server without a list of models is no use; None if that is uncertain."""
        url, words = f"{base_url}/models", self._connections.words
        rejected = rejection(self._settings, url, response, words)
        if rejected is None or response.status == 401:
            return None if rejected is None else rejected.why
        # A gateway or a key may serve only this route, so ask what a run would ask.
        return _lasting(await self._ask(base_url))

    async def _better(self, base_url: str) -> str | None:
        """Return the API's address below this one, if there is one."""
        import aiohttp

        better = f"{base_url}/v1"
        if base_url.endswith("/v1") or not self._settings.lists_models:
            return None
        try:
            response = await self._connections.fetch(f"{better}/models", _LIST_SECONDS)
        except (aiohttp.ClientError, OSError, RequestFailed):
            return None
        return better if _listed(response) is not None else None

    async def _check_model(self, base_url: str, listed: dict[str, dict[str, Any]]) -> ServerCheck:
        name = self._settings.model_id
        if self._settings.lists_models and name in listed:
            return ServerCheck(base_url, serves=_facts(listed[name]))
        near = get_close_matches(name, listed, n=1) or list(listed)[:5]
        what = f"{base_url} does not list a model {name}; it has {near}"
        # Gateways accept more names than they list, so one token is asked for.
        failure = await self._ask(base_url)
        if not self._settings.lists_models:
            return ServerCheck(base_url, wrong=_lasting(failure))
        if failure is not None and failure.lasting:
            return ServerCheck(base_url, wrong=f"{what}: correct model.name ({failure.why})")
        log.warning("%s", what)
        return ServerCheck(base_url)

    async def _ask(self, base_url: str) -> ProbeFailure | None:
        import aiohttp

        url = f"{base_url}/{self._route}"
        words = self._connections.words
        response, sent = None, True
        try:
            response = await self._connections.fetch(url, _ASK_SECONDS, self._question())
        except (aiohttp.ClientError, OSError, RequestFailed) as error:
            not_sent = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
            sent = not isinstance(error, not_sent)
            why = str(error) or type(error).__name__
            return ProbeFailure(f"{url} did not answer: {words(why)}", lasting=False)
        finally:
            book_failure(self.meter, self._settings.prices, response, perhaps_charged=sent)
        rejected = rejection(self._settings, url, response, words)
        if rejected is not None:
            return ProbeFailure(rejected.why, lasting=True)
        # The right server may still refuse this request, with status 400 for example.
        if response.status >= 500 or response.status in (408, 425, 429):
            what = web.seen(response.status, response.headers, response.body)
            return ProbeFailure(f"{url} did not answer: {words(what)}", lasting=False)
        return None

    def _question(self) -> bytes:
        body: dict[str, Any] = {"model": self._settings.model_id, "max_tokens": 1}
        if self._settings.api == "completion":
            body["prompt"] = "Hello"
        else:
            body["messages"] = [{"role": "user", "content": "Hello"}]
        return wire.encode(body)


def no_server(checks: list[ServerCheck]) -> str:
    """Return why no server can be used, and what to do about it."""
    reasons = "; ".join(str(check.refusal) for check in checks)
    start = "Start the server or correct base_url" if any(check.down for check in checks) else ""
    skip = "probe=false skips this check"
    return f"{reasons}. {start} ({skip})" if start else f"{reasons} ({skip})"


def _lasting(failure: ProbeFailure | None) -> str | None:
    return failure.why if failure is not None and failure.lasting else None


async def _each(items: list[str], act: Callable[[str], Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*(act(item) for item in items)))


def _listed(response: Response) -> dict[str, dict[str, Any]] | None:
    """The models that a server lists, by id; None if the answer is no such list."""
    if response.status != 200:
        return None
    try:
        data = wire.decode(response.body)["data"]
        return {str(model["id"]): model for model in data}
    except (wire.InvalidResponse, LookupError, TypeError):
        return None


_FACTS = ("id", "root", "parent", "max_model_len")
_META_FACTS = ("n_params", "size", "n_vocab", "n_embd", "n_ctx_train")


def _facts(model: dict[str, Any]) -> dict[str, Any] | None:
    """Return what an entry of the list says about the model; None where it is only a name.

    vLLM and SGLang give `root` and `max_model_len`, llama.cpp has its own `meta`. What differs each
    time, such as the start of the server, is left out.
    """
    facts = {name: model[name] for name in _FACTS if _is_plain(model.get(name))}
    meta = model.get("meta")
    if isinstance(meta, dict):
        facts |= {f"meta.{name}": meta[name] for name in _META_FACTS if _is_plain(meta.get(name))}
    return facts if facts.keys() - {"id"} else None


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)
