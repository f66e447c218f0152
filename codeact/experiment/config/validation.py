"""From a composed dict to a strict schema, with a message for everything that is wrong in it."""

from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from codeact.exceptions import ConfigError
from codeact.experiment.config.compose import Composed
from codeact.experiment.config.instead import flat_keys, whole_keys
from codeact.experiment.config.trackers import TRACKERS, TrackerSettings
from codeact.models.base import ModelSettings
from codeact.models.registry import model_kinds, settings_type
from codeact.wording import nearest, with_whole_keys

Schema = TypeVar("Schema", bound=BaseModel)


def validated(schema: type[Schema], composed: Composed) -> Schema:
    """The configuration as `schema`; raises one `ConfigError` that lists every problem."""
    try:
        return schema.model_validate(composed.config)
    except ValidationError as error:
        problems = []
        for detail in error.errors():
            path, fields = _walk(schema, composed.config, detail["loc"])
            problems.append(_problem(".".join(path), fields, composed, detail))
        raise ConfigError("the configuration is refused:\n  " + "\n  ".join(problems)) from error


def _problem(key: str, fields: list[str], composed: Composed, detail: ErrorDetails) -> str:
    where = composed.origin(key)
    match detail["type"]:
        case "extra_forbidden":
            hint = nearest(key.rpartition(".")[2], fields)
            if "." not in key and (whole := whole_keys(key, flat_keys(composed.config))):
                hint = whole
            return f"{key}: unknown key ({hint}) [{where}]"
        case "missing":
            # A key that the YAML lacks can only be added.
            return f"{key}: missing; give +{key}=VALUE [{where}]"
        case "value_error":
            words = with_whole_keys(str(detail["ctx"]["error"]), key.rpartition(".")[0], fields)
            return f"{key or 'the whole'}: {words} [{where}]"
        case _:
            return f"{key}: {detail['msg']}, not {detail['input']!r} [{where}]"


def _walk(
    schema: type[BaseModel], data: Any, location: tuple[int | str, ...]
) -> tuple[list[str], list[str]]:
    """The dotted path of an error as the user knows it, and the names valid at its last step.

    Pydantic puts the tag of a discriminated union into the location; the user's YAML has no such
    key, so it is dropped here and used to choose the member.
    """
    path: list[str] = []
    node: Any = schema
    fields: list[str] = []
    for step in location:
        members = models_of(node)
        tagged = [m for m in members if _tag(m) == step and len(members) > 1]
        if tagged:
            node = tagged[0]
            continue
        path.append(str(step))
        model = of_kind(members[0], data) if members else None
        if model is TrackerSettings and isinstance(data, dict) and step in data:
            data = data[step]  # the name of one of several
            continue
        known = {
            one.alias or name: one for name, one in (model.model_fields if model else {}).items()
        }
        fields = list(known)
        if isinstance(step, str) and step in known:
            node = known[step].annotation
        else:
            # An element of a mapping or a list: go on with the value's type.
            node = (get_args(node) or (None,))[-1]
        data = data.get(step) if isinstance(data, dict) else None
    return path, fields


def of_kind(model: type[BaseModel], data: Any) -> type[BaseModel]:
    """Any kind of model or tracker is admitted where the base of their settings stands."""
    if model is ModelSettings and isinstance(data, dict) and data.get("kind") in model_kinds():
        return settings_type(data["kind"])
    if model is TrackerSettings and isinstance(data, dict) and data.get("kind") in TRACKERS.names():
        return TRACKERS.get(data["kind"])
    return model


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation admits."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    if not isinstance(annotation, type):
        origin = getattr(annotation, "__origin__", None)
        if origin in (dict, list, tuple):
            return []
        for argument in get_args(annotation):
            found += models_of(argument)
    return found


def _tag(model: type[BaseModel]) -> object:
    """Return the `kind` that chooses a model."""
    field = model.model_fields.get("kind")
    named = get_args(field.annotation) if field else ()
    return named[0] if named else None
