"""A sandbox whose sessions say what they are told to: anything that untrusted code could say."""

from typing import Any, Self, cast

from codeact.sandboxes.base import Evaluation, Sandbox


class Telling:
    """Each session says the next of `values`, and that it took the next of `took` seconds."""

    def __init__(self, *values: Any, took: tuple[float, ...] = ()) -> None:
        self.values = list(values)
        self.took = list(took)
        self.seconds: list[float] = []
        """How long each evaluation was allowed to take."""

    @property
    def sandbox(self) -> Sandbox:
        return cast(Sandbox, self)

    async def session(self, **_: object) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def evaluate(self, source: str, *, seconds: float) -> Evaluation:
        self.seconds.append(seconds)
        took = self.took.pop(0) if self.took else 0.0
        return Evaluation(ok=True, value=[took, self.values.pop(0)])
