"""A record's line gives the record back, or is never written; older lines stay readable."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codeact.episode.accounts import AccountLine, PlayAccounts
from codeact.episode.effects import Counts, Outcome, Turn, Usage
from codeact.episode.record import (
    Attempt,
    EpisodeRecord,
    UnwritableRecord,
    checked_line,
    decode,
    encode,
    placeholder_record,
)
from codeact.episode.spending import spent_on
from tests.helpers.records import make_record

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
COUNT = st.integers(0, 2**63 - 1)
SECONDS = st.floats(0, 1e300)
COST = st.none() | SECONDS
USAGE = st.builds(Usage, COUNT, COUNT, COUNT)
LINE = st.builds(AccountLine, COUNT, USAGE, COST, COUNT)
ACCOUNTS = st.none() | st.builds(
    PlayAccounts, play=st.none() | COUNT, policy=LINE, discarded=LINE, reused=LINE, unknown=COUNT
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e300, 1e300) | TEXT,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXT, part, max_size=3),
    max_leaves=8,
)
CAUSE = st.sampled_from(["model", "provider", "user", "sandbox", "grader", "harness"])
TURN = st.builds(
    Turn,
    action=st.sampled_from(["execute", "propose", "invalid"]),
    content=TEXT,
    observation=TEXT,
    status=st.sampled_from([None, "ok", "error", "timeout", "killed", "oom"]),
    correct=st.none() | st.booleans(),
    detail=TEXT,
    feedback=st.none() | TEXT,
    usage=USAGE,
    feedback_usage=USAGE,
    seconds=st.dictionaries(TEXT, SECONDS, max_size=2),
    retries=st.lists(TEXT, max_size=2).map(tuple),
    cost=COST,
    feedback_cost=COST,
    reused=st.booleans(),
    feedback_reused=st.booleans(),
    leaks=st.none() | st.lists(TEXT, max_size=2).map(tuple),
    asked_again=COUNT,
)
RECORD = st.builds(
    EpisodeRecord,
    **dict.fromkeys(("id", "task_name", "task_id", "task_digest", "settings_digest"), TEXT),
    **dict.fromkeys(("model", "turn_setting", "feedback"), TEXT),
    sample=COUNT,
    messages=st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXT}),
        max_size=2,
    ),
    turns=st.lists(TURN, max_size=2),
    counts=st.builds(Counts, COUNT, COUNT, COUNT),
    outcome=st.builds(
        Outcome,
        success=st.booleans(),
        terminate_reason=st.sampled_from(["task_success", "max_steps", "error"]),
        cause=st.none() | CAUSE,
        error=TEXT,
    ),
    usage=USAGE,
    feedback_usage=USAGE,
    seconds=SECONDS,
    cost=COST,
    feedback_cost=COST,
    attempts=st.lists(
        st.builds(
            Attempt,
            cause=CAUSE,
            error=TEXT,
            usage=USAGE,
            feedback_usage=USAGE,
            cost=COST,
            feedback_cost=COST,
            seconds=SECONDS,
        ),
        max_size=2,
    ),
    reference=JSON,
    extra=st.dictionaries(TEXT, JSON, max_size=2),
    session=st.none() | COUNT,
    accounts=ACCOUNTS,
)


# A record has some sixty fields: on a busy machine, drawing it is what takes long.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORD)
def test_any_record_is_given_back_by_its_line(record: EpisodeRecord) -> None:
    assert decode(checked_line(record)) == record


class _Rude:
    def __str__(self) -> str:
        raise RuntimeError("no words")


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: list[object] = [
    math.nan,
    math.inf,
    -math.inf,
    "\ud800",
    10**5000,
    {"a": [math.nan]},
    {"\ud800": 1},
    nested(100_000),
    object(),
    _Rude(),
    msgspec.Raw(b"1\n2"),
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("owner", ["record", "turn", "attempt", "outcome", "usage", "message"])
def test_what_no_line_can_hold_is_refused_wherever_it_stands(owner: str, value: Any) -> None:
    """In every field of everything that a record is made of."""
    kinds: dict[str, type[Any]] = {"turn": Turn, "attempt": Attempt, "outcome": Outcome}
    fields = {**kinds, "record": EpisodeRecord, "usage": Usage}
    names = ("role", "content") if owner == "message" else fields[owner].__struct_fields__
    for name in names:
        record = make_record()
        record.attempts = [Attempt(cause="provider", error="why", usage=Usage(1, 1))]
        parts: dict[str, Any] = {
            "record": record,
            "turn": record.turns[0],
            "attempt": record.attempts[0],
            "outcome": record.outcome,
            "usage": record.usage,
        }
        if owner == "message":
            record.messages[0][name] = value  # type: ignore[literal-required]
        else:
            msgspec.structs.force_setattr(parts[owner], name, value)
        try:
            line = checked_line(record)
        except UnwritableRecord as error:
            kept = placeholder_record(record, str(error))
            assert decode(checked_line(kept)) == kept
            assert kept.outcome.cause == "harness"
        else:
            # A number that JSON can hold, in a field that takes any value.
            assert decode(line) == record, name


def test_the_stand_in_keeps_what_was_spent() -> None:
    record = make_record(observation="\ud800")
    record.turns[0].seconds = {"model": 1.5, "sandbox": math.nan}
    record.seconds = -1.0
    record.attempts = [Attempt(cause="provider", error="\udfff", usage=Usage(7, 1), cost=0.5)]
    record.accounts = PlayAccounts(play=3, policy=AccountLine(1, Usage(3, 2), 0.25))
    with pytest.raises(UnwritableRecord):
        checked_line(record)
    kept = placeholder_record(record, "why")
    assert (kept.usage, kept.turns[0].usage) == (Usage(3, 2), Usage(3, 2))
    assert kept.turns[0].seconds == {"model": 1.5, "sandbox": 0.0}
    assert kept.seconds == 0.0
    assert (kept.attempts[0].usage, kept.attempts[0].cost) == (Usage(7, 1), 0.5)
    assert kept.accounts == record.accounts
    assert "why" in kept.outcome.error
    assert not kept.outcome.success


def test_null_for_a_duration_in_an_older_line_is_no_time() -> None:
    record = make_record()
    record.turns[0].seconds = {"model": 2.0, "sandbox": math.nan}
    record.seconds = math.nan
    record.attempts = [Attempt(cause="provider", error="why", seconds=math.nan)]
    found = decode(encode(record))
    assert found.turns[0].seconds == {"model": 2.0, "sandbox": 0.0}
    assert (found.seconds, found.attempts[0].seconds) == (0.0, 0.0)
    with pytest.raises(msgspec.ValidationError, match="sample"):
        decode(encode(record).replace(b'"sample":0', b'"sample":null'))


@pytest.mark.parametrize(
    ("count", "policy", "feedback"), [(0, False, False), (1, True, False), (2, True, True)]
)
def test_older_turns_count_what_was_reused(count: int, policy: bool, feedback: bool) -> None:
    line = encode(make_record()).replace(b'"reused":false', b'"reused":%d' % count)
    line = line.replace(b',"feedback_reused":false', b"")
    (turn,) = decode(line).turns
    assert (turn.reused, turn.feedback_reused) == (policy, feedback)


def test_a_number_that_is_not_finite_is_named_with_its_place() -> None:
    record = make_record()
    record.extra = {"a": [{"b": 1.0}, {"b": math.inf}]}
    with pytest.raises(UnwritableRecord, match=r"^extra\.a\.1\.b is no finite number$"):
        checked_line(record)
    record.extra = {}
    record.cost = math.nan
    with pytest.raises(UnwritableRecord, match=r"^cost is no finite number$"):
        checked_line(record)


@pytest.mark.parametrize("count", [-1, True, 1.5, 1 << 63])
def test_what_is_no_count_is_none_in_the_stand_in(count: Any) -> None:
    record = make_record()
    msgspec.structs.force_setattr(record.usage, "completion", count)
    record.session = count
    kept = placeholder_record(record, "why")
    assert (kept.usage, kept.session) == (Usage(3, 0), 0)


def told(record: EpisodeRecord) -> tuple[int, float | None]:
    spent = spent_on(record)
    return spent.tokens, spent.cost


def test_spent_is_what_was_not_reused_with_the_attempts() -> None:
    record = make_record()
    (turn,) = record.turns
    turn.feedback_usage, turn.cost, turn.feedback_cost = Usage(10, 20), 0.5, 0.25
    record.attempts = [
        Attempt(
            cause="provider", error="", usage=Usage(100, 200), feedback_usage=Usage(1000, 2000),
            cost=1.0, feedback_cost=2.0,
        )
    ]  # fmt: skip
    assert told(record) == (5 + 30 + 300 + 3000, 3.75)
    turn.reused, record.attempts = True, []
    assert told(record) == (30, 0.75)
    turn.feedback_reused, turn.cost, turn.feedback_cost = True, None, None
    assert told(record) == (0, None)
