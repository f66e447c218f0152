"""Runs a piece of source in a fresh session for a grader, and reads what came back."""

from typing import Any

from codeact.edge.sandboxes.base import Evaluation, Sandbox

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


async def evaluate(sandbox: Sandbox, source: str, *, seconds: float) -> Evaluation:
    """Run `source` in a session of its own."""
    async with await sandbox.session() as session:
        return await session.evaluate(source, seconds=seconds)


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
