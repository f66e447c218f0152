"""Run blocking calls in threads; what they create always gets an owner."""

import asyncio
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking function in a thread."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, functools.partial(function, *args, **kwargs))


async def made_in_thread(make: Callable[[], R], own: Callable[[R], None]) -> R:
    """Run a blocking function in a thread, and pass what it creates to `own`.

    A thread cannot be stopped, so a cancellation is raised only after `own` was called.
    """
    made = asyncio.get_running_loop().run_in_executor(None, make)
    cancelled: asyncio.CancelledError | None = None
    while not made.done():
        try:
            await asyncio.wait([made])
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        result = made.result()
    except Exception:
        if cancelled is not None:
            raise cancelled from None
        raise
    own(result)
    if cancelled is not None:
        raise cancelled
    return result
