"""The settings of an OpenAI-compatible endpoint, OpenAI's own or another, and of Azure's."""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from codeact.episode.settings import Settings
from codeact.models.base import ModelSettings, without_none

TOKENIZER = "tokenizer.json"
"""The file of a model's folder that has its tokenizer."""
_RESERVED = {"messages", "prompt", "model", "stop", "stream", "n", "seed"}


class SamplingSettings(Settings):
    """How the model samples; None leaves a setting to the server.

    `extra` goes into the request's body as it is.
    """

    temperature: float | None = Field(default=0.0, ge=0)
    """Null leaves it to the server."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Null leaves it to the server."""
    max_tokens: int | None = Field(default=1024, ge=1)
    """The most tokens of one answer; null leaves it to the server."""
    seed: int | Literal["none"] | None = None
    """A seed for requests of a run that has none; null has no other than the run's. `none` never
    sends one, for servers that refuse the field."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further keys of the request's body, sent as they are."""

    @field_validator("extra")
    @classmethod
    def _leaves_ours_alone(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(_RESERVED & extra.keys()):
            raise ValueError(f"{', '.join(taken)}: set by codeact itself, so not through extra")
        return extra


class TimeoutSettings(Settings):
    """Seconds: `total` bounds one attempt, `wait` the longest Retry-After that is obeyed."""

    connect: float = Field(default=10.0, gt=0)
    """Seconds to connect."""
    total: float = Field(default=600.0, gt=0)
    """Seconds for one attempt."""
    wait: float = Field(default=300.0, ge=0)
    """The longest Retry-After that is obeyed, in seconds."""


def _endpoint(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("give a whole address, such as http://127.0.0.1:8000/v1")
    if url.username or url.password or url.query or url.fragment:
        raise ValueError(
            "an address holds no key, query or fragment: put the key into an environment "
            "variable and name that in api_key_env"
        )
    return value.rstrip("/")


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("give the name of an environment variable, not the key itself")
    return value


def _resource(value: str) -> str:
    if "/openai" in value:
        raise ValueError(
            "give the resource's endpoint alone, such as https://NAME.openai.azure.com; for an "
            "address that ends in /openai/v1 take model=openai"
        )
    return value


ServerAddress = Annotated[str, AfterValidator(_endpoint)]
VariableName = Annotated[str, AfterValidator(_variable)]


class EndpointSettings(ModelSettings):
    """An endpoint, the model behind it, and how to treat both.

    `name` is the model's id at the server. `stop_limit` is how many stop strings the server
    takes (OpenAI: 4; None for any number): the others are enforced here alone. `overflow` says
    what to do when prompt and `max_tokens` together do not fit the context: end the episode, or
    ask once more for as many tokens as the server says there is room for.
    """

    model_config = ConfigDict(hide_input_in_errors=True)
    incidental = ModelSettings.incidental | (
        {
            "base_url",
            "base_urls",
            "affinity",
            "api_key_env",
            "transport",
            "use_proxy",
            "timeout",
            "max_retries",
            "concurrency",
            "requests_per_minute",
            "tokens_per_minute",
            "stop_limit",
            "probe",
            "tokenizer",
        }
    )

    client_class = "codeact.models.openai.client:OpenAIClient"

    kind: str
    """The kind of endpoint."""
    base_url: ServerAddress
    """The address of the endpoint, such as http://127.0.0.1:8000/v1."""
    base_urls: list[ServerAddress] = Field(default_factory=list)
    """Further servers of the same model; load is balanced over all."""
    affinity: bool = True
    """Whether all turns of an episode go to one server, whose prefix cache then knows them."""
    api_key_env: VariableName | None = None
    """The environment variable that holds the key; null sends none."""
    transport: Literal["sdk", "lean"] = "lean"
    """`sdk` sends requests through the openai package, `lean` through aiohttp alone, which takes a
    quarter of the CPU time. Requests, limits, retries and results are the same."""
    use_proxy: bool = True
    """Whether servers are reached by the proxy that the environment names (HTTPS_PROXY, NO_PROXY).
    A server on this machine never is."""
    revision: str | None = None
    """Which version of the model the servers have, in the user's own words, where its name does not
    say so. Another one is another experiment, and shares no cached answers."""
    api: Literal["chat", "completion"] = "chat"
    """`chat` for chat completions, `completion` for plain ones."""
    sampling: SamplingSettings = SamplingSettings()
    """How the model samples."""
    timeout: TimeoutSettings = TimeoutSettings()
    """How long is waited."""
    max_retries: int = Field(default=6, ge=0)
    """How often a failed request is sent again."""
    concurrency: int = Field(default=256, ge=1)
    """The most requests under way at once, to each server."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """The most requests a minute; null is no bound."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """The most tokens a minute; null is no bound."""
    stop_limit: int | None = Field(default=4, ge=0)
    """How many stop strings the server takes (OpenAI: 4); the others are enforced here. Null is
    any number."""
    overflow: Literal["fail", "shrink"] = "fail"
    """When prompt and `max_tokens` do not fit the context: `fail` ends the episode, `shrink`
    asks for as many tokens as there is room for."""
    probe: bool = True
    """Whether `check` asks the server for its models before the run starts."""
    tokens: Literal["exact"] | None = None
    """`exact` records the ids of every prompt and answer, with log probabilities, in a file of the
    run folder; the servers have to be vLLM. Null counts tokens."""
    tokenizer: str | None = None
    """The folder of the model's `tokenizer.json`, by which exact tokens are compared with the texts
    of their answers; null compares nothing."""

    def identity(self) -> dict[str, Any]:
        """What decides the answers, and what is kept of them; only what there is."""
        return without_none(super().identity(), "revision", "tokens")

    @property
    def model_id(self) -> str:
        """What the server calls the model."""
        return self.name

    @property
    def naming(self) -> str:
        """What to check where the server does not know the `model_id`."""
        return f"the model's name, {self.name}"

    @property
    def naming_key(self) -> str:
        """The key of the `model_id`."""
        return "model.name"

    @property
    def lists_models(self) -> bool:
        """Whether the server's list of models has this one under its `model_id`."""
        return True

    @property
    def credential_key(self) -> str:
        """The setting that names the environment variable of what shows who asks."""
        return "api_key_env"

    @property
    def credential_env(self) -> str | None:
        """The environment variable of what shows who asks."""
        name: str | None = getattr(self, self.credential_key)
        return name

    @property
    def addresses(self) -> list[str]:
        """Every server, each once."""
        return list(dict.fromkeys([self.base_url, *self.base_urls]))

    def shared_by(self, workers: int) -> Self:
        """The settings for each of so many processes; a limit below their number is 1 for each."""

        def share(limit: int | None) -> int | None:
            return None if limit is None else max(1, limit // workers)

        limits = ("concurrency", "requests_per_minute", "tokens_per_minute")
        return self.model_copy(update={name: share(getattr(self, name)) for name in limits})


class OpenAISettings(EndpointSettings):
    """OpenAI's own endpoint, or any that speaks its API."""

    kind: Literal["openai"]
    """An endpoint that speaks the OpenAI API."""


class AzureSettings(EndpointSettings):
    """A deployment of Azure OpenAI, which the openai package has a client for.

    `name` is the model's name in records; `deployment` is what the resource calls it, where that
    differs. `base_url` is the resource's endpoint.
    """

    incidental = EndpointSettings.incidental | {"api_version", "token_env"}

    kind: Literal["azure"]
    """A deployment of Azure OpenAI."""
    base_url: Annotated[ServerAddress, AfterValidator(_resource)]
    """The endpoint of the resource, such as https://NAME.openai.azure.com."""
    base_urls: list[Annotated[ServerAddress, AfterValidator(_resource)]] = Field(
        default_factory=list
    )
    """Endpoints of further resources with the same deployment and key."""
    transport: Literal["sdk"] = "sdk"
    """Through the openai package, whose client knows Azure's addresses and headers."""
    deployment: str | None = None
    """The name of the deployment; null is the model's name."""
    api_version: str = Field(default="2024-10-21", pattern=r"^\d{4}-\d{2}-\d{2}(-preview)?$")
    """The version of Azure's API, a date."""
    token_env: VariableName | None = None
    """The environment variable that holds a token of Microsoft Entra ID, sent in place of a key."""
    tokens: None = None
    """Null: Azure gives no token ids."""
    tokenizer: None = None
    """Null: there are no ids to compare with texts."""

    @model_validator(mode="after")
    def _is_a_deployment(self) -> Self:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.model_id):
            raise ValueError(
                f"{self.model_id!r} cannot be the name of a deployment (letters, digits, dots, "
                "dashes): give the one that the resource has as deployment"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """What decides the answers; a deployment only where it has a name of its own."""
        return without_none(super().identity(), "deployment")

    @property
    def model_id(self) -> str:
        return self.deployment or self.name

    @property
    def naming(self) -> str:
        return f"the deployment, {self.model_id}"

    @property
    def naming_key(self) -> str:
        return "model.deployment"

    @property
    def lists_models(self) -> bool:
        """A resource lists the models that it could deploy, not its deployments."""
        return False

    @property
    def credential_key(self) -> str:
        return "api_key_env" if self.token_env is None else "token_env"

    @property
    def addresses(self) -> list[str]:
        """The deployment's own address at every resource, each once."""
        path = f"openai/deployments/{self.model_id}"
        return [f"{endpoint}/{path}" for endpoint in super().addresses]

    def endpoint_of(self, address: str) -> str:
        """Return the endpoint of one of the `addresses`."""
        return address.partition("/openai/deployments/")[0]
