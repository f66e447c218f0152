r"""Parse the guest's messages, which are untrusted: typed, bounded, and with encodable text.

A frame is strict JSON: no NaN, no infinity, no number that a float or an integer of 4,300
digits cannot hold. Half of a surrogate pair, which no file could hold, becomes six
plain characters: ``\ud800``. Unknown fields are skipped.
"""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

MOST_VALUES = 200_000
"""Values within one value: what takes three bytes in JSON takes eighty in memory."""
DEEPEST = 64
"""Lists and objects within each other."""
LARGEST_NUMBER = (1 << 53) - 1
_MOST_REPAIRED = 1 << 18

Number = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]


class FrameError(Exception):
    """A frame is not a valid message; the text holds nothing that the guest sent."""


class Frame(msgspec.Struct, frozen=True):
    """A message of a session: its greeting, an answer, or the call of a tool."""

    id: Number | UnsetType = UNSET
    call: str | UnsetType = UNSET
    args: Raw | UnsetType = UNSET
    kwargs: Raw | UnsetType = UNSET
    slot: Number | UnsetType = UNSET
    generation: Number | UnsetType = UNSET
    ok: bool | UnsetType = UNSET
    output: str = ""
    error: str = ""
    status: Literal["ok", "error", "timeout"] | UnsetType = UNSET
    value: Raw | UnsetType = UNSET
    broken: bool = False


class ServerFrame(msgspec.Struct, frozen=True):
    """A message of the guest's server: that it is ready or alive, or that a session is gone."""

    ready: list[str] | UnsetType = UNSET
    pid: Number = 0
    uids: bool = False
    run_cell: str = ""
    pong: Number | UnsetType = UNSET
    gone: Number | UnsetType = UNSET
    generation: Number = 0
    reason: Literal["asked", "memory", "processes", "exit", "signal"] = "signal"
    code: Annotated[int, Meta(ge=-1024, le=1024)] = 0


_read_frame = msgspec.json.Decoder(Frame).decode
_read_server_frame = msgspec.json.Decoder(ServerFrame).decode
_read_text = msgspec.json.Decoder(str).decode
_read_any = msgspec.json.Decoder().decode

# An escaped backslash, a whole pair, or half a pair: the first two are left as they are.
_ESCAPES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def read(body: bytes) -> Frame:
    """Read a session's message; raises FrameError."""
    try:
        return _read_frame(body)
    except msgspec.ValidationError as error:
        raise FrameError("it sent what is not a message") from error
    except (ValueError, RecursionError):
        pass
    try:
        return _read_frame(_repaired(body))
    except (ValueError, RecursionError) as error:
        raise FrameError("it sent what is not a message") from error


def read_server(body: bytes) -> ServerFrame:
    """Read a message of the guest's server; raises FrameError."""
    try:
        return _read_server_frame(body)
    except (ValueError, RecursionError) as error:
        raise FrameError("it sent what is not a message") from error


def value_of(data: bytes) -> Any:
    """Read a value that a message carries; raises FrameError if it is too large, or not JSON.

    A text may be as long as the frame. Everything else has at most `MOST_VALUES` values in it,
    `DEEPEST` deep; commas and brackets within texts count as well.
    """
    try:
        if data.startswith(b'"'):
            return _read_text(data)
        nested = data.count(b"[") + data.count(b"{")
        if nested + data.count(b",") > MOST_VALUES:
            raise FrameError(f"it is more than {MOST_VALUES:,} values")
        value = _read_any(data)
    except (ValueError, RecursionError) as error:
        raise FrameError("it is not JSON") from error
    if nested > DEEPEST and _depth_exceeds(value, DEEPEST):
        raise FrameError(f"it is more than {DEEPEST} deep")
    return value


def _repaired(body: bytes) -> bytes:
    """Replace halves of surrogate pairs by text.

    An honest guest does so itself, so large frames are not repaired.
    """
    if len(body) > _MOST_REPAIRED:
        return b""
    return _ESCAPES.sub(lambda m: rb"\\" + m["half"] if m["half"] else m[0], body)


def _depth_exceeds(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            inner
            for outer in level
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(inner, list | dict) for inner in level)
