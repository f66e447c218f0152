"""Tells honest differences between two observations of the same cell from real ones.

Recordings come from Python 3.8, IPython 8.12 and libraries of their time. The classes and their
cures are those of docs/grading.md, "Comparing observations". The first class that makes both texts
equal names the difference; what no class explains is ``different``.
"""

import math
import re
from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

EQUAL = "equal"
DIFFERENT = "different"
TIME_OUT = "time-out"
AFTER = "after a difference of state"
RANDOM = "random numbers"
"""The code draws them, or an earlier cell did."""
STATE_DIFFERS = (TIME_OUT, "python version", "library version", "network", "nltk data")
"""After one of these the two interpreters no longer hold the same things."""
NOT_COMPARABLE = (TIME_OUT, AFTER)
OUTSIDE = re.compile(
    r"\b(?:wikipedia\w*|requests|urllib|webbrowser|googlesearch|socket|geopy)\b|pip3? install"
)
"""Code that reaches outside of its sandbox, or tries to."""


class DifferenceClass(NamedTuple):
    """A kind of honest difference: both texts are equal once `cure` has been applied to them."""

    name: str
    cure: Callable[[str], str]


_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_LIBRARY_PATH = re.compile(
    r"(?:~|/)[^\s:'\",()]*/(?:site-packages|dist-packages|lib)/[^\s:'\",()]*"
)
_TRACEBACK = re.compile(r"^-{70,}$", re.MULTILINE)
_FRAME = re.compile(r"^(?:File |Cell In|Input In|\S+ in )", re.MULTILINE)
_CELL_FRAME = re.compile(r"^(?:Cell In|Input In)")
_LAST_LINE = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?::|$)")
_NUMPY_SCALAR = re.compile(r"np\.(?:float|int|uint|complex|bool|str)\w*\(([^()]*)\)")
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?")
_SPACE = re.compile(r"\s+")


def classify(recorded: str, live: str) -> str:
    """Name the difference between a recorded observation and a live one."""
    if recorded == live:
        return EQUAL
    if _timed_out(recorded, live):
        return TIME_OUT
    for name, cure in CLASSES:
        if cure(recorded) == cure(live):
            return name
    for name, test in _TESTS:
        if test(recorded, live):
            return name
    return DIFFERENT


def _without_addresses(text: str) -> str:
    return _LIBRARY_PATH.sub("<path>", _ADDRESS.sub("<address>", text))


def _own_frames(text: str) -> str:
    """Text before the traceback, the frames of cells and the last line."""
    parts = _TRACEBACK.split(_without_addresses(text), maxsplit=1)
    if len(parts) == 1:
        return parts[0]
    before, trace = parts
    trace, _, last = trace.rstrip().rpartition("\n")
    starts = [match.start() for match in _FRAME.finditer(trace)]
    frames = [trace[a:b] for a, b in zip_longest(starts, starts[1:])]
    kept = [frame.strip() for frame in frames if _CELL_FRAME.match(frame)]
    return "\n".join([before, *kept, last])


def _exception_type(text: str) -> str:
    """Text before the traceback, the cells' frames, and only the type of the exception."""
    *rest, last = _own_frames(text).split("\n")
    found = _LAST_LINE.match(last)
    return "\n".join([*rest, found["type"] if found else last])


def _before_and_type(text: str) -> str:
    """Text before the traceback and the exception's type, without any frame or source line."""
    parts = _TRACEBACK.split(text, maxsplit=1)
    lines = text.rstrip().split("\n")
    found = _LAST_LINE.match(lines[-1])
    if len(parts) == 1 and not (found and _CELL_FRAME.match(lines[0].strip())):
        return text
    return f"{parts[0] if len(parts) == 2 else ''}\n{found['type'] if found else lines[-1]}"


CLASSES = (
    DifferenceClass("address or path", _without_addresses),
    DifferenceClass("frames inside libraries", _own_frames),
    DifferenceClass("wording of an exception", _exception_type),
    DifferenceClass("frames and wording", _before_and_type),
)


_NEWER_PYTHON = re.compile(
    r"AttributeError: (?:module '(?:math|statistics|itertools|functools|random|typing)' has no|"
    r"'(?:str|int|dict|list)' object has no) attribute|"
    r"TypeError: '(?:type|ABCMeta)' object is not subscriptable|"
    r"TypeError: unsupported operand type\(s\) for \||TypeError: gcd expected 2 arguments"
)


def _timed_out(recorded: str, live: str) -> bool:
    return "TimeoutError: Timed out after" in recorded or "TimeoutError: Timed out after" in live


def _close_numbers(recorded: str, live: str) -> bool:
    """Equal, except for the last digits of numbers and how numpy prints scalars and arrays."""
    texts = [_NUMPY_SCALAR.sub(r"\1", _without_addresses(text)) for text in (recorded, live)]
    words = [_SPACE.sub("", _NUMBER.sub("#", text)) for text in texts]
    if words[0] != words[1]:
        return False
    pairs = zip(*[map(float, _NUMBER.findall(text)) for text in texts], strict=True)
    return all(math.isclose(was, now, rel_tol=1e-7, abs_tol=1e-12) for was, now in pairs)


def _newer_library(recorded: str, live: str) -> bool:
    """One side's library has a name that the other's lacks."""
    return any("ImportError: cannot import name" in text for text in (recorded, live))


def _newer_python(recorded: str, live: str) -> bool:
    """Python 3.8 lacked what the code used, and ours has it."""
    found = _NEWER_PYTHON.search(recorded)
    return found is not None and found[0] not in live


def _network(recorded: str, live: str) -> bool:
    marks = ("ConnectionError", "URLError", "gaierror", "HTTPError", "HTTPSConnectionPool")
    return any(mark in text for text in (recorded, live) for mark in marks)


def _nltk(recorded: str, live: str) -> bool:
    return any("nltk" in text for text in (recorded, live))


_TESTS: tuple[tuple[str, Callable[[str, str], bool]], ...] = (
    ("last digits or numpy repr", _close_numbers),
    ("python version", _newer_python),
    ("library version", _newer_library),
    ("network", _network),
    ("nltk data", _nltk),
)
