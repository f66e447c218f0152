"""Which models there are: ours, and those of plug-ins.

A plug-in names its subclass of `ModelSettings` in the entry point group ``codeact.models``; the
entry point's name is the settings' `kind`. Its code is imported only when that kind is asked for.
"""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

from pydantic import PlainValidator, SerializeAsAny

from codeact.edge.models.base import ModelClient, ModelSettings
from codeact.exceptions import ConfigError
from codeact.wording import nearest

GROUP = "codeact.models"
_OURS = {
    "openai": ("codeact.edge.models.openai_settings", "OpenAISettings"),
    "recorded": ("codeact.edge.models.recorded", "RecordedSettings"),
    "scripted": ("codeact.edge.models.scripted", "ScriptedSettings"),
    "vllm": ("codeact.edge.models.vllm_settings", "VllmSettings"),
}


def model_kinds() -> list[str]:
    """Name every kind of model that can be asked for."""
    return sorted({*_OURS, *_plugins()})


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def settings_type(kind: str) -> type[ModelSettings]:
    """Find the settings of a kind of model; `ConfigError` names the nearest kind if there is none.

    Ours come first: a plug-in adds kinds and replaces none.
    """
    if kind in _OURS:
        module, name = _OURS[kind]
        found: type[ModelSettings] = getattr(import_module(module), name)
        return found
    plugin = _plugins().get(kind)
    if plugin is None:
        raise ConfigError(f"there is no kind {kind!r} of model ({nearest(kind, model_kinds())})")
    return _load(plugin)


def _load(plugin: EntryPoint) -> type[ModelSettings]:
    try:
        loaded = plugin.load()
    except Exception as error:
        raise ConfigError(
            f"kind={plugin.name}: the plug-in {plugin.value} cannot be imported: {error}"
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, ModelSettings)):
        raise ConfigError(
            f"kind={plugin.name}: the plug-in {plugin.value} is no subclass of "
            "codeact.edge.models.base.ModelSettings"
        )
    return loaded


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
