"""The transport of OpenAI's own package, which knows OpenAI's and Azure's addresses and headers.

Importing this module takes a second.
"""

from typing import Any
from urllib.parse import urlsplit

import openai

from codeact.models.openai.settings import AzureSettings, EndpointSettings
from codeact.models.remote.exchange import Deadlines
from codeact.models.remote.sdk import BoundedReading, PackageTransport

_NO_KEY = "none"
"""The SDK wants a key; where there is none, this one is kept out of the headers."""
_ACCOUNT = ("OpenAI-Organization", "OpenAI-Project")


class _HttpClient(BoundedReading, openai.DefaultAioHttpClient):
    pass


class SdkTransport(PackageTransport):
    """Connections to all servers of a model through the openai package."""

    refused = openai.APIStatusError
    broken = openai.APIConnectionError

    def __init__(self, settings: EndpointSettings, key: str, deadlines: Deadlines) -> None:
        super().__init__(settings, key, deadlines)
        name = "api-key" if isinstance(settings, AzureSettings) else "Authorization"
        self._options = {} if key else {"headers": {name: openai.Omit()}}

    def _client(self, base: str) -> openai.AsyncOpenAI:
        settings, key = self._settings, self._key
        # What would end an exchange or ask again is decided by our own rules.
        timeout = openai.Timeout(None, connect=self._deadlines.connect)
        if not isinstance(settings, AzureSettings):
            return openai.AsyncOpenAI(
                base_url=base,
                api_key=key or _NO_KEY,
                default_headers=_headers(base, key),
                timeout=timeout,
                max_retries=0,
                http_client=_HttpClient(**self._http_options(base)),
            )
        has_token = bool(settings.token_env and key)
        return openai.AsyncAzureOpenAI(
            azure_endpoint=settings.endpoint_of(base),
            azure_deployment=settings.model_id,
            api_version=settings.api_version,
            api_key=None if has_token else key or _NO_KEY,
            azure_ad_token=key if has_token else None,
            # Said here, it is not what OPENAI_CUSTOM_HEADERS may say.
            default_headers={**_headers(base, ""), "Authorization": openai.Omit()},
            timeout=timeout,
            max_retries=0,
            http_client=_HttpClient(**self._http_options(base)),
        )


def _headers(base: str, key: str) -> dict[str, Any]:
    """Return the headers that say more than the SDK would, or less."""
    headers: dict[str, Any] = {}
    host = urlsplit(base).hostname or ""
    if host != "openai.com" and not host.endswith(".openai.com"):
        # The environment's organization and project are nobody else's business.
        headers |= dict.fromkeys(_ACCOUNT, openai.Omit())
    if key:
        # Said here, no header of OPENAI_CUSTOM_HEADERS takes its place.
        headers["Authorization"] = f"Bearer {key}"
    return headers
