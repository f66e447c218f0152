"""Verdicts on APPS: what a solution prints, or returns, for each case of a reference.

A session gets the solution and an input, and sends back data: a text, or a value as JSON. The
expected outputs never leave this process, which compares. So a solution can print or patch what it
likes and cannot forge a verdict. Each case has its own session, so no case affects the next. A
whole program runs there as a process. If it ends with an exception or a status other than 0, it has
failed, whatever it printed before.
"""

import asyncio
import json
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.exceptions import GraderFailure
from codeact.graders.evaluation import WALL, bounded, call, short, timed, why
from codeact.graders.fences import unfence
from codeact.graders.outputs import (
    same_output,
    same_output_strictly,
    same_value,
    same_value_strictly,
)
from codeact.sandboxes.base import Sandbox, Session

SECONDS = 10.0
"""For all cases in ``mint`` mode, for each in ``strict`` mode: seconds in which the solution had a
processor or slept, from when its session is there."""
_LEAST_SECONDS = 0.05
_LONGEST_PROGRAM = 1_000_000
_LONGEST_OUTPUT = 4_000_000
_TOO_LONG = Verdict(False, "the answer is longer than any program")
_SHORT = 50_000
"""Longer outputs are read in another thread, beside the event loop."""

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


class _Said(NamedTuple):
    """What a session says of one case: an output or a value's JSON, or why there is none."""

    text: str
    why: str
    seconds: float


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


async def mint(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade as published: ten seconds over all cases, numbers by value and nearly."""
    cases = _of(task)
    if len(answer) > _LONGEST_PROGRAM:
        return _TOO_LONG
    judge = _judge_output if cases.function is None else _judge_value
    return await _grade(cases, answer, sandbox, judge, at_all=SECONDS)


async def strict(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade with ten seconds for each case, and exactly; a program may stand in a fence."""
    cases = _of(task)
    if len(answer) > _LONGEST_PROGRAM:
        return _TOO_LONG
    judge = _judge_output_strictly if cases.function is None else _judge_value_strictly
    return await _grade(cases, unfence(answer), sandbox, judge, at_all=math.inf)


async def _grade(
    cases: Cases, answer: str, sandbox: Sandbox, judge: Callable[[str, Any], str], *, at_all: float
) -> Verdict:
    run = _program(answer) if cases.function is None else _function(cases.function, answer)
    left = at_all
    for number, pair in enumerate(cases.pairs, start=1):
        async with await sandbox.session() as session:
            said = await run(session, pair.given, max(min(SECONDS, left), _LEAST_SECONDS))
        left -= said.seconds
        trouble = said.why
        if not trouble and len(said.text) <= _SHORT:
            trouble = judge(said.text, pair.expected)
        elif not trouble:
            trouble = await asyncio.to_thread(judge, said.text, pair.expected)
        if trouble:
            return Verdict(False, f"case {number} of {len(cases.pairs)}: {trouble}")
    return Verdict(True)


def _of(task: Task) -> Cases:
    try:
        return read(str(task.reference))
    except ValueError as error:
        raise GraderFailure(f"the reference of {task.key} holds no cases: {error}") from error


# -- running a case

_Run = Callable[[Session, Any, float], Any]


def _program(answer: str) -> _Run:
    source = repr(answer)

    async def run(session: Session, given: Any, seconds: float) -> _Said:
        told = f"run_program({source}, {_text(given)!r}, {seconds!r}, {_LONGEST_OUTPUT})"
        began = time.monotonic()
        outcome = await session.evaluate(call("programs", told), seconds=WALL * seconds)
        most = min(seconds, time.monotonic() - began)
        match outcome.value:
            case {"output": str(text), "why": str(trouble), "seconds": took} if outcome.ok:
                return _Said(text, short(trouble), bounded(took, most))
        return _Said("", why(outcome) or "no output", most)

    return run


def _function(name: str, answer: str) -> _Run:
    head = f"SOLUTION = {answer!r}\nNAME = {name!r}\nHEAD = {_GIVEN!r}\n"

    async def run(session: Session, given: Any, seconds: float) -> _Said:
        arguments = json.dumps(given if isinstance(given, list) else [given])
        source = f"{head}GIVEN = {arguments!r}\n{_KEYS}{_FUNCTION}"
        outcome, took = await timed(session, source, seconds)
        value = outcome.value
        if outcome.ok and isinstance(value, str) and len(value) <= _LONGEST_OUTPUT:
            return _Said(value, "", took)
        return _Said("", why(outcome) or "no output", took)

    return run


# -- judging it


def _judge_output(printed: str, expected: Any) -> str:
    return "" if same_output(printed, _text(expected)) else "another output"


def _judge_output_strictly(printed: str, expected: Any) -> str:
    return "" if same_output_strictly(printed, _text(expected)) else "another output"


def _judge_value(said: str, expected: Any) -> str:
    """Compare as published: a list's first value is as good as the list."""
    wanted = [expected, *expected[:1]] if isinstance(expected, list) else [expected]
    return _judged(said, wanted, same_value)


def _judge_value_strictly(said: str, expected: Any) -> str:
    """Compare exactly. Many references wrap a value in a list of one, and that may be missing."""
    is_wrapped = isinstance(expected, list) and len(expected) == 1
    return _judged(said, [expected, *expected] if is_wrapped else [expected], same_value_strictly)


def _judged(said: str, wanted: list[Any], same: Callable[[Any, Any], bool]) -> str:
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        return "its value is no data"
    return "" if any(same(value, one) for one in wanted) else "another value"


def _text(lines: Any) -> str:
    """Some references give a text as the list of its lines."""
    return "\n".join(map(_text, lines)) if isinstance(lines, list) else str(lines)
