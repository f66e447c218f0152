"""Verdicts on APPS: what a solution prints, or returns, for each case of a reference.

A session gets the solution and the inputs, and answers with data: a text, or a value as JSON. The
expected outputs never leave this process, where the comparison falls, so a solution can print or
patch what it likes and has nothing to forge a verdict with. Each case has a session of its own, so
none leaves anything to the next.
"""

import json
import math
import time
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

from codeact.edge.graders.fences import unfence
from codeact.edge.sandboxes.base import Evaluation, Sandbox, Session
from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.exceptions import GraderFailure

SECONDS = 10.0
"""For all cases in ``mint`` mode, for each in ``strict`` mode (grading.md)."""
_LEAST_SECONDS = 0.05
_LONGEST_PROGRAM = 1_000_000
_LONGEST_OUTPUT = 8_000_000
_RELATIVE, _ABSOLUTE = 1e-5, 1e-8

# What APPS' call-based problems take for granted: their sites import these unasked.
_GIVEN = """
import bisect, collections, functools, heapq, itertools, math, operator, random, re, string, sys
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from typing import *
"""
_PROGRAM = """
import io, os, sys, tempfile, threading
with tempfile.TemporaryFile() as given:
    given.write(GIVEN.encode("utf-8", "surrogatepass"))
    given.seek(0)
    os.dup2(given.fileno(), 0)
sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), encoding="utf-8")
printed = io.BytesIO()
sys.stdout = io.TextIOWrapper(printed, encoding="utf-8", write_through=True)
sys.argv = ["solution.py"]
earlier = set(threading.enumerate())
try:
    exec(compile(SOLUTION, "solution.py", "exec"), {"__name__": "__main__"})
except SystemExit as end:
    if end.code not in (None, 0):
        raise RuntimeError(f"exit status {end.code}") from None
for thread in threading.enumerate():
    if thread not in earlier and not thread.daemon:
        thread.join()
sys.stdout.flush()
RESULT = printed.getvalue().decode("utf-8", "replace")
"""
_FUNCTION = """
import json
def plain(value):
    return value.tolist() if hasattr(value, "tolist") else list(value)
space = {"__name__": "solution"}
exec(compile(HEAD, "given.py", "exec"), space)
exec(compile(SOLUTION, "solution.py", "exec"), space)
owner = space.get("Solution")
function = getattr(owner(), NAME) if isinstance(owner, type) else space[NAME]
RESULT = json.dumps(function(*json.loads(GIVEN, object_pairs_hook=KEYS)), default=plain)
"""
_KEYS = """
def KEYS(pairs):
    found = dict(pairs)
    try:
        return {int(key): value for key, value in found.items()}
    except ValueError:
        return found
"""


class Pair(NamedTuple):
    """One case."""

    given: Any
    expected: Any


class Cases(NamedTuple):
    """The cases of a problem; `function` is what to call, None for whole programs."""

    function: str | None
    pairs: list[Pair]


def read(reference: str) -> Cases:
    """Read a reference; raises `ValueError` with what is wrong with it."""
    found = json.loads(reference)
    match found:
        case {"inputs": list(given), "outputs": list(expected)}:
            pass
        case _:
            raise ValueError("it is no JSON object with lists of inputs and outputs")
    if len(given) != len(expected):
        raise ValueError(f"{len(given)} inputs but {len(expected)} outputs")
    name = found.get("fn_name")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"fn_name is no name: {name!r:.40}")
    return Cases(name, [Pair(*pair) for pair in zip(given, expected, strict=True)])


async def grade_mint(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade as published: ten seconds over all cases."""
    return await _grade(task, answer, sandbox, at_all=SECONDS)


async def grade_strict(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade with ten seconds for each case; a program may stand in a fence."""
    return await _grade(task, unfence(answer), sandbox, at_all=math.inf)


async def _grade(task: Task, answer: str, sandbox: Sandbox, *, at_all: float) -> Verdict:
    cases = _of(task)
    deadline = time.monotonic() + at_all
    for number, (source, pair) in enumerate(_sources(cases, answer), start=1):
        left = max(min(SECONDS, deadline - time.monotonic()), _LEAST_SECONDS)
        async with await sandbox.session() as session:
            why = await _fails(session, source, pair, cases, left)
        if why:
            return Verdict(False, f"case {number} of {len(cases.pairs)}: {why}")
    return Verdict(True)


def _of(task: Task) -> Cases:
    try:
        return read(str(task.reference))
    except ValueError as error:
        raise GraderFailure(f"the reference of {task.key} holds no cases: {error}") from error


def _sources(cases: Cases, answer: str) -> Iterator[tuple[str, Pair]]:
    for pair in cases.pairs:
        if len(answer) > _LONGEST_PROGRAM:
            yield "raise ValueError('longer than any program')", pair
        elif cases.function is None:
            given = _text(pair.given)
            yield f"SOLUTION = {answer!r}\nGIVEN = {given!r}\n{_PROGRAM}", pair
        else:
            head = f"SOLUTION = {answer!r}\nNAME = {cases.function!r}\nHEAD = {_GIVEN!r}\n"
            arguments = json.dumps(_arguments(pair.given))
            yield f"{head}GIVEN = {arguments!r}\n{_KEYS}{_FUNCTION}", pair


async def _fails(session: Session, source: str, pair: Pair, cases: Cases, seconds: float) -> str:
    """Run one case; answer why it fails, or nothing."""
    outcome = await session.evaluate(source, seconds=seconds)
    if not outcome.ok or not isinstance(outcome.value, str):
        return outcome.error or outcome.status if not outcome.ok else "no output"
    if len(outcome.value) > _LONGEST_OUTPUT:
        return "the output is longer than any answer"
    if cases.function is None:
        return "" if same_output(outcome.value, _text(pair.expected)) else "another output"
    return _wrong_value(outcome, pair.expected)


def _wrong_value(outcome: Evaluation, expected: Any) -> str:
    try:
        value = json.loads(outcome.value)
    except (ValueError, RecursionError):
        return "its value is no data"
    if same_value(value, expected):
        return ""
    # Many references wrap the value that a function returns into a list of one.
    if isinstance(expected, list) and expected and same_value(value, expected[0]):
        return ""
    return "another value"


def same_output(printed: str, expected: str) -> bool:
    """Compare line by line, white space apart, words that are numbers by value."""
    pairs = zip_longest(_lines(printed), _lines(expected), fillvalue=None)
    return all(
        one is not None and other is not None and _same_words(one, other) for one, other in pairs
    )


def same_value(value: Any, expected: Any) -> bool:
    """Compare JSON values; numbers that are not whole by value, true and false only as such."""
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, int | float) and isinstance(expected, int | float):
        return value == expected or (
            (isinstance(value, float) or isinstance(expected, float)) and _close(value, expected)
        )
    if isinstance(value, list) and isinstance(expected, list):
        return len(value) == len(expected) and all(map(same_value, value, expected))
    if isinstance(value, dict) and isinstance(expected, dict):
        return value.keys() == expected.keys() and all(
            same_value(value[key], expected[key]) for key in value
        )
    return type(value) is type(expected) and bool(value == expected)


def _text(lines: Any) -> str:
    """Some references give a text as the list of its lines."""
    return "\n".join(map(_text, lines)) if isinstance(lines, list) else str(lines)


def _arguments(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def _same_words(one: list[str], other: list[str]) -> bool:
    return one == other or (len(one) == len(other) and all(map(_same_word, one, other)))


def _same_word(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        if "." in one + other or "e" in (one + other).lower():
            return _close(float(one), float(other))
        return int(one) == int(other)
    except (ValueError, OverflowError):
        return False


def _close(one: float, other: float) -> bool:
    try:
        return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    except OverflowError:
        return False
