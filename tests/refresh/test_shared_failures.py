"""What readers get while the source fails: every law by every driver."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import timedelta

import pytest
from drivers import Readers

from rolecall import AccessDenied, FetchError, RefreshPolicy
from rolecall.errors import Unreachable
from rolecall.refresh import Event
from rolecall.testing import FakeClock, FakeSource

ReadersOf = Callable[..., Readers]

STALE = timedelta(minutes=41)  # of one hour; a refresh is due after 40 minutes
CRITICAL = timedelta(minutes=59, seconds=30)  # callers wait from 59 minutes on
EXPIRED = timedelta(hours=1, seconds=1)


@pytest.mark.parametrize("error", [Unreachable("down"), AccessDenied("no"), ValueError("bug")])
def test_no_failure_reaches_a_reader_while_credentials_are_valid(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource, error: Exception
) -> None:
    readers = readers_of()
    held = readers.get()
    source.error = error

    for _ in range(3600 - 1):
        clock.tick(seconds=1)
        assert readers.get() is held
        readers.settle()

    assert 4 <= source.calls <= 60


def test_recovery_takes_seconds_once_the_source_recovers(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of(rng=lambda: 0.99)
    readers.get()
    clock.tick(EXPIRED)
    source.error = Unreachable("STS is down")
    with pytest.raises(Unreachable):
        readers.get()
    source.error = None

    clock.tick(seconds=5)

    assert readers.get().access_key == "ASIAFAKE000000000003"


def test_a_failure_is_remembered_for_a_moment(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of(rng=lambda: 0.5)
    source.error = AccessDenied("no")

    for _ in range(10):
        with pytest.raises(AccessDenied):
            readers.get()
    assert source.calls == 1

    clock.tick(seconds=3.1)
    with pytest.raises(AccessDenied):
        readers.get()
    assert source.calls == 2


def test_an_error_raised_again_and_again_does_not_grow(
    readers_of: ReadersOf, source: FakeSource
) -> None:
    readers = readers_of()
    source.error = AccessDenied("no")
    lengths = []
    for _ in range(30):
        with pytest.raises(AccessDenied) as caught:
            readers.get()
        lengths.append(len("".join(traceback.format_exception(caught.value))))

    assert source.calls == 1
    assert max(lengths[6:]) <= max(lengths[:6])


@pytest.mark.parametrize(
    "lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=-1)], ids=str
)
def test_an_answer_that_is_already_expired_leaves_the_good_ones_alone(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource, lifetime: timedelta
) -> None:
    readers = readers_of()
    held = readers.get()
    clock.tick(STALE)
    source.lifetime = lifetime

    assert readers.get() is held
    readers.settle()
    assert source.calls == 2
    assert readers.get() is held
    assert readers.refresher.state.failure is not None


def test_a_source_that_answers_something_else_is_a_failure(
    readers_of: ReadersOf, source: FakeSource
) -> None:
    source.answer = ("key", "secret")  # type: ignore[assignment]

    with pytest.raises(FetchError, match="answered tuple, not Credentials"):
        readers_of().get()


@pytest.mark.parametrize("age", [STALE, CRITICAL], ids=["stale", "critical"])
def test_a_refusal_is_raised_over_valid_credentials_where_the_policy_says_so(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource, age: timedelta
) -> None:
    readers = readers_of(policy=RefreshPolicy(on_permanent_error="raise"))
    held = readers.get()
    clock.tick(age)
    source.error = AccessDenied("no")

    with pytest.raises(AccessDenied):
        readers.refresh()
    errors = [reader.exception(timeout=20) for reader in readers.start(10)]

    assert [type(error) for error in errors] == [AccessDenied] * 10
    assert len({id(error) for error in errors}) == 10, "each reader gets an exception of its own"
    assert source.calls == 2
    assert readers.refresher.state.held is not None
    assert readers.refresher.state.held.credentials is held


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_source_that_is_interrupted_is_told_as_a_failure(
    readers_of: ReadersOf,
    clock: FakeClock,
    source: FakeSource,
    interruption: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Event] = []
    readers = readers_of(on_event=told.append)
    source.error = interruption("fake-secret")

    with pytest.raises(FetchError, match=f"interrupted by {interruption.__name__}") as caught:
        readers.get()

    # Sources quote what goes wrong with them; this went past them.
    shown = "".join(traceback.format_exception(caught.value))
    assert "fake-secret" not in f"{shown} {told} {told[0].error} {caplog.text}"
    source.error = None
    clock.tick(seconds=5)
    assert readers.get()


def test_a_source_that_reads_its_own_session_is_told_so_at_once(
    readers_of: ReadersOf, source: FakeSource
) -> None:
    readers = readers_of()
    source.before = readers.refresher.get

    with pytest.raises(FetchError, match="uses the very session") as caught:
        readers.get()

    assert not caught.value.retryable
    source.before = readers.refresher.refresh
    with pytest.raises(FetchError, match="uses the very session"):
        readers.refresh()
    assert source.calls == 2
