"""What every configuration key is: type, default and meaning, read out of the schema itself.

``--help`` and the reference page show the same. A key's meaning is the docstring under its field.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from codeact.experiment.config.validation import models_of, of_kind

_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_BOUNDS = {
    annotated_types.Ge: ("ge", ">="),
    annotated_types.Gt: ("gt", ">"),
    annotated_types.Le: ("le", "<="),
    annotated_types.Lt: ("lt", "<"),
}
_LONGEST_VALUE = 60


class Key(NamedTuple):
    """One dotted key, with its type in words, its value as YAML shows it, and its meaning."""

    path: str
    type: str
    value: str
    meaning: str


def keys_of(schema: type[BaseModel], config: Mapping[str, Any], under: str = "") -> Iterator[Key]:
    """Yield every key that a composed `config` can hold, below `under`, in the schema's order.

    Where a group admits several kinds, `config` says which one is meant.
    """
    for name, field in schema.model_fields.items():
        own = field.alias or name
        path, value = f"{under}{own}", config.get(own, field.default)
        model = _chosen(field.annotation, value)
        if isinstance(value, Mapping) and value.get("kind") == "none" and not _kinds(model):
            value, model = "none", None  # the group says that there is nothing
        if model is not None and isinstance(value, Mapping) and _are_several(value):
            for part, one in value.items():
                yield from keys_of(of_kind(model, one), one, f"{path}.{part}.")
        elif model is not None and isinstance(value, Mapping):
            yield from keys_of(model, value, f"{path}.")
        elif model is not None and isinstance(value, BaseModel):
            yield from keys_of(model, value.model_dump(), f"{path}.")
        else:
            yield Key(path, type_in_words(field), _short(shown(value)), meaning_of(schema, name))


def type_in_words(field: FieldInfo) -> str:
    """Return a field's type as a user reads it, such as ``whole number >= 1, or null``."""
    words = _in_words(field.annotation)
    for bound in field.metadata:
        if type(bound) in _BOUNDS:
            name, sign = _BOUNDS[type(bound)]
            limit = f"{sign} {getattr(bound, name):g}"
            before, _, after = words.partition(", or null")
            words = f"{before} {limit}" + (f", or null{after}" if "or null" in words else "")
    return words


def shown(value: Any) -> str:
    """Return a value as the command line takes it; objects without a short form are left out."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{','.join(shown(one) for one in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(one)}" for key, one in value.items()) + "}"
    return str(value) if isinstance(value, (str, int, float)) else ""


def _short(text: str) -> str:
    """Keep a value on its line."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_VALUE else f"{line[: _LONGEST_VALUE - 3]}..."


def meaning_of(schema: type[BaseModel], name: str) -> str:
    """Return the docstring under a field, or an empty text where it has none."""
    for owner in schema.__mro__:
        if name in vars(owner).get("__annotations__", {}):
            return _docstrings(owner.__module__).get((owner.__qualname__, name), "")
    return ""


def option_meaning(file: Path) -> str:
    """Return the comment at the top of an option's YAML file, as one line."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return " ".join(lines)


def _chosen(annotation: Any, value: Any) -> type[BaseModel] | None:
    """Return the schema of a nested value: of several kinds, the one that the value names."""
    kinds = models_of(annotation)
    if isinstance(value, BaseModel):
        return type(value)
    if not kinds or not isinstance(value, Mapping):
        return None
    named = [one for one in kinds if _kind(one) is not None and _kind(one) == value.get("kind")]
    return of_kind((named or kinds)[0], value)


def _are_several(value: Mapping[str, Any]) -> bool:
    """Whether a group holds several options by their names, not the keys of one."""
    parts = value.values()
    return bool(parts) and all(isinstance(one, Mapping) and "kind" in one for one in parts)


def _kind(model: type[BaseModel]) -> object:
    """Return the one value that a model's ``kind`` can have, None where it has several or none."""
    values = _kinds(model)
    return values[0] if len(values) == 1 else None


def _kinds(model: type[BaseModel] | None) -> tuple[object, ...]:
    field = model.model_fields.get("kind") if model else None
    return get_args(field.annotation) if field else ()


def _in_words(annotation: Any) -> str:  # noqa: PLR0911 (a table, whose rows need code)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments)) if len(arguments) > 1 else arguments[0]
    if origin in (Union, UnionType):
        words = [_in_words(one) for one in arguments if one is not NoneType]
        return ", or ".join(words + ["null"] * (NoneType in arguments))
    if origin in (list, tuple, frozenset, set):
        return f"list of {_in_words(arguments[0])}"
    if origin in (dict, Mapping):
        return f"{_in_words(arguments[0])} to {_in_words(arguments[1])}"
    if hasattr(annotation, "__metadata__"):
        return _in_words(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys"
    return _WORDS.get(annotation, "any value")


@cache
def _docstrings(module: str) -> dict[tuple[str, str], str]:
    """Return the docstrings under the annotated names of every class of a module."""
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        if not isinstance(node, ast.ClassDef):
            continue
        for statement, after in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                text = " ".join(textwrap.dedent(after.value.value).split())
                found[node.name, statement.target.id] = text
    return found
