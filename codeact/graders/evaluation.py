"""Runs a piece of source in a session for a grader, by its own clock, and reads what came back."""

import math
from typing import Any, NamedTuple

from codeact.episode.effects import Verdict
from codeact.sandboxes.base import GRADER_MODULES, Evaluation, Sandbox, Session

WALL = 12.0
"""What a limit is multiplied by for the wall clock: only code that tampers with its own clock, or a
machine with many times the work that it can do, comes that far."""
LONGEST_DETAIL = 2000
_DEEPEST = 20
_LONGEST_LIST = 10_000

ENCODE_PLAIN = """
def encode_plain(value, depth=0):
    if isinstance(value, bool):
        return ["bool", value]
    if isinstance(value, str):
        return ["str", value[:1000]]
    if isinstance(value, int):
        return ["int", str(int(value))]
    if isinstance(value, float):
        return ["float", repr(float(value))]
    if isinstance(value, list) and depth < 20 and len(value) <= 10000:
        return ["list", [encode_plain(item, depth + 1) for item in value]]
    return ["other"]
"""
"""Source of a function for a session: plain values as tagged text that JSON keeps exactly."""


class Timed(NamedTuple):
    """What a program did, and how many seconds it says that it took (between 0 and its limit)."""

    outcome: Evaluation
    seconds: float


async def evaluate(sandbox: Sandbox, source: str, *, seconds: float) -> Evaluation:
    """Run `source` in a session of its own, for so many seconds that it runs or sleeps.

    Waiting for the session is not part of that, nor is waiting for a processor.
    """
    async with await sandbox.session() as session:
        return (await timed(session, source, seconds)).outcome


async def timed(session: Session, source: str, seconds: float) -> Timed:
    """Run `source` in an open session."""
    outcome = await session.evaluate(
        call("clock", f"run({source!r}, {seconds!r})"), seconds=WALL * seconds
    )
    match outcome.value:
        case [int(took) | float(took), value] if outcome.ok:
            return Timed(Evaluation(ok=True, value=value), bounded(took, seconds))
    if outcome.ok:
        return Timed(Evaluation(ok=False, error="its answer is no data", status="error"), seconds)
    return Timed(outcome, seconds)


def call(module: str, expression: str) -> str:
    """Write a call of one of our modules, which every guest has loaded before any session."""
    return f'import sys\nRESULT = sys.modules["{GRADER_MODULES}.{module}"].{expression}'


def bounded(seconds: Any, most: float) -> float:
    """Return the seconds that a session reports if they are possible, else its whole limit."""
    good = isinstance(seconds, int | float) and math.isfinite(seconds) and 0 <= seconds <= most
    return float(seconds) if good else most


def why(outcome: Evaluation) -> str:
    """Return why a program failed, short enough for a verdict; nothing if it did not."""
    if outcome.ok:
        return ""
    if "SIGXCPU" in outcome.error:
        return "TimeoutError: out of processor time"
    return short(outcome.error or outcome.status)


def short(text: str) -> str:
    """Cut what a session says to the length of a detail."""
    return text if len(text) <= LONGEST_DETAIL else text[:LONGEST_DETAIL] + "…"


def wrong(outcome: Evaluation) -> Verdict:
    """Return the verdict on a program that failed."""
    return Verdict(False, why(outcome))


def decode_plain(encoded: Any, depth: int = 0) -> Any:
    """Read what `encode_plain` wrote; None for anything else, as the session may say anything."""
    match encoded:
        case ["bool", bool(value)]:
            return value
        case ["str", str(value)]:
            return value
        case ["int" | "float", str(digits)]:
            try:
                return int(digits) if encoded[0] == "int" else float(digits)
            except ValueError:
                return None
        case ["list", list(items)] if depth < _DEEPEST and len(items) <= _LONGEST_LIST:
            values = [decode_plain(item, depth + 1) for item in items]
            return None if any(value is None for value in values) else values
    return None
