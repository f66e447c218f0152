"""Holds a model's solution in a session of its own and serves calls to it.

Nothing here is trusted: the solution shares the interpreter and may change all of it. It can give
false data to the tests, and no more.
"""

import base64
import itertools
import json
import marshal
import operator
import types
from collections.abc import Callable, Iterator
from typing import Any

from codeact.graders.guest.clock import Clock
from codeact.graders.guest.crossing import (
    ITEMS_AT_ONCE,
    Decoder,
    Encoder,
    Handle,
    number_of,
)

KEPT: list[Any] = []
NUMBERS: dict[int, int] = {}
SPACE: dict[str, Any] = {"__name__": "solution"}
CLOCKS: list[Clock] = []


def keep(value: Any) -> Handle:
    """Give an object that stays here a number."""
    if id(value) not in NUMBERS:
        NUMBERS[id(value)] = len(KEPT)
        KEPT.append(value)
    return Handle(NUMBERS[id(value)], "class" if isinstance(value, type) else "object")


def find(handle: Handle) -> Any:
    """Take up an object by its number."""
    return KEPT[number_of(handle)]


def load(
    sources: list[str], last_resort: str, names: list[str], wanted: str, seconds: float
) -> str:
    """Run the solution and describe what the tests ask of it, by name.

    `last_resort` is for an answer that is but a function's body: it runs if the answer is no
    program by itself or lacks `wanted`. `seconds` are for this and every call together.
    """
    CLOCKS.append(Clock(seconds))
    with CLOCKS[0]:
        _load(sources, last_resort, wanted)
        found = {name: Encoder(keep).encode(SPACE[name]) for name in names if name in SPACE}
        return json.dumps(found)


def _load(sources: list[str], last_resort: str, wanted: str) -> None:
    try:
        for source in sources:
            exec(compile(source, "<solution>", "exec"), SPACE)  # noqa: S102
    except (SyntaxError, ValueError):
        if not last_resort:
            raise
    if last_resort and wanted not in SPACE:
        exec(compile(last_resort, "<solution>", "exec"), SPACE)  # noqa: S102


def serve(request: str) -> str:
    """Do one thing that the tests ask for; return data, or what was raised, as text."""
    with CLOCKS[0] as clock:
        answer = _serve(request)
        if clock.late:
            raise TimeoutError(f"Timed out after {clock.limit:g} seconds.")
        return answer


def _serve(request: str) -> str:
    action, coded = json.loads(request)
    try:
        target, args, kwargs = _Decoder(find).decode(coded)
        result = ACTIONS[action](target, *args, **kwargs)
        answer = {"result": Encoder(keep).encode(result)}
    except Exception as error:  # whatever it is, the tests may expect it
        kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        return json.dumps({"raised": kinds, "text": str(error)})
    if args or kwargs:
        after = Encoder(keep).encode([args, kwargs])
        if after[1:] != coded[2:]:
            answer["arguments"] = after
    return json.dumps(answer)


class _Decoder(Decoder):
    """Reads the tests' values, which may be functions too."""

    def decode(self, coded: Any) -> Any:
        if isinstance(coded, list) and coded[0] == "def":
            code, name, defaults = coded[1:]
            body = marshal.loads(base64.b64decode(code))  # noqa: S302  (the tests are trusted)
            space = {"__builtins__": __builtins__}
            return types.FunctionType(body, space, name, self.decode(defaults))
        return super().decode(coded)


def _take(iterator: Iterator[Any]) -> list[Any]:
    return list(itertools.islice(iterator, ITEMS_AT_ONCE))


ACTIONS: dict[str, Callable[..., Any]] = {
    "call": lambda target, *args, **kwargs: target(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "len": len,
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "repr": repr,
    "eq": lambda one, other: bool(one == other),
    "iter": iter,
    "take": _take,
}
