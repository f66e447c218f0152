"""Finds models by kind: built-in ones, and those of plug-ins."""

from typing import Annotated, Any

from pydantic import PlainValidator, SerializeAsAny

from codeact.exceptions import ConfigError
from codeact.models.base import ModelClient, ModelSettings
from codeact.plugins import Registry


def _settings(found: Any) -> type[ModelSettings] | None:
    return found if isinstance(found, type) and issubclass(found, ModelSettings) else None


MODELS = Registry(
    group="codeact.models",
    sort="kind of model",
    wanted="a subclass of codeact.models.base.ModelSettings",
    part=_settings,
    ours={
        "anthropic": "codeact.models.anthropic.settings:AnthropicSettings",
        "azure": "codeact.models.openai.settings:AzureSettings",
        "openai": "codeact.models.openai.settings:OpenAISettings",
        "person": "codeact.models.person.settings:PersonSettings",
        "recorded": "codeact.models.recorded:RecordedSettings",
        "scripted": "codeact.models.scripted:ScriptedSettings",
        "vllm": "codeact.models.vllm.settings:VllmSettings",
    },
)


def model_kinds() -> list[str]:
    """Name every kind of model that can be asked for."""
    return MODELS.names()


def settings_type(kind: str) -> type[ModelSettings]:
    """Find the settings of a kind of model; `ConfigError` names the nearest kind if there is none.

    Ours come first: a plug-in adds kinds and replaces none.
    """
    return MODELS.get(kind)


def parse_settings(value: Any) -> ModelSettings:
    """Check a composed model group; raises `ConfigError` or pydantic's `ValidationError`."""
    if isinstance(value, ModelSettings):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ConfigError(f"a model needs a kind, one of: {', '.join(model_kinds())}")
    return settings_type(value["kind"]).model_validate(value)


def _validate(value: Any) -> ModelSettings:
    try:
        return parse_settings(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


AnyModelSettings = Annotated[SerializeAsAny[ModelSettings], PlainValidator(_validate)]
"""The type of a schema's field that takes any kind of model, told apart by `kind`."""


def create_client(settings: ModelSettings) -> ModelClient:
    """Make the client for a model's settings."""
    return settings.create()
