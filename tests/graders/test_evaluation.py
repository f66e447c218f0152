"""What a session says of a program: read as data, bounded, and said in few words."""

import math
from typing import Any

import pytest

from codeact.graders.evaluation import (
    LONGEST_DETAIL,
    bounded,
    decode_plain,
    short,
    timed,
    why,
    wrong,
)
from codeact.sandboxes.base import Evaluation


def nested(depth: int) -> Any:
    return ["list", [nested(depth - 1)]] if depth else ["int", "1"]


def lists(depth: int) -> Any:
    return [lists(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (["bool", True], True),
        (["bool", 1], None),
        (["str", "a"], "a"),
        (["str", 1], None),
        (["int", "12"], 12),
        (["int", "1.5"], None),
        (["float", "1.5"], 1.5),
        (["float", "x"], None),
        (["float", 1.5], None),
        (["list", []], []),
        (["list", [["int", "1"], ["str", "a"]]], [1, "a"]),
        (["list", [["int", "1"], ["other"]]], None),
        (["list", "ab"], None),
        (["other"], None),
        (["complex", "1"], None),
        (None, None),
        ("int", None),
        (nested(20), lists(20)),
        (nested(21), None),
        (["list", [["int", "1"]] * 10_000], [1] * 10_000),
        (["list", [["int", "1"]] * 10_001], None),
    ],
    ids=range(21),
)
def test_what_a_session_says_is_read_as_plain_data(said: Any, value: Any) -> None:
    found = decode_plain(said)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(1, 1.0), (0, 0.0), (10.0, 10.0), (10.1, 10.0), (-0.1, 10.0), (math.nan, 10.0), ("1", 10.0)],
)
def test_seconds_are_between_nothing_and_the_limit(said: Any, seconds: float) -> None:
    assert bounded(said, 10.0) == seconds


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Evaluation(ok=True, error="x"), ""),
        (Evaluation(ok=False, error="ValueError: no"), "ValueError: no"),
        (Evaluation(ok=False, status="oom"), "oom"),
        (Evaluation(ok=False, error="killed by SIGXCPU"), "TimeoutError: out of processor time"),
    ],
)
def test_why_a_program_failed(outcome: Evaluation, words: str) -> None:
    assert why(outcome) == words
    assert (wrong(outcome).correct, wrong(outcome).detail) == (False, words)


def test_a_detail_is_short() -> None:
    assert short("x" * LONGEST_DETAIL) == "x" * LONGEST_DETAIL
    assert short("x" * (LONGEST_DETAIL + 1)) == "x" * LONGEST_DETAIL + "…"


class Saying:
    """A session that ends in one way."""

    def __init__(self, outcome: Evaluation) -> None:
        self.outcome = outcome

    async def evaluate(self, source: str, *, seconds: float) -> Evaluation:
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "ok", "value", "seconds"),
    [
        (Evaluation(ok=True, value=[2, "x"]), True, "x", 2.0),
        (Evaluation(ok=True, value=[99.0, "x"]), True, "x", 5.0),
        (Evaluation(ok=True, value=["x", 2]), False, None, 5.0),
        (Evaluation(ok=True, value=None), False, None, 5.0),
        (Evaluation(ok=False, value=[2, "x"], error="E"), False, [2, "x"], 5.0),
    ],
)
async def test_a_program_says_how_long_it_took(
    outcome: Evaluation, ok: bool, value: Any, seconds: float
) -> None:
    found = await timed(Saying(outcome), "pass", 5.0)  # type: ignore[arg-type]
    assert (found.outcome.ok, found.outcome.value, found.seconds) == (ok, value, seconds)
    assert found.outcome.ok or found.outcome.error in ("its answer is no data", "E")
