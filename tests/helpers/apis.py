"""Which API and transport the clients of a test use; the fixture `each_api` runs it with each."""

from dataclasses import dataclass
from typing import Any

from codeact.models.anthropic.settings import AnthropicSettings
from codeact.models.openai.settings import OpenAISettings
from codeact.models.remote.settings import RemoteSettings
from tests.helpers.fake_anthropic import FakeAnthropic
from tests.helpers.fake_api import FakeApi, Handler, Reply


@dataclass
class Api:
    """An API, by its settings and its server on loopback."""

    kind: str
    settings_class: type[RemoteSettings]
    server_class: type[FakeApi]
    transport: str

    def settings(self, base_url: str, **given: Any) -> RemoteSettings:
        """Settings of a client of a server, without a key where none is given."""
        known = {"kind": self.kind, "name": "m", "base_url": base_url, "api_key_env": None}
        return self.settings_class.model_validate({**known, "transport": self.transport, **given})

    def server(self, replies: list[Reply | str] | Handler = ("ok",)) -> FakeApi:  # type: ignore[assignment]
        return self.server_class(replies)


APIS = {
    f"{kind}-{transport}": Api(kind, settings, server, transport)
    for kind, settings, server in (
        ("openai", OpenAISettings, FakeApi),
        ("anthropic", AnthropicSettings, FakeAnthropic),
    )
    for transport in ("lean", "sdk")
}
