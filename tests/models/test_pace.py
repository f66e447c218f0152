"""Limits of an endpoint: what it can take at once is found out, what a user allows is kept to."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.exceptions import ProviderFailure
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.client import OpenAIClient
from codeact.models.openai.settings import OpenAISettings
from codeact.models.pace import AdaptiveLimit, AdmissionQueue, RateLimiter
from codeact.models.remote import client as remote_client
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.transports import CHOSEN

HELLO = ({"role": "user", "content": "hello"},)


both = pytest.mark.usefixtures("each_transport")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote_client, "_LONGEST_PAUSE", 0.05)


def ask(number: int = 0) -> Request:
    return Request(messages=HELLO, stop=(), episode=EpisodeKey("t", str(number)), turn=0)


def client_of(base_url: str, **given: object) -> OpenAIClient:
    known = {"kind": "openai", "name": "m", "base_url": base_url, "max_retries": 2, **CHOSEN}
    return OpenAIClient(OpenAISettings.model_validate({**known, **given}))


# The logic alone


def crowd(limit: AdaptiveLimit, size: int) -> list[int]:
    return [limit.begin() for _ in range(size)]


def test_a_wave_of_refusals_cuts_the_limit_once() -> None:
    limit = AdaptiveLimit(100)
    waves = crowd(limit, 100)
    assert [limit.refused(wave) for wave in waves].count(True) == 1
    assert limit.level == pytest.approx(70)
    assert limit.refused(limit.begin())
    assert limit.level < 70


def test_a_cut_starts_from_what_was_under_way() -> None:
    limit = AdaptiveLimit(1000)
    limit.refused(crowd(limit, 10)[0])
    assert limit.level == pytest.approx(7)


def test_the_limit_never_falls_below_one_request() -> None:
    limit = AdaptiveLimit(2)
    for _ in range(5):
        limit.refused(limit.begin())
        limit.end()
    assert limit.level == 1.0
    assert limit.is_free(0.0)


def test_a_round_of_answers_raises_the_limit_by_about_one_up_to_the_bound() -> None:
    limit = AdaptiveLimit(10)
    limit.refused(crowd(limit, 10)[0])
    for _ in range(10):
        limit.end()
    before = limit.level
    for wave in crowd(limit, int(before)):
        limit.answered(wave)
    assert before + 0.8 < limit.level <= before + 1
    for _ in range(1000):
        limit.answered(limit.begin())
    assert limit.level == 10


def test_answers_do_not_raise_a_limit_that_keeps_nobody_back() -> None:
    limit = AdaptiveLimit(10)
    limit.refused(crowd(limit, 10)[0])
    for _ in range(10):
        limit.end()
    before = limit.level
    for _ in range(50):
        limit.answered(limit.begin())
        limit.end()
    assert limit.level == before


def test_answers_to_what_left_before_a_cut_do_not_undo_it() -> None:
    limit = AdaptiveLimit(10)
    waves = crowd(limit, 10)
    limit.refused(waves[0])
    before = limit.level
    for wave in waves[1:]:
        limit.answered(wave)
    assert limit.level == before


def test_nothing_leaves_before_the_time_that_was_given() -> None:
    limit = AdaptiveLimit(10)
    limit.close(until=5.0)
    limit.close(until=3.0)
    assert not limit.is_free(4.9)
    assert limit.is_free(5.0)


# Waiting


async def test_those_who_wait_leave_in_their_order() -> None:
    queue = AdmissionQueue(AdaptiveLimit(1))
    left: list[int] = []

    async def one(number: int) -> None:
        await queue.enter()
        left.append(number)
        await asyncio.sleep(0)
        queue.leave()

    await asyncio.gather(*(one(number) for number in range(20)))
    assert left == list(range(20))
    assert queue.load == 0


async def test_a_cancelled_waiter_takes_no_place_with_it() -> None:
    queue = AdmissionQueue(AdaptiveLimit(1))
    await queue.enter()
    waiting = [asyncio.create_task(queue.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    queue.leave()  # hands the place to the second
    waiting[1].cancel()  # in the same moment
    await asyncio.wait_for(waiting[2], 30)
    assert queue.limit.under_way == 1


async def test_a_closed_gate_opens_by_itself() -> None:
    queue = AdmissionQueue(AdaptiveLimit(4))
    queue.limit.close(time.monotonic() + 0.05)
    await asyncio.wait_for(asyncio.gather(*(queue.enter() for _ in range(3))), 30)
    assert time.monotonic() >= queue.limit.closed_until


class _Hurried(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to whatever is due next: minutes take no time."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        wait = self._selector.select  # type: ignore[attr-defined]

        def select(timeout: float | None) -> Any:
            # A little time passes always, or rounding could keep a timer from being due.
            self._now += max(timeout or 0.0, 1e-6)
            return wait(0)

        self._selector.select = select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now


def hurried(work: Coroutine[Any, Any, Any]) -> float:
    """Run something on such a loop; returns the seconds that it would have taken."""
    loop = _Hurried()
    try:
        loop.run_until_complete(work)
        return loop.time()
    finally:
        loop.close()


def test_requests_leave_evenly_spaced() -> None:
    async def six() -> None:
        pace = RateLimiter(requests=600, tokens=None)
        for _ in range(6):
            await pace.admit(10)

    assert 0.49 <= hurried(six()) < 0.6


def test_tokens_of_one_large_request_are_waited_for() -> None:
    async def one() -> None:
        await RateLimiter(requests=None, tokens=60_000).admit(1_300)

    assert 0.29 <= hurried(one()) < 0.4


def test_tokens_that_were_not_taken_are_given_to_the_next() -> None:
    async def two(taken: int) -> None:
        pace = RateLimiter(requests=None, tokens=600)
        pace.settle(await pace.admit(10), taken=taken)
        await pace.admit(10)

    assert hurried(two(taken=0)) < 0.1
    assert hurried(two(taken=10)) >= 0.9


def test_tokens_taken_beyond_the_guess_are_paid_by_the_next() -> None:
    async def two() -> None:
        pace = RateLimiter(requests=None, tokens=6_000)
        pace.settle(await pace.admit(0), taken=120)
        await pace.admit(1)

    assert 0.19 <= hurried(two()) < 1.4


class Step(NamedTuple):
    """One request: when it comes, what it is charged, what it takes, and how it ends."""

    comes: float
    charged: int
    share: float
    lasts: float
    patience: float | None


STEPS = st.lists(
    st.builds(
        Step,
        st.floats(0, 100),
        st.integers(0, 700),
        st.sampled_from([0.0, 0.01, 0.5, 1.0]),
        st.floats(0, 90),
        st.one_of(st.none(), st.floats(0, 60)),
    ),
    min_size=1,
    max_size=40,
)


async def _pass(limiter: RateLimiter, step: Step, entered: list[tuple[float, list[int]]]) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(step.comes)
    try:
        async with asyncio.timeout(step.patience):
            reservation = await limiter.admit(step.charged)
    except TimeoutError:
        return
    counted = [step.charged]
    entered.append((loop.time(), counted))
    await asyncio.sleep(step.lasts)
    taken = int(step.charged * step.share)
    limiter.settle(reservation, taken)
    counted[0] = taken


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(700, 3000), st.one_of(st.none(), st.integers(3, 60)))
def test_no_minute_ever_lets_in_more_than_the_limits(
    steps: list[Step], tokens: int, requests: int | None
) -> None:
    """Whatever comes, is refunded or gives up: as known when each is let in."""
    entered: list[tuple[float, list[int]]] = []
    worst: list[tuple[int, int]] = []

    class Watched(list[tuple[float, list[int]]]):
        def append(self, item: tuple[float, list[int]]) -> None:
            super().append(item)
            minute = [counted[0] for at, counted in self if at > item[0] - 60]
            worst.append((sum(minute), len(minute)))

    entered = Watched()

    async def run() -> None:
        limiter = RateLimiter(requests, tokens)
        await asyncio.gather(*(_pass(limiter, step, entered) for step in steps))

    loop = _Hurried()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    assert all(total <= tokens for total, _ in worst)
    assert requests is None or all(count <= requests for _, count in worst)


def test_what_was_called_off_before_it_paid_gets_nothing_back() -> None:
    """A hundred requests give up while they wait; the next gets no token for that."""

    async def run() -> float:
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(None, 600)
        await limiter.admit(10)
        waiting = [asyncio.create_task(limiter.admit(500)) for _ in range(100)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        started = loop.time()
        await limiter.admit(300)
        return loop.time() - started

    loop = _Hurried()
    try:
        assert loop.run_until_complete(run()) >= 29
    finally:
        loop.close()


@both
async def test_a_cancelled_request_is_refunded_only_what_it_paid() -> None:
    async with FakeApi([Reply(hang="before")]) as api:
        client = client_of(api.base_url, tokens_per_minute=100_000, concurrency=10)
        asked = [asyncio.create_task(client.complete(ask(number))) for number in range(10)]
        while not api.count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        # What went out may have been worked on, and the others had paid nothing yet.
        assert client._rate_limiter._credit <= 0
        await client.close()


# Against a server


@both
async def test_the_client_settles_near_what_the_server_takes_and_loses_nothing() -> None:
    takes = 8
    refused: list[int] = []

    def reply(seen: Seen, number: int) -> Reply:
        if api.in_flight >= takes:
            refused.append(number)
            return Reply(status=429)
        return Reply(latency=0.05)

    async with FakeApi(reply) as api:
        client = client_of(api.base_url, concurrency=100)
        answers = await asyncio.gather(*(client.complete(ask(number)) for number in range(400)))
        (stats,) = client.stats()
        await client.close()
    assert [answer.text for answer in answers] == ["ok"] * 400
    assert takes // 2 <= stats.limit <= takes + 2
    assert stats.refused == len(refused)
    # Once it has settled only probing for more is refused: about one request in a round trip.
    late = [number for number in refused if number > 200]
    assert len(late) < 0.2 * (api.count - 200)


@both
@pytest.mark.parametrize("status", [500, 503])
async def test_an_error_of_the_server_lowers_nothing(status: int) -> None:
    async with FakeApi([Reply(status=status), Reply(status=status), "ok"]) as api:
        client = client_of(api.base_url, concurrency=50)
        await client.complete(ask())
        (stats,) = client.stats()
        await client.close()
    assert (stats.limit, stats.errors, stats.refused) == (50, 2, 0)


@both
@pytest.mark.parametrize(
    "first",
    [
        Reply(status=429, headers={"Retry-After": "0.4"}),
        Reply(status=429, headers={"retry-after-ms": "400"}),
        Reply(
            status=429,
            headers={"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "400ms"},
        ),
        Reply(headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": ".4"}),
    ],
    ids=["Retry-After", "retry-after-ms", "reset with a 429", "reset with an answer"],
)
async def test_what_one_request_is_told_holds_for_all(first: Reply) -> None:
    arrived: list[float] = []

    def reply(seen: Seen, number: int) -> Reply:
        arrived.append(time.monotonic())
        return first if number == 0 else Reply()

    async with FakeApi(reply) as api:
        client = client_of(api.base_url)
        told = asyncio.create_task(client.complete(ask()))
        while not any((client.stats()[0].answers, client.stats()[0].refused)):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await asyncio.gather(told, *(client.complete(ask(number)) for number in range(5)))
        await client.close()
    assert min(arrived[1:]) - arrived[0] >= 0.4


@both
async def test_a_refusal_that_a_crowd_meets_uses_up_the_retries_of_one_request_only() -> None:
    def reply(seen: Seen, number: int) -> Reply:
        return Reply(status=429, latency=0.1) if number < 50 else Reply()

    async with FakeApi(reply) as api:
        client = client_of(api.base_url, concurrency=50, max_retries=0)
        ends = await asyncio.gather(
            *(client.complete(ask(number)) for number in range(50)), return_exceptions=True
        )
        await client.close()
    assert [isinstance(end, ProviderFailure) for end in ends].count(True) == 1


async def test_to_be_refused_while_others_are_answered_uses_up_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 0.3)  # the others are answered meanwhile
    monkeypatch.setattr(remote_client, "_LONGEST_PAUSE", 0.3)

    def reply(seen: Seen, number: int) -> Reply:
        unlucky = seen.body["messages"][0]["content"] == "unlucky" and len(tries) < 5
        if unlucky:
            tries.append(number)
        return Reply(status=429) if unlucky else Reply(latency=0.005)

    async def others(client: OpenAIClient) -> None:
        while True:
            await client.complete(ask())

    tries: list[int] = []
    async with FakeApi(reply) as api:
        client = client_of(api.base_url, max_retries=2)
        busy = asyncio.create_task(others(client))
        await asyncio.sleep(0.05)
        unlucky = msgspec.structs.replace(ask(), messages=({"role": "user", "content": "unlucky"},))
        answer = await client.complete(unlucky)
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        await client.close()
    assert len(answer.retries) == 5


@both
async def test_a_server_that_refuses_for_good_ends_every_request() -> None:
    async with FakeApi([Reply(status=429)]) as api:
        client = client_of(api.base_url, concurrency=20, max_retries=1)
        ends = await asyncio.gather(
            *(client.complete(ask(number)) for number in range(20)), return_exceptions=True
        )
        await client.close()
    assert all(isinstance(end, ProviderFailure) for end in ends)


async def test_limits_a_minute_hold_over_all_servers() -> None:
    async with FakeApi() as first, FakeApi() as second:
        client = client_of(
            first.base_url, base_urls=[second.base_url], requests_per_minute=600, affinity=False
        )
        started = time.monotonic()
        await asyncio.gather(*(client.complete(ask(number)) for number in range(8)))
        await client.close()
        assert first.count + second.count == 8
    assert time.monotonic() - started >= 0.69


def test_processes_share_the_limits_between_them() -> None:
    whole = OpenAISettings(
        kind="openai",
        name="m",
        base_url="http://h/v1",
        concurrency=10,
        requests_per_minute=2,
        tokens_per_minute=900,
    )
    each = whole.shared_by(4)
    limits = (each.concurrency, each.requests_per_minute, each.tokens_per_minute)
    assert limits == (2, 1, 225)
    assert each.identity() == whole.identity()
    assert whole.model_copy(update={"requests_per_minute": None}).shared_by(3) is not None


@both
async def test_a_client_takes_its_share_as_processes_come_and_go() -> None:
    async with FakeApi(latency=0.2) as api:
        client = client_of(api.base_url, concurrency=8)
        client.share(4)
        await asyncio.gather(*(client.complete(ask(number)) for number in range(6)))
        assert api.peak_in_flight == 2
        client.share(1)
        await asyncio.gather(*(client.complete(ask(number)) for number in range(8)))
        await client.close()
        assert api.peak_in_flight == 8
