"""JSON schemas of tools: of a parameter list as Python writes it, and what arguments fit one."""

import ast
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from codeact.episode.messages import JSON, ToolSchema
from codeact.episode.task import ToolSpec

_ANY: JSON = {"type": "object", "properties": {}, "additionalProperties": True}
_TYPES: dict[str, JSON] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
    "list": {"type": "array"},
    "tuple": {"type": "array"},
    "dict": {"type": "object"},
}


def tool_schema(spec: ToolSpec) -> ToolSchema:
    """Return a tool as the APIs take functions."""
    return ToolSchema(spec.name, spec.without_code or spec.description, parameters_of(spec))


def parameters_of(spec: ToolSpec) -> JSON:
    """Return the JSON schema of a tool's arguments: its own, or that of its signature.

    A signature that is no Python takes any arguments by name.
    """
    return _parsed(spec.signature) if spec.parameters is None else spec.parameters


@lru_cache(maxsize=512)
def _parsed(signature: str) -> JSON:
    try:
        (function,) = ast.parse(f"def {signature}: ...").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _ANY
    if not isinstance(function, ast.FunctionDef):
        return _ANY
    given = function.args
    named = [*given.posonlyargs, *given.args]
    first_default = len(named) - len(given.defaults)
    properties = {one.arg: _of_type(one.annotation) for one in (*named, *given.kwonlyargs)}
    required = [one.arg for one in named[:first_default]]
    required += [
        one.arg
        for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        if default is None
    ]
    schema: JSON = {
        "type": "object",
        "properties": properties,
        "additionalProperties": given.kwarg is not None,
    }
    return {**schema, "required": required} if required else schema


def _of_type(node: ast.expr | None) -> JSON:
    """Return the schema of an annotation; an empty one, which admits all, for what JSON lacks."""
    found: JSON = {}
    match node:
        case ast.Name(name) | ast.Subscript(ast.Name(name), _) if name in _TYPES:
            found = dict(_TYPES[name])
        case ast.Constant(None):
            found = dict(_TYPES["None"])
        case ast.BinOp(left, ast.BitOr(), right):
            found = {"anyOf": [*_options(left), *_options(right)]}
        case ast.Subscript(ast.Name("Literal"), values):
            listed = values.elts if isinstance(values, ast.Tuple) else [values]
            found = {"enum": [one.value for one in listed if isinstance(one, ast.Constant)]}
    match node:
        case ast.Subscript(ast.Name("list"), item):
            found["items"] = _of_type(item)
        case ast.Subscript(ast.Name("dict"), ast.Tuple([_, value])):
            found["additionalProperties"] = _of_type(value)
    return found


def _options(node: ast.expr) -> list[JSON]:
    schema = _of_type(node)
    options: list[JSON] = schema.get("anyOf", [schema])
    return options


def misfit(spec: ToolSpec, names: Collection[str]) -> str:
    """Return what is wrong with the names of arguments, in words for the policy; or nothing.

    Values are the tool's own to judge.
    """
    schema = parameters_of(spec)
    properties: Mapping[str, Any] = schema.get("properties") or {}
    takes = f"it takes {', '.join(properties)}" if properties else "it takes no arguments"
    if missing := [name for name in schema.get("required") or () if name not in names]:
        return f"{spec.name} lacks the argument {missing[0]!r}; {takes}"
    unknown = [name for name in names if name not in properties]
    if unknown and schema.get("additionalProperties") is False:
        return f"{spec.name} has no parameter {unknown[0][:_SHOWN]!r}; {takes}"
    return ""


_SHOWN = 60
