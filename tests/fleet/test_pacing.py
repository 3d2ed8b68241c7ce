"""How fast STS is called: by many threads in a time of their own, which takes no time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rolecall.fleet import fan_out
from rolecall.fleet.running.pacing import BURST_SECONDS, MOST_ATTEMPTS, Ended, Pace
from rolecall.testing import FakeClock, StrictCloud

LATENCY_SECONDS = 0.03


def throttling() -> ClientError:
    return ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "AssumeRole")


class VirtualTime:
    """A clock that moves on to the next instant at which something happens, once all threads wait.

    Args:
        threads: How many there are; each calls `leave` at its end.
    """

    def __init__(self, threads: int) -> None:
        self._changed = threading.Condition()  # guards all below
        self._now = 1000.0
        self._awake = threads
        self._until: list[float] = []

    def boottime(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        assert timeout is not None
        with self._changed:
            until = self._now + timeout
            self._until.append(until)
            self._sleep()
            assert self._changed.wait_for(lambda: self._now >= until, 20)
        return bool(future.done())

    def leave(self) -> None:
        with self._changed:
            self._sleep()

    def _sleep(self) -> None:
        self._awake -= 1
        if self._awake == 0 and self._until:
            self._now = min(self._until)
            self._awake = sum(one <= self._now for one in self._until)
            self._until = [one for one in self._until if one > self._now]
            self._changed.notify_all()


class Sts:
    """Answers so many calls a second, and so many more at once; others are throttled."""

    def __init__(self, clock: VirtualTime, *, rate: float = 50, burst: float = 50) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards all below
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, clock.boottime()
        self.sent: list[float] = []
        self.throttled = 0

    def __call__(self) -> float:
        with self._lock:
            now = self._clock.boottime()
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
            self._at = now
            self.sent.append(now)
            refused = self._left < 1
            self._left -= not refused
            self.throttled += refused
        self._clock.wait(Future(), LATENCY_SECONDS)
        if refused:
            raise throttling()
        return now


def run(clock: VirtualTime, threads: int, calls: int, call: Callable[[], object]) -> list[Any]:
    """Make so many calls from so many threads; return what each gave, or raised."""
    numbers = iter(range(calls))
    lock = threading.Lock()
    found: list[Any] = []

    def work() -> None:
        try:
            while True:
                with lock:
                    if next(numbers, None) is None:
                        return
                try:
                    found.append(call())
                except ClientError as error:
                    found.append(error)
        finally:
            clock.leave()

    with ThreadPoolExecutor(threads) as pool:
        for one in [pool.submit(work) for _ in range(threads)]:
            one.result(60)
    return found


def most_in_a_window(instants: list[float], seconds: float) -> int:
    instants = sorted(instants)
    return max(
        sum(first <= one <= first + seconds for one in instants[place:])
        for place, first in enumerate(instants)
    )


# The pace that is asked for


@settings(max_examples=20)
@given(rate=st.floats(0.2, 200), threads=st.integers(1, 8), calls=st.integers(1, 40))
@example(rate=5, threads=8, calls=40)
@example(rate=0.5, threads=3, calls=6)
def test_no_window_has_more_calls_than_the_rate_and_a_small_burst(
    rate: float, threads: int, calls: int
) -> None:
    clock = VirtualTime(threads)
    pace = Pace(rate, clock=clock)

    sent = run(clock, threads, calls, lambda: pace(clock.boottime))

    for seconds in (0, 0.1, 0.5, 1, 3, 60):
        assert most_in_a_window(sent, seconds) <= rate * (seconds + BURST_SECONDS) + 1 + 1e-6


@settings(max_examples=10)
@given(rate=st.floats(0.2, 20), refusals=st.integers(1, 9))
@example(rate=0.5, refusals=1)
def test_throttling_never_makes_it_faster(rate: float, refusals: int) -> None:
    clock = VirtualTime(2)
    pace = Pace(rate, clock=clock)
    left = iter(range(refusals))
    sent = []

    def send() -> None:
        sent.append(clock.boottime())
        if next(left, None) is not None:
            raise throttling()

    run(clock, 2, 12, lambda: pace(send))

    for seconds in (0, 1, 5, 20):
        assert most_in_a_window(sent, seconds) <= rate * (seconds + BURST_SECONDS) + 1 + 1e-6


def test_without_a_rate_nobody_waits() -> None:
    clock = VirtualTime(4)
    pace = Pace(clock=clock)

    assert {1000.0} == set(run(clock, 4, 100, lambda: pace(clock.boottime)))
    assert pace.rate is None


def test_calls_are_sent_in_the_order_they_come(fake_clock: FakeClock) -> None:
    pace = Pace(1, clock=fake_clock)
    sent: SimpleQueue[int] = SimpleQueue()
    pace(lambda: None)

    with ThreadPoolExecutor(3) as pool:
        for number in (1, 2, 3):
            pool.submit(pace, partial(sent.put, number))
            fake_clock.wait_for_waiters(number)
        for number in (1, 2, 3):
            fake_clock.tick(1)
            assert number == sent.get(timeout=20)


# A server with a limit


@pytest.mark.parametrize("rate", [None, 45, 200])
def test_400_accounts_all_get_through_a_limit_of_50_a_second(rate: float | None) -> None:
    clock = VirtualTime(20)
    pace, sts = Pace(rate, clock=clock), Sts(clock)

    found = run(clock, 20, 400, lambda: pace(sts))

    assert [one for one in found if isinstance(one, ClientError)] == []
    assert len(found) == 400
    if rate == 45:
        assert sts.throttled == 0
    # 350 after the burst take 7 s at least; no more than twice that.
    assert clock.boottime() - 1000 <= 16
    assert sts.throttled <= 60


def test_the_pace_recovers_when_sts_does() -> None:
    clock = VirtualTime(1)
    pace = Pace(40, clock=clock)
    refusals = iter([True])

    def send() -> None:
        if next(refusals, False):
            raise throttling()

    run(clock, 1, 1, lambda: pace(send))
    slowed = pace.rate
    clock = pace.clock = VirtualTime(1)
    run(clock, 1, 600, lambda: pace(send))

    assert slowed is not None
    assert 20 <= slowed < 40
    assert pace.rate == 40


def test_refusals_of_one_second_slow_it_down_once() -> None:
    clock = VirtualTime(10)
    pace = Pace(50, clock=clock)
    refusals = iter([True] * 5)

    def send() -> None:
        if next(refusals, False):
            raise throttling()

    run(clock, 10, 10, lambda: pace(send))

    assert pace.rate is not None
    assert 50 * 0.7 <= pace.rate < 50


def test_it_gives_up_at_last() -> None:
    clock = VirtualTime(1)
    sent = []

    def send() -> None:
        sent.append(clock.boottime())
        raise throttling()

    (error,) = run(clock, 1, 1, lambda: Pace(20, clock=clock)(send))

    assert error.response["Error"]["Code"] == "Throttling"
    assert len(sent) == MOST_ATTEMPTS
    pauses = [later - sooner for sooner, later in itertools.pairwise(sent)]
    assert min(pauses) >= 1 / 20


def test_other_errors_are_not_sent_again() -> None:
    sent = []

    def send() -> None:
        sent.append(1)
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")

    clock = VirtualTime(1)
    (error,) = run(clock, 1, 1, lambda: Pace(20, clock=clock)(send))

    assert (error.response["Error"]["Code"], len(sent)) == ("AccessDenied", 1)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Pace(rate)


# What nobody wants to be sent any more


def test_those_who_wait_are_not_sent_and_who_comes_later_is(fake_clock: FakeClock) -> None:
    pace = Pace(1, clock=fake_clock)
    sent: SimpleQueue[int] = SimpleQueue()
    pace(lambda: None)

    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(pace, partial(sent.put, number), "mine") for number in range(4)]
        fake_clock.wait_for_waiters(4)
        pace.drop("yours")
        pace.drop("mine")
        assert [type(one.exception(20)) for one in waiting] == [Ended] * 4
        assert sent.empty()

        # Nor does it wait for the turns that those had.
        later = pool.submit(pace, partial(sent.put, 5), "mine")
        fake_clock.wait_for_waiters()
        fake_clock.tick(1)
        later.result(20)
    assert sent.get(timeout=20) == 5


def test_those_who_wait_for_somebody_else_are_sent(fake_clock: FakeClock) -> None:
    pace = Pace(1, clock=fake_clock)
    pace(lambda: None)

    with ThreadPoolExecutor(2) as pool:
        mine = pool.submit(pace, lambda: "mine", "mine")
        fake_clock.wait_for_waiters(1)
        other = pool.submit(pace, lambda: "other")
        fake_clock.wait_for_waiters(2)
        pace.drop("mine")
        assert isinstance(mine.exception(20), Ended)
        assert not other.done()
        fake_clock.tick(2)
        assert other.result(20) == "other"


@pytest.mark.parametrize("status", [400, 503], ids=["throttled", "no answer"])
def test_what_is_dropped_on_its_way_is_not_sent_again(fake_clock: FakeClock, status: int) -> None:
    pace = Pace(clock=fake_clock)
    sent = []

    def send() -> None:
        sent.append(1)
        pace.drop("mine")
        if status == 400:
            raise throttling()
        answer: Any = {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(answer, "AssumeRole")

    with pytest.raises(Ended):
        pace(send, "mine")

    assert sent == [1]
    fake_clock.tick(2)
    assert pace(lambda: "sent", "mine") == "sent"


def test_once_it_is_ended_nothing_is_sent_at_all(fake_clock: FakeClock) -> None:
    pace = Pace(1, clock=fake_clock)
    pace(lambda: None)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pace, lambda: None)
        fake_clock.wait_for_waiters()
        pace.end()
        assert isinstance(waiting.exception(20), Ended)
    fake_clock.tick(10)
    with pytest.raises(Ended):
        pace(lambda: None)


# In a run


class Hasty(FakeClock):
    """Time passes as soon as somebody waits for a moment that is near."""

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        if timeout is None or timeout > 4:
            return super().wait(future, timeout)
        self.tick(timeout)
        return bool(future.done())


@pytest.mark.parametrize("rate", [None, 5])
def test_a_run_that_sts_throttles_assumes_all_its_roles(
    cloud: StrictCloud, user: boto3.Session, accounts: Callable[[int], list[str]], rate: Any
) -> None:
    before = cloud.calls("AssumeRole")
    cloud.fail("AssumeRole", code="Throttling", status=400, times=4)

    with fan_out(
        user, accounts(6), role="Auditor", sts_rate=rate, max_workers=1, clock=Hasty()
    ) as run:
        outcomes = list(run.map(lambda session: session.get_credentials().access_key[:4]))

    assert [outcome.value for outcome in outcomes] == ["ASIA"] * 6
    assert cloud.calls("AssumeRole") - before == 4 + 6
