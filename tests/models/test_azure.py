"""A deployment of Azure OpenAI, played by a server on loopback, asked by the SDK's own client."""

import pytest
from pydantic import ValidationError

from codeact.exceptions import ConfigError, ModelFailure, ProviderFailure
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.client import OpenAIClient
from codeact.models.openai.settings import AzureSettings, OpenAISettings
from codeact.models.registry import parse_settings
from codeact.models.remote import client as remote_client
from tests.helpers.fake_api import FakeApi, Reply

REQUEST = Request(({"role": "user", "content": "hello"},), (), EpisodeKey("t", "1"), 0)
NOT_DEPLOYED = Reply(
    status=404,
    body=b'{"error": {"code": "DeploymentNotFound", "message": "The API deployment for this '
    b'resource does not exist."}}',
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 0.01)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "top-secret")
    monkeypatch.setenv("AZURE_TOKEN", "entra-token")


def settings_of(api: FakeApi | None, **given: object) -> AzureSettings:
    endpoint = "http://127.0.0.1:1" if api is None else api.base_url.removesuffix("/v1")
    known = {"kind": "azure", "name": "gpt-4o", "base_url": endpoint, "max_retries": 1}
    known |= {"api_key_env": "AZURE_OPENAI_API_KEY"}
    return AzureSettings.model_validate({**known, **given})


async def ask(api: FakeApi, **given: object) -> str:
    client = OpenAIClient(settings_of(api, **given))
    try:
        return (await client.complete(REQUEST)).text
    finally:
        await client.close()


async def test_a_deployment_is_asked_by_its_address_version_and_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer other\napi-key: other")
    monkeypatch.setenv("OPENAI_ORG_ID", "other")
    async with FakeApi() as api:
        assert await ask(api, deployment="my-4o", api_version="2024-12-01-preview") == "ok"
        (seen,) = api.seen
    assert seen.path == "/openai/deployments/my-4o/chat/completions"
    assert seen.query == {"api-version": "2024-12-01-preview"}
    assert seen.headers["api-key"] == "top-secret"
    assert "Authorization" not in seen.headers
    assert "other" not in str(seen.headers)
    assert seen.body["model"] == "my-4o"


async def test_a_deployment_without_a_name_of_its_own_is_called_as_the_model() -> None:
    async with FakeApi() as api:
        await ask(api)
        assert api.seen[0].path == "/openai/deployments/gpt-4o/chat/completions"


async def test_a_token_takes_the_place_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "not-asked-for")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer other")
    async with FakeApi() as api:
        await ask(api, token_env="AZURE_TOKEN")
        (seen,) = api.seen
    assert seen.headers["Authorization"] == "Bearer entra-token"
    assert "api-key" not in seen.headers


async def test_a_gateway_on_this_machine_needs_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "not-asked-for")
    async with FakeApi() as api:
        await ask(api, api_key_env=None)
        (seen,) = api.seen
    assert "api-key" not in seen.headers
    assert "Authorization" not in seen.headers
    assert "not-asked-for" not in str(seen.headers)


@pytest.mark.parametrize(
    ("given", "setting"),
    [({}, "AZURE_OPENAI_API_KEY .* set api_key_env"), ({"token_env": "AT"}, "AT .* set token_env")],
)
async def test_what_is_not_set_is_refused_before_any_request(
    given: dict[str, str], setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    monkeypatch.delenv("AT", raising=False)
    settings = settings_of(None, base_url="https://r.openai.azure.com", **given)
    with pytest.raises(ConfigError, match=setting):
        await OpenAIClient(settings).check()


@pytest.mark.parametrize("env", ["api_key_env", "token_env"])
@pytest.mark.parametrize("status", [401, 500])
async def test_neither_key_nor_token_shows_in_a_message(env: str, status: int) -> None:
    said = Reply(status=status, text="Access denied: top-secret entra-token")
    async with FakeApi([said]) as api:
        given = {} if env == "api_key_env" else {"token_env": "AZURE_TOKEN"}
        with pytest.raises(ProviderFailure) as caught:
            await ask(api, max_retries=0, **given)
    shown = "entra-token" if env == "api_key_env" else "top-secret"
    secret = "top-secret" if env == "api_key_env" else "entra-token"
    assert secret not in str(caught.value)
    assert shown in str(caught.value)


async def test_faults_have_the_causes_that_they_have_elsewhere() -> None:
    full = b'{"error": {"code": "context_length_exceeded", "message": "too long"}}'
    async with FakeApi([Reply(status=429, headers={"retry-after-ms": "10"}), "ok"]) as api:
        assert await ask(api) == "ok"
    async with FakeApi([Reply(status=400, body=full)]) as api:
        with pytest.raises(ModelFailure, match="no longer fits the context"):
            await ask(api)
    async with FakeApi([NOT_DEPLOYED]) as api:
        with pytest.raises(ProviderFailure, match=r"check the deployment, gpt-4o"):
            await ask(api)


async def test_the_check_asks_the_deployment_not_the_list_of_models(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A resource lists what it could deploy."""
    async with FakeApi() as api:
        api.models = ["gpt-4o-2024-08-06"]
        client = OpenAIClient(settings_of(api))
        await client.check()
        assert (await client.serving())[0]["base_url"].endswith("/openai/deployments/gpt-4o")
        assert api.hits["/openai/models"] == 1
        assert api.count == 1
    assert caplog.text == ""
    async with FakeApi([NOT_DEPLOYED]) as api:
        api.models = ["gpt-4o"]
        with pytest.raises(ConfigError, match=r"check the deployment, gpt-4o, .*probe=false"):
            await OpenAIClient(settings_of(api)).check()


def test_the_same_model_elsewhere_is_the_same_experiment() -> None:
    plain = settings_of(None)
    moved = settings_of(None, base_url="https://other.openai.azure.com", api_version="2025-01-01")
    assert plain.identity() == moved.identity()
    assert settings_of(None, deployment="tuned").identity() != plain.identity()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"base_url": "https://r.openai.azure.com/openai/v1"}, "take model=openai"),
        ({"base_urls": ["https://r.openai.azure.com/openai"]}, "endpoint alone"),
        ({"deployment": "a/../b"}, "cannot be the name of a deployment"),
        ({"name": "gpt 4"}, "give the one that the resource has as deployment"),
        ({"api_version": "newest"}, "api_version"),
        ({"transport": "lean"}, "transport"),
        ({"token_env": "eyJ0-secret"}, "not the key itself"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        settings_of(None, **given)
    assert "eyJ0" not in str(caught.value)


def test_the_kind_says_which_settings_they_are() -> None:
    known = {"name": "m", "base_url": "http://h"}
    assert type(parse_settings({"kind": "azure", **known})) is AzureSettings
    assert type(parse_settings({"kind": "openai", **known})) is OpenAISettings
