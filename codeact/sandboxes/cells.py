"""Run cells from a JSONL file: sessions side by side, the cells of one session in order."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec

from codeact.episode.effects import Status
from codeact.episode.protocol import render_execution
from codeact.exceptions import ConfigError
from codeact.jsonl import Unreadable, decoded_lines
from codeact.sandboxes.base import Sandbox


class Cell(msgspec.Struct, forbid_unknown_fields=True):
    """One line of input."""

    session: str
    code: str


_CELL = msgspec.json.Decoder(Cell)


class CellResult(msgspec.Struct, frozen=True):
    """One line of output; `observation` is what a policy would read."""

    session: str
    observation: str
    status: Status
    seconds: float


def read_cells(file: Path) -> list[Cell]:
    """Read a file of cells, also ``.gz``; raises `ConfigError` with the line's number."""
    cells: list[Cell] = []
    kind = 'cell such as {"session": "a", "code": "1 + 1"}'
    for found in decoded_lines(file, lambda line, _: _CELL.decode(line), kind):
        if isinstance(found, Unreadable):
            raise ConfigError(f"{found.place.in_words}: {found.reason}")
        cells.append(found)
    return cells


async def run_cells(
    sandbox: Sandbox, cells: Iterable[Cell], *, at_once: int = 16
) -> AsyncIterator[CellResult]:
    """Yield each result as it comes; raises SandboxFailure when the sandbox is broken."""
    by_session: dict[str, list[str]] = {}
    for cell in cells:
        by_session.setdefault(cell.session, []).append(cell.code)
    results: asyncio.Queue[CellResult | BaseException | None] = asyncio.Queue()
    limit = asyncio.Semaphore(at_once)

    async def one(name: str, codes: list[str]) -> None:
        async with limit, await sandbox.session() as session:
            for code in codes:
                done = await session.execute(code)
                text = render_execution(done.output, state_lost=done.state_lost)
                await results.put(CellResult(name, text, done.status, round(done.seconds, 6)))

    async def everything() -> None:
        ends: list[Any] = await asyncio.gather(
            *[one(*item) for item in by_session.items()], return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException):
                await results.put(end)
        await results.put(None)

    work = asyncio.create_task(everything())
    try:
        while (result := await results.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
