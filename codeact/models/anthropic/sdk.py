"""The transport of Anthropic's own package, an extra: ``pip install 'codeact[anthropic]'``."""

from typing import Any

import anthropic

from codeact.models.anthropic.settings import AnthropicSettings
from codeact.models.remote.exchange import Deadlines
from codeact.models.remote.sdk import BoundedReading, PackageTransport

_NO_KEY = "none"
"""The package wants a key; where there is none, this one is kept out of the headers."""


class _HttpClient(BoundedReading, anthropic.DefaultAioHttpClient):
    pass


class AnthropicTransport(PackageTransport):
    """Connections to all servers of a model through the anthropic package."""

    refused = anthropic.APIStatusError
    broken = anthropic.APIConnectionError

    def __init__(self, settings: AnthropicSettings, key: str, deadlines: Deadlines) -> None:
        super().__init__(settings, key, deadlines)
        self._headers = settings.headers(key)

    def _client(self, base: str) -> anthropic.AsyncAnthropic:
        # Said here, neither ANTHROPIC_CUSTOM_HEADERS nor a profile on disk says otherwise.
        headers: dict[str, Any] = {"Authorization": anthropic.Omit(), **self._headers}
        if not self._key:
            headers["x-api-key"] = anthropic.Omit()
        return anthropic.AsyncAnthropic(
            base_url=base,
            api_key=self._key or _NO_KEY,
            default_headers=headers,
            # What would end an exchange or ask again is decided by our own rules.
            timeout=anthropic.Timeout(None, connect=self._deadlines.connect),
            max_retries=0,
            http_client=_HttpClient(**self._http_options(base)),
            open_telemetry=False,
        )
