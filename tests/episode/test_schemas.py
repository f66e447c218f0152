"""JSON schemas of the functions that a policy may call, by signatures and by functions."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from codeact.episode.schemas import misfit, parameters_of, tool_schema
from codeact.episode.task import ToolSpec
from codeact.tools.alfworld.functions import FUNCTIONS, SPECS
from codeact.tools.settings import SPEC
from codeact.tools.typed import spec_of


def search(query: str) -> str:
    """Look it up."""
    return query


def rich(number: int, style: list[str] | None = None, *, share: float = 1.5) -> dict[str, int]:
    """Do much."""
    return {"n": number, "s": len(style or ()), "f": math.floor(share)}


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), search, rich])
def test_a_schema_is_the_same_by_the_function_and_by_its_signature(function: Any) -> None:
    made = spec_of(function)
    assert made.parameters is not None
    derived = parameters_of(ToolSpec(made.name, made.signature, made.description))
    bare = {
        name: {key: value for key, value in one.items() if key != "default"}
        for name, one in made.parameters["properties"].items()
    }
    assert derived == {**made.parameters, "properties": bare}


def test_the_search_and_the_households_say_what_their_functions_take() -> None:
    assert parameters_of(SPEC) == parameters_of(spec_of(search)) | {
        "properties": {"query": {"type": "string"}}
    }
    schemas: Mapping[str, Any] = {one.name: parameters_of(one) for one in SPECS}
    assert schemas["put"]["required"] == ["object", "receptacle"]
    assert schemas["look"] == {"type": "object", "properties": {}, "additionalProperties": False}
    assert parameters_of(ToolSpec("odd", "odd: whatever", ""))["additionalProperties"] is True


def test_a_description_for_who_writes_no_code_speaks_of_none() -> None:
    assert "print" in SPEC.description
    assert "print" not in tool_schema(SPEC).description
    assert tool_schema(SPECS[0]).description == SPECS[0].description


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["number"], ""),
        (["number", "style", "share"], ""),
        (["style"], "rich lacks the argument 'number'; it takes number, style, share"),
        (["number", "n"], "rich has no parameter 'n'; it takes number, style, share"),
    ],
)
def test_names_of_arguments_are_checked(names: list[str], words: str) -> None:
    assert misfit(spec_of(rich), names) == words


def test_a_schema_of_its_own_is_what_counts() -> None:
    own = {"type": "object", "properties": {"a": {}}, "required": ["a"]}
    remote = ToolSpec("remote", "remote(**arguments)", "Far away.", parameters=own)
    assert parameters_of(remote) is own
    assert misfit(remote, ["a", "b"]) == ""
    assert misfit(remote, ["b"]) == "remote lacks the argument 'a'; it takes a"
