"""What a template of tasks is given, and what it makes."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from codeact.datasets.toolbench.domains.base import Domain
from codeact.datasets.toolbench.drawing import Draws

Difficulty = Literal["single", "few", "several", "loop"]
CALLS: Mapping[Difficulty, tuple[int, int]] = {
    "single": (1, 1),
    "few": (2, 4),
    "several": (5, 12),
    "loop": (13, 30),
}
"""The fewest and the most calls of a reference at each difficulty."""
AnswerKind = Literal["integer", "number", "text", "list", "code"]
"""A ``code`` is that of a closed state, which the last call returns."""


class Draft(NamedTuple):
    """A task as a template makes it. `program` prints the answer and nothing else.

    `tolerance` is by how much an answer of the kind ``number`` may be off.
    """

    prompt: str
    answer: Any
    kind: AnswerKind
    program: str
    tolerance: float = 0.0


class Unsuitable(Exception):
    """What was drawn makes no good task, for instance because two answers would be right."""


class CallLog:
    """Calls the tools of a domain, and keeps what was called: the reference call sequence."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self.made: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, tool: str, **arguments: Any) -> Any:
        """Call a tool and return its result."""
        self.made.append((tool, arguments))
        return getattr(self._domain, tool)(**arguments)


Template = Callable[[Draws, CallLog, Mapping[str, Any]], Draft]
"""Makes a task of the domain's data, and works it out by calls."""


class DomainMaker(NamedTuple):
    """One domain: how it is introduced, its class, its data and its templates."""

    introduction: str
    domain: type[Domain]
    data: Callable[[Draws], dict[str, Any]]
    templates: Mapping[Difficulty, tuple[Template, ...]]


def only(items: list[Any]) -> Any:
    """Return the single item; raises `Unsuitable` if there are more or none."""
    if len(items) != 1:
        raise Unsuitable
    return items[0]
