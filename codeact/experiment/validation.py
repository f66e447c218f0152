"""From a composed dict to a strict schema, with a message for everything that is wrong in it."""

from collections.abc import Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from codeact.edge.models.factory import settings_type
from codeact.exceptions import ConfigError
from codeact.experiment.compose import Composed
from codeact.wording import nearest

Schema = TypeVar("Schema", bound=BaseModel)


def validated(schema: type[Schema], composed: Composed) -> Schema:
    """The configuration as `schema`; raises one `ConfigError` that lists every problem."""
    try:
        return schema.model_validate(composed.config)
    except ValidationError as error:
        problems = list(_problems(schema, composed.config, composed, error.errors()))
        raise ConfigError("the configuration is refused:\n  " + "\n  ".join(problems)) from error


def _problems(
    schema: type[BaseModel],
    data: Any,
    composed: Composed,
    details: list[ErrorDetails],
    prefix: tuple[str, ...] = (),
) -> Iterator[str]:
    for detail in details:
        path, fields = _walk(schema, detail["loc"])
        inner = detail.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):
            # A model of any kind is validated by that kind's own schema.
            part = data
            for step in path:
                part = part[step]
            own = settings_type(part["kind"])
            yield from _problems(own, part, composed, inner.errors(), (*prefix, *path))
        else:
            yield _problem(".".join([*prefix, *path]), fields, composed, detail)


def _problem(key: str, fields: list[str], composed: Composed, detail: ErrorDetails) -> str:
    where = composed.origin(key)
    match detail["type"]:
        case "extra_forbidden":
            hint = nearest(key.rpartition(".")[2], fields)
            return f"{key}: unknown key ({hint}) [{where}]"
        case "missing":
            return f"{key}: missing; give {key}=VALUE [{where}]"
        case "value_error":
            return f"{key or 'the whole'}: {detail['ctx']['error']} [{where}]"
        case _:
            return f"{key}: {detail['msg']}, not {detail['input']!r} [{where}]"


def _walk(schema: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], list[str]]:
    """The dotted path of an error as the user knows it, and the names valid at its last step.

    Pydantic puts the tag of a discriminated union into the location; the user's YAML has no such
    key, so it is dropped here and used to choose the member.
    """
    path: list[str] = []
    node: Any = schema
    fields: list[str] = []
    for step in location:
        members = _members(node)
        tagged = [m for m in members if _tag(m) == step and len(members) > 1]
        if tagged:
            node = tagged[0]
            continue
        path.append(str(step))
        model = members[0] if members else None
        fields = list(model.model_fields) if model else []
        if model and isinstance(step, str) and step in model.model_fields:
            node = model.model_fields[step].annotation
        else:
            # An element of a mapping or a list: go on with the value's type.
            node = (get_args(node) or (None,))[-1]
    return path, fields


def _members(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation admits."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    if not isinstance(annotation, type):
        origin = getattr(annotation, "__origin__", None)
        if origin in (dict, list, tuple):
            return []
        for argument in get_args(annotation):
            found += _members(argument)
    return found


def _tag(model: type[BaseModel]) -> object:
    field = model.model_fields.get("kind")
    return field.default if field else None
