"""The settings of an OpenAI-compatible endpoint, OpenAI's own or another, and of Azure's."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from codeact.episode.settings import Settings
from codeact.models.base import without_none
from codeact.models.openai.advice import ADVICE
from codeact.models.openai.reasoning import ReasoningSettings
from codeact.models.remote.settings import (
    RemoteSettings,
    ServerAddress,
    VariableName,
    without_reserved,
)

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
    """Further keys of the request's body, sent as they are. `tools` and `response_format` that the
    prompt asks for take their place."""

    @field_validator("extra")
    @classmethod
    def _leaves_ours_alone(cls, extra: dict[str, Any]) -> dict[str, Any]:
        return without_reserved(extra, _RESERVED)


def _resource(value: str) -> str:
    if "/openai" in value:
        raise ValueError(
            "give the resource's endpoint alone, such as https://NAME.openai.azure.com; for an "
            "address that ends in /openai/v1 take model=openai"
        )
    return value


class EndpointSettings(RemoteSettings):
    """An endpoint that speaks the OpenAI API."""

    client_class = "codeact.models.openai.client:OpenAIClient"
    sdk_class = "codeact.models.openai.sdk:SdkTransport"
    checked_keys = "name, base_url, api, sampling"
    advice = ADVICE
    incidental = RemoteSettings.incidental | {"length_key", "tokenizer"}

    api: Literal["chat", "completion"] = "chat"
    """`chat` for chat completions, `completion` for plain ones."""
    sampling: SamplingSettings = SamplingSettings()
    """How the model samples."""
    reasoning: ReasoningSettings = ReasoningSettings()
    """What is asked of the model's reasoning, and what later turns see of it."""
    length_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls `sampling.max_tokens`; reasoning models of OpenAI want the second."""

    tokens: Literal["exact"] | None = None
    """`exact` records the ids of every prompt and answer, with log probabilities, in a file of the
    run folder; the servers have to be vLLM. Null counts tokens."""
    tokenizer: str | None = None
    """The folder of the model's `tokenizer.json`, by which exact tokens are compared with the texts
    of their answers; null compares nothing."""

    def identity(self) -> dict[str, Any]:
        """What decides the answers, and what is kept of them; only what there is."""
        return without_none(super().identity(), "revision", "reasoning", "tokens")

    @model_validator(mode="after")
    def _has_a_place_for_reasoning(self) -> Self:
        if self.api == "completion" and self.reasoning.history != "drop":
            raise ValueError(
                f"reasoning.history={self.reasoning.history} has no place in api=completion, which "
                "sends one text: give reasoning.history=drop, or api=chat"
            )
        return self


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
