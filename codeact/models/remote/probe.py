"""Checks that servers are reachable, accept the key and have the model."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from codeact import web
from codeact.models.base import RequestMeter
from codeact.models.remote.booking import UsageReader, book_failure
from codeact.models.remote.encoding import InvalidResponse, UnusableAnswer, decode, encode
from codeact.models.remote.errors import is_context_overflow, parse_error
from codeact.models.remote.exchange import Response
from codeact.models.remote.parameters import RefusedParameter, refused_parameter
from codeact.models.remote.refusals import refusal, rejection
from codeact.models.remote.settings import RemoteSettings
from codeact.models.remote.transport import Connections, RequestFailed

log = logging.getLogger(__name__)

T = TypeVar("T")

QUESTION, REHEARSAL = "Hello", "Hello again"
"""What a server is asked when it is looked for, and once it is found."""
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
    """Why a server did not complete a small request; `lasting` if it never will.

    `parameter` says that it is one of the request's parameters that the server does not take.
    """

    why: str
    lasting: bool
    parameter: bool = False


class Demands(Protocol):
    """What answers have to have beside a text."""

    def refused(self, words: str) -> str:
        """Say that a server refuses what it is asked by, in its own words, and what to do."""
        ...

    def check(self, body: bytes) -> None:
        """Refuse an answer that lacks it: `UnusableAnswer`."""
        ...


class Probe:
    """Checks the servers of a model, with connections of its own."""

    def __init__(
        self,
        settings: RemoteSettings,
        route: str,
        connections: Connections,
        question: Callable[[str, dict[str, Any]], dict[str, Any]],
        *,
        read_usage: UsageReader,
        demands: Demands | None = None,
    ) -> None:
        """`question` makes a request for one token, of words and of what it carries beside them."""
        self._settings = settings
        self._route = route
        self._connections = connections
        self._question = question
        self._read_usage = read_usage
        self._demands = demands
        self.meter = RequestMeter()
        self._carried: dict[str, Any] = {}

    async def check(self) -> list[ServerCheck]:
        """Check every server, all at once."""
        return await _each(self._settings.addresses, self._check)

    async def ask(self) -> list[ProbeFailure | None]:
        """Ask every server for one token; None for each one that gives it."""
        return await _each(self._settings.addresses, self._ask)

    async def rehearse(self, carried: dict[str, Any]) -> list[str]:
        """Ask every server with a run's own parameters; returns why some do not take those.

        `ask` has them too from now on.
        """
        self._carried = carried
        ask = partial(self._ask, words=REHEARSAL)
        found = await _each(self._settings.addresses, ask)
        return [one.why for one in found if one is not None and one.parameter]

    async def _check(self, base_url: str) -> ServerCheck:
        found = ServerCheck(base_url)
        if self._settings.probe or self._demands is None:
            found = await self._check_list(base_url)
        if self._demands is not None and found.refusal is None:
            # Nothing can be recorded of a server that ignores what it is asked for.
            found = found._replace(wrong=_lasting(await self._ask(base_url)))
        return found

    async def _check_list(self, base_url: str) -> ServerCheck:
        import aiohttp

        try:
            response = await self._connections.fetch(self._list_of(base_url), _LIST_SECONDS)
        except (TimeoutError, aiohttp.ServerDisconnectedError) as error:
            log.warning("%s: slow to list its models: %s", base_url, error)
        except (aiohttp.ClientConnectionError, OSError) as error:
            return ServerCheck(base_url, down=self._connections.words(str(error)))
        except (aiohttp.ClientError, RequestFailed) as error:
            log.warning("%s: cannot list its models: %s", base_url, error)
        else:
            return await self._judge(base_url, response)
        return ServerCheck(base_url)

    def _list_of(self, base_url: str) -> str:
        return f"{base_url}/{self._settings.models_route}"

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
        url, words = self._list_of(base_url), self._connections.words
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
            response = await self._connections.fetch(self._list_of(better), _LIST_SECONDS)
        except (aiohttp.ClientError, OSError, RequestFailed):
            return None
        return better if _listed(response) is not None else None

    async def _check_model(self, base_url: str, listed: dict[str, dict[str, Any]]) -> ServerCheck:
        name = self._settings.model_id
        found = self._settings.listed_as(listed) if self._settings.lists_models else None
        if found is not None:
            return ServerCheck(base_url, serves=_facts(listed[found]))
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

    async def _ask(self, base_url: str, words: str = QUESTION) -> ProbeFailure | None:
        import aiohttp

        url = f"{base_url}/{self._route}"
        shortened = self._connections.words
        body = encode(self._question(words, self._carried))
        response, sent = None, True
        try:
            response = await self._connections.fetch(url, _ASK_SECONDS, body)
        except (aiohttp.ClientError, OSError, RequestFailed) as error:
            not_sent = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
            sent = not isinstance(error, not_sent)
            why = str(error) or type(error).__name__
            return ProbeFailure(f"{url} did not answer: {shortened(why)}", lasting=False)
        finally:
            prices = self._settings.prices
            book_failure(self.meter, prices, response, self._read_usage, perhaps_charged=sent)
        rejected = rejection(self._settings, url, response, shortened)
        if rejected is not None:
            return ProbeFailure(rejected.why, lasting=True)
        if (refused := self._refused(response)) is not None:
            said = shortened(parse_error(response.body).message)
            why = refusal(self._settings, url, response.status, said, refused=refused)
            return ProbeFailure(why, lasting=True, parameter=True)
        # The right server may still refuse this request, which is short, with status 400.
        if response.status >= 500 or response.status in (408, 425, 429):
            what = web.seen(response.status, response.headers, response.body)
            return ProbeFailure(f"{url} did not answer: {shortened(what)}", lasting=False)
        return self._lacking(url, response)

    def _lacking(self, url: str, response: Response) -> ProbeFailure | None:
        """Return what a server's answer lacks of the demands, or how it refuses them."""
        if self._demands is None:
            return None
        words = self._connections.words
        if response.status != 200:
            said = f"HTTP {response.status}: {words(parse_error(response.body).message)}"
            return ProbeFailure(f"{url} {self._demands.refused(said)}", lasting=True)
        try:
            self._demands.check(response.body)
        except UnusableAnswer as error:
            return ProbeFailure(f"{url}: {words(str(error))}", lasting=True)
        return None

    def _refused(self, response: Response) -> RefusedParameter | None:
        """Return the parameter that a server does not take; one token is too few for some."""
        error = parse_error(response.body) if response.status != 200 else None
        if error is None or is_context_overflow(error):
            return None
        refused = refused_parameter(response.status, error, self._carried, self._settings.advice)
        return None if refused is None or refused.value else refused


def serving_of(checks: list[ServerCheck], name: str) -> list[dict[str, Any]]:
    """Return what servers of a model say of it, each thing once; warns of different models."""
    found = [check.serves or {"base_url": check.base_url} for check in checks if not check.refusal]
    told = {repr(sorted(facts.items())): facts for facts in found}
    if len({facts.get("root") for facts in told.values() if "root" in facts}) > 1:
        names = sorted(str(facts.get("root")) for facts in told.values())
        log.warning("the servers of %s have different models: %s", name, names)
    return [told[key] for key in sorted(told)]


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
        data = decode(response.body)["data"]
        return {str(model["id"]): model for model in data}
    except (InvalidResponse, LookupError, TypeError):
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
