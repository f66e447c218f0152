"""A hidden first cell, as newer recordings have it: their first visible cell is number 2."""

import re
from collections.abc import Mapping

from codeact.recordings.episodes import RecordedEpisode
from codeact.sandboxes.base import HostTool, Sandbox, Session

_SECOND_CELL_FIRST = re.compile(r"(?:Out|In)\[2\]")
_ANY_CELL = re.compile(r"(?:Out|In)\[\d+\]")


def starts_at_two(episode: RecordedEpisode) -> bool:
    """Whether the first numbered cell is ``[2]``: a hidden cell ran before it."""
    for turn in episode.turns:
        if turn.environment and "<execute>" in turn.text and "<solution>" not in turn.text:
            observation = turn.environment.observation
            first = _ANY_CELL.search(observation)
            return first is not None and _SECOND_CELL_FIRST.match(first[0]) is not None
    return False


def primed(sandbox: Sandbox) -> Sandbox:
    """Return a sandbox whose sessions have run a hidden cell first."""
    return _Primed(sandbox)


class _Primed:
    """A sandbox whose sessions have run one hidden cell first, as in newer recordings."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def session(
        self, *, setup: str = "", tools: Mapping[str, HostTool] | None = None
    ) -> Session:
        session = await self._sandbox.session(setup=setup, tools=tools)
        await session.execute("pass")
        return session

    async def close(self) -> None:
        """Do nothing: the caller who opened the sandbox closes it."""
