"""Before a run: whether the servers are there, take the key and have the model."""

import asyncio
import logging
from difflib import get_close_matches

from codeact.edge.models import openai_wire as wire
from codeact.edge.models.openai_http import Connections, Fault
from codeact.edge.models.openai_settings import OpenAISettings
from codeact.exceptions import ConfigError, ProviderFailure

log = logging.getLogger(__name__)

_PROBE = 10.0
"""Seconds that a server has to list its models."""


async def probe_all(settings: OpenAISettings, connections: Connections) -> None:
    """Ask every server for its models; raises `ConfigError` if none is there.

    One that refuses the key raises it, too; what else is wrong with some is a warning.
    """
    addresses = settings.addresses
    found = await asyncio.gather(*(_probe(url, settings, connections) for url in addresses))
    down = {url: why for url, why in zip(addresses, found, strict=True) if why is not None}
    if len(down) == len(addresses):
        raise ConfigError(
            "; ".join(f"{url} cannot be reached: {why}" for url, why in down.items())
            + ". Start the server or correct base_url (probe=false skips this check)"
        )
    for url, why in down.items():
        log.warning("%s cannot be reached: %s; the other servers take its episodes", url, why)


async def _probe(base_url: str, settings: OpenAISettings, connections: Connections) -> str | None:
    """Ask one server; why it cannot be reached, or None."""
    import aiohttp

    try:
        response = await connections.get(f"{base_url}/models", _PROBE)
    except (aiohttp.ClientConnectionError, OSError) as error:
        if isinstance(error, TimeoutError | aiohttp.ServerDisconnectedError):
            log.warning("%s: slow to list its models: %s", base_url, error)
            return None
        return connections.words(str(error))
    except (aiohttp.ClientError, Fault) as error:
        log.warning("%s: cannot list its models: %s", base_url, error)
        return None
    if response.status in (401, 403):
        words = connections.words(wire.parse_error(response.body).message)
        raise ConfigError(str(refusal(settings, base_url, response.status, words)))
    if response.status == 200:
        _look_for_model(base_url, settings.name, response.body)
    return None


def _look_for_model(base_url: str, name: str, body: bytes) -> None:
    try:
        listed = [model["id"] for model in wire.decode(body)["data"]]
    except (wire.Garbage, LookupError, TypeError):
        return
    if name in listed:
        return
    # A warning only: gateways accept more names than they list.
    near = get_close_matches(name, map(str, listed), n=1) or listed[:5]
    log.warning("%s does not list a model %s; it has %s", base_url, name, near)


def refusal(settings: OpenAISettings, url: str, status: int, words: str) -> ProviderFailure:
    """What to do about a refusal that another attempt would meet again."""
    name = settings.api_key_env
    key = f"check the key in {name}" if name else "name the variable of its key in api_key_env"
    advice = {
        401: key,
        403: f"{key} (and see what that key gives access to)",
        404: f"check the model's name, {settings.name}, and base_url",
        429: "the account's quota is used up",
    }.get(status, "check the model's settings (name, base_url, api, sampling)")
    if 300 <= status < 400:
        advice = "it redirects elsewhere: give the final address as base_url"
    return ProviderFailure(f"{url} refused the request with HTTP {status}: {words}; {advice}")
