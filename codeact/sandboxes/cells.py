"""Run cells from a JSONL file: sessions side by side, the cells of one session in order."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from codeact.episode.effects import Status
from codeact.episode.protocol import render_execution
from codeact.exceptions import ConfigError
from codeact.sandboxes.base import Sandbox


class Cell(msgspec.Struct, forbid_unknown_fields=True):
    """One line of input."""

    session: str
    code: str


class CellResult(msgspec.Struct, frozen=True):
    """One line of output; `observation` is what a policy would read."""

    session: str
    observation: str
    status: Status
    seconds: float


def read_cells(lines: Iterable[str], name: str = "the file") -> list[Cell]:
    """Decode lines of cells; raises ConfigError with the line's number."""
    cells = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            cells.append(msgspec.json.decode(line, type=Cell))
        except msgspec.DecodeError as error:
            raise ConfigError(
                f'{name}, line {number}: {error}; a line is {{"session": "a", "code": "1 + 1"}}'
            ) from error
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
