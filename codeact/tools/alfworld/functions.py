"""What a policy can do in a household: one function for each tool, from which all else is made.

A function returns the command that the game understands. Its signature and its docstring are what
the policy reads. As in the published runs, an argument may be anything: the game answers a command
that it does not know, or that is impossible just now, with ``Nothing happens.``
"""

import inspect
from collections.abc import Callable

from codeact.episode.task import ToolSpec

ToCommand = Callable[..., str]


def put(object: str, receptacle: str) -> str:  # noqa: A002 (names are part of the interface)
    """Put an object that you hold in or on a receptacle where you are.

    For instance put("mug 1", "desk 2").
    """
    return f"put {object} in/on {receptacle}"


def goto(receptacle: str) -> str:
    """Walk to a receptacle and look at it.

    For instance goto("drawer 1").
    """
    return f"go to {receptacle}"


def take_from(object: str, receptacle: str) -> str:  # noqa: A002
    """Take an object out of or off a receptacle where you are.

    For instance take_from("mug 1", "shelf 2").
    """
    return f"take {object} from {receptacle}"


def open_receptacle(receptacle: str) -> str:
    """Open a closed receptacle where you are.

    For instance open_receptacle("fridge 1").
    """
    return f"open {receptacle}"


def toggle(object_or_receptacle: str) -> str:
    """Switch something on or off.

    For instance toggle("desklamp 1").
    """
    return f"toggle {object_or_receptacle}"


def close_receptacle(receptacle: str) -> str:
    """Close an open receptacle where you are.

    For instance close_receptacle("microwave 1").
    """
    return f"close {receptacle}"


def clean(object: str, receptacle: str) -> str:  # noqa: A002
    """Clean an object that you hold, at a sink or the like.

    For instance clean("cloth 1", "sinkbasin 1").
    """
    return f"clean {object} with {receptacle}"


def heat(object: str, receptacle: str) -> str:  # noqa: A002
    """Heat an object that you hold, at a microwave or the like.

    For instance heat("egg 1", "microwave 1").
    """
    return f"heat {object} with {receptacle}"


def cool(object: str, receptacle: str) -> str:  # noqa: A002
    """Cool an object that you hold, at a fridge or the like.

    For instance cool("pan 1", "fridge 1").
    """
    return f"cool {object} with {receptacle}"


def use(receptacle: str) -> str:
    """Use what is where you are, such as a lamp to look at what you hold.

    For instance use("desklamp 1").
    """
    return f"use {receptacle}"


def look() -> str:
    """Look around where you are.

    For instance look().
    """
    return "look"


_ALL: tuple[ToCommand, ...] = (
    put,
    goto,
    take_from,
    open_receptacle,
    toggle,
    close_receptacle,
    clean,
    heat,
    cool,
    use,
    look,
)
FUNCTIONS = {function.__name__: function for function in _ALL}
"""In the order in which the policy reads of them."""


def _spec(function: ToCommand) -> ToolSpec:
    summary, _, instance = (inspect.getdoc(function) or "").partition("\n\n")
    return ToolSpec(
        name=function.__name__,
        signature=f"{function.__name__}{inspect.signature(function)}",
        description=f"{summary} Returns what you see then. {instance}",
    )


SPECS = tuple(map(_spec, _ALL))
