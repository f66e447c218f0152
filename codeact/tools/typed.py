"""Makes a tool's description of a typed function: signature, JSON schema and text, once."""

import inspect
from collections.abc import Callable
from typing import Any

from codeact.episode.messages import JSON
from codeact.episode.task import ToolSpec


def spec_of(function: Callable[..., Any], *, without_code: str = "") -> ToolSpec:
    """Return how a function is described: its docstring is the text, its types are the schema.

    Raises `pydantic.PydanticUserError` where a parameter is of a type that JSON does not have.
    """
    from pydantic import TypeAdapter

    adapter: TypeAdapter[Any] = TypeAdapter(function)  # type: ignore[arg-type]
    return ToolSpec(
        name=function.__name__,
        signature=f"{function.__name__}{inspect.signature(function)}",
        description=inspect.getdoc(function) or "",
        parameters=_without_titles(adapter.json_schema()),
        without_code=without_code,
    )


def _without_titles(schema: JSON) -> JSON:
    """Leave out the titles of parameters, which repeat their names."""
    properties = {
        name: {key: value for key, value in one.items() if key != "title"}
        for name, one in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties}
