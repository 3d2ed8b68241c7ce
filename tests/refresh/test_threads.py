"""The thread driver: the invariants as a program meets them, with scripted races and no sleep."""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import subprocess
import sys
import threading
import traceback
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rolecall import AccessDenied, Credentials, CredentialsExpired, FetchError, RefreshPolicy
from rolecall.errors import Unreachable
from rolecall.refresh import Event, Phase, Refresher
from rolecall.testing import FakeClock, FakeSource, Gate
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

Make = Callable[..., Refresher]

STALE = timedelta(minutes=41)  # of one hour; a refresh is due after 40 minutes
CRITICAL = timedelta(minutes=59, seconds=30)  # callers wait from 59 minutes on
EXPIRED = timedelta(hours=1, seconds=1)


def fetched(refresher: Refresher, source: FakeSource, calls: int) -> None:
    """Wait until the background fetch number *calls* has landed."""
    flight = refresher._flight
    if flight is not None:
        flight.future.result(timeout=20)
    assert source.calls == calls


# ── reading ──────────────────────────────────────────────────────────────────────────────


def test_the_first_read_fetches_and_the_next_do_not(make: Make, source: FakeSource) -> None:
    refresher = make()

    held = refresher.get()

    assert refresher.get() is held
    assert source.calls == 1


def test_stale_readers_return_before_the_source_answers(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    held = refresher.get()
    clock.tick(STALE)
    source.before = gate = Gate()

    with gate, ThreadPoolExecutor(32) as pool:
        read = [future.result(timeout=20) for future in [pool.submit(refresher.get)] * 1]
        read += list(pool.map(lambda _: refresher.get(), range(31), timeout=20))
        gate.wait_for_arrival()

        assert not gate.is_open
        assert all(credentials is held for credentials in read)
    fetched(refresher, source, 2)
    assert refresher.get() is not held


def test_fifty_cold_readers_share_one_fetch(make: Make, source: FakeSource) -> None:
    refresher = make()
    source.before = gate = Gate()

    with ThreadPoolExecutor(50) as pool:
        readers = [pool.submit(refresher.get) for _ in range(50)]
        gate.wait_for_arrival()
        gate.open()
        read = {id(reader.result(timeout=20)) for reader in readers}

    assert len(read) == 1
    assert source.calls == 1


def test_fifty_readers_of_expired_credentials_share_one_failure(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    refresher.get()
    clock.tick(EXPIRED)
    source.error = AccessDenied("STS says AccessDenied")
    source.before = gate = Gate()

    with ThreadPoolExecutor(50) as pool:
        readers = [pool.submit(refresher.get) for _ in range(50)]
        gate.wait_for_arrival()
        gate.open()
        errors = [reader.exception(timeout=20) for reader in readers]

    assert source.calls == 2
    assert all(isinstance(error, AccessDenied) for error in errors)
    assert len({id(error) for error in errors}) == 50, "each reader gets an exception of its own"


def test_critical_readers_wait_for_a_second_and_then_get_what_is_valid(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    held = refresher.get()
    clock.tick(CRITICAL)
    source.before = gate = Gate()

    with gate, ThreadPoolExecutor(2) as pool:
        reader = pool.submit(refresher.get)
        gate.wait_for_arrival()
        clock.wait_for_waiters()
        clock.tick(seconds=0.9)
        assert not reader.done()
        clock.tick(seconds=0.2)

        assert reader.result(timeout=20) is held
        # Once per attempt: nobody waits for this fetch again.
        assert pool.submit(refresher.get).result(timeout=20) is held
    assert source.calls == 2


def test_a_critical_reader_gets_new_credentials_if_they_come_in_time(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    held = refresher.get()
    clock.tick(CRITICAL)

    assert refresher.get() is not held


def test_a_reader_whose_credentials_die_while_it_waits_goes_on_waiting(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make(policy=RefreshPolicy(critical_wait=timedelta(minutes=5)))
    held = refresher.get()
    clock.tick(CRITICAL)
    source.before = gate = Gate()

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(refresher.get)
        gate.wait_for_arrival()
        clock.wait_for_waiters()
        clock.tick(seconds=31)
        gate.open()

        assert reader.result(timeout=20) is not held


def test_expired_credentials_are_not_served(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    refresher.get()
    clock.tick(EXPIRED)
    source.error = Unreachable("STS is down")

    with pytest.raises(Unreachable):
        refresher.get()


def test_expired_credentials_are_served_and_told_where_the_policy_says_so(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    events: list[Event] = []
    refresher = make(policy=RefreshPolicy(on_expired="serve"), on_event=events.append)
    held = refresher.get()
    clock.tick(EXPIRED)
    source.error = Unreachable("STS is down")

    assert [refresher.get() for _ in range(3)] == [held] * 3
    assert [event.kind for event in events] == ["refreshed", "refresh_failed", "expired_served"]


# ── failure ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [Unreachable("down"), AccessDenied("no"), ValueError("bug")])
def test_no_failure_reaches_a_reader_while_credentials_are_valid(
    make: Make, clock: FakeClock, source: FakeSource, error: Exception
) -> None:
    refresher = make()
    held = refresher.get()
    source.error = error

    for _ in range(3600 - 1):
        clock.tick(seconds=1)
        assert refresher.get() is held
        flight = refresher._flight
        if flight is not None:
            flight.future.result(timeout=20)

    assert 4 <= source.calls <= 60


def test_recovery_takes_seconds_once_the_source_recovers(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make(rng=lambda: 0.99)
    refresher.get()
    clock.tick(EXPIRED)
    source.error = Unreachable("STS is down")
    with pytest.raises(Unreachable):
        refresher.get()
    source.error = None

    clock.tick(seconds=5)

    assert refresher.get().access_key == "ASIAFAKE000000000003"


def test_a_failure_is_remembered_for_a_moment(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make(rng=lambda: 0.5)
    source.error = AccessDenied("no")

    for _ in range(10):
        with pytest.raises(AccessDenied):
            refresher.get()
    assert source.calls == 1

    clock.tick(seconds=3.1)
    with pytest.raises(AccessDenied):
        refresher.get()
    assert source.calls == 2


def test_an_error_raised_again_and_again_does_not_grow(make: Make, source: FakeSource) -> None:
    refresher = make()
    source.error = AccessDenied("no")
    lengths = set()
    for _ in range(30):
        with pytest.raises(AccessDenied) as caught:
            refresher.get()
        lengths.add(len("".join(traceback.format_exception(caught.value))) // 400)

    assert source.calls == 1
    assert len(lengths) <= 2


@pytest.mark.parametrize(
    "lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=-1)], ids=str
)
def test_an_answer_that_is_already_expired_leaves_the_good_ones_alone(
    make: Make, clock: FakeClock, source: FakeSource, lifetime: timedelta
) -> None:
    refresher = make()
    held = refresher.get()
    clock.tick(STALE)
    source.lifetime = lifetime

    assert refresher.get() is held
    fetched(refresher, source, 2)
    assert refresher.get() is held
    assert refresher.state.failure is not None


def test_a_source_that_answers_something_else_is_a_failure(make: Make, source: FakeSource) -> None:
    source.answer = ("key", "secret")  # type: ignore[assignment]

    with pytest.raises(FetchError, match="answered tuple, not Credentials"):
        make().get()


# ── flights ──────────────────────────────────────────────────────────────────────────────


def test_a_reader_that_gives_up_does_not_end_the_fetch(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make(policy=RefreshPolicy(fetch_timeout=timedelta(seconds=30)))
    source.before = gate = Gate()

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(refresher.get)
        gate.wait_for_arrival()
        clock.wait_for_waiters()
        clock.tick(seconds=30)
        with pytest.raises(Unreachable, match="within 30 s"):
            reader.result(timeout=20)
        flight = refresher._flight
        assert flight is not None
        gate.open()
        flight.future.result(timeout=20)

    assert refresher.get().access_key == "ASIAFAKE000000000001"
    assert source.calls == 1


def test_a_lost_fetch_is_replaced_and_its_late_answer_is_dropped(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    events: list[str] = []
    refresher = make(on_event=lambda event: events.append(event.kind))
    refresher.get()
    clock.tick(STALE)
    source.before = gate = Gate()
    refresher.get()
    gate.wait_for_arrival()
    lost = refresher._flight
    clock.jump(seconds=61)  # the sandbox was frozen: only the wall clock went on
    source.before = None

    refresher.get()
    flight = refresher._flight
    if flight is not None and flight is not lost:
        flight.future.result(timeout=20)
    newest = refresher.get()
    gate.open()
    assert lost is not None
    lost.future.result(timeout=20)

    assert refresher.get() is newest
    assert newest.access_key == "ASIAFAKE000000000003"
    # The new fetch does not wait for those who are told of the lost one.
    assert sorted(events) == ["fetch_lost", "late_answer", "refreshed", "refreshed"]


def test_a_late_answer_that_is_fresher_is_used(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    refresher.get()
    clock.tick(STALE)
    source.before = gate = Gate()
    refresher.get()
    gate.wait_for_arrival()
    lost = refresher._flight
    clock.jump(seconds=61)
    source.before = None
    source.error = Unreachable("down")
    refresher.get()
    flight = refresher._flight
    if flight is not None and flight is not lost:
        flight.future.result(timeout=20)
    source.error = None
    gate.open()
    assert lost is not None
    lost.future.result(timeout=20)

    assert refresher.get().access_key == "ASIAFAKE000000000002"


def test_a_late_failure_says_nothing_of_the_fetch_that_replaced_it(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    refresher.get()
    clock.tick(STALE)
    gate = Gate()

    def fail_late() -> None:
        gate.pass_through()
        raise AccessDenied("far too late")

    source.before = fail_late
    refresher.get()
    gate.wait_for_arrival()
    lost = refresher._flight
    clock.jump(seconds=61)
    source.before = second = Gate()
    refresher.get()
    second.wait_for_arrival()
    newer = refresher._flight
    gate.open()
    assert lost is not None
    lost.future.result(timeout=20)

    assert refresher._flight is newer
    assert refresher.state.failure is None
    second.open()
    assert newer is not None
    newer.future.result(timeout=20)


def test_refresh_joins_the_fetch_that_is_in_the_air(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    refresher.get()
    clock.tick(STALE)
    source.before = gate = Gate()
    refresher.get()
    gate.wait_for_arrival()

    with ThreadPoolExecutor(1) as pool:
        forced = pool.submit(refresher.refresh)
        clock.wait_for_waiters()
        gate.open()

        assert forced.result(timeout=20).access_key == "ASIAFAKE000000000002"
    assert source.calls == 2


def test_a_source_that_hangs_for_ever_costs_a_handful_of_threads(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    refresher.get()
    clock.tick(EXPIRED)
    source.before = gate = Gate()
    threads = threading.active_count()

    with gate, ThreadPoolExecutor(1) as pool:
        for number in range(8):
            reader = pool.submit(refresher.get)
            if number < 4:
                gate.wait_for_arrival(number + 1)
                clock.wait_for_waiters()
                clock.tick(seconds=61)
            with pytest.raises(Unreachable):
                reader.result(timeout=20)
            clock.tick(seconds=6)

        assert source.calls == 1 + 4
        assert threading.active_count() <= threads + 4 + 1
    for lost in list(refresher._lost):
        lost.future.result(timeout=20)


def test_a_fetch_runs_inline_where_no_thread_can_be_started(
    make: Make, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert make().get().access_key == "ASIAFAKE000000000001"


def test_an_interactive_source_is_asked_in_the_callers_own_thread(
    make: Make, source: FakeSource
) -> None:
    asked_in = []
    source.interactive = True  # type: ignore[attr-defined]
    source.before = lambda: asked_in.append(threading.current_thread())

    make().get()

    assert asked_in == [threading.current_thread()]


def test_ctrl_c_at_an_interactive_source_reaches_the_caller(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    source.interactive = True  # type: ignore[attr-defined]
    source.error = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        refresher.get()

    source.error = None
    clock.tick(seconds=5)
    assert refresher.get()


def test_a_finalizer_that_reads_does_not_lock_itself_out(make: Make, clock: FakeClock) -> None:
    refresher = make()
    refresher.get()
    clock.tick(STALE)

    with refresher._lock:  # as if the collector ran a finalizer in the middle of a decision
        assert refresher.get()
    flight = refresher._flight
    if flight is not None:
        flight.future.result(timeout=20)


def test_refresh_fetches_at_once_and_tells_its_failure(make: Make, source: FakeSource) -> None:
    refresher = make()
    held = refresher.get()

    assert refresher.refresh() is not held
    source.error = Unreachable("down")
    with pytest.raises(Unreachable):
        refresher.refresh()
    assert refresher.get().access_key == "ASIAFAKE000000000002"


# ── rejections ───────────────────────────────────────────────────────────────────────────


def test_a_rejected_key_is_replaced_at_the_next_read(make: Make, source: FakeSource) -> None:
    refresher = make()
    held = refresher.get()

    assert refresher.invalidate(held.access_key)
    assert refresher.get() is not held
    assert not refresher.invalidate(held.access_key), "another key is held by now"
    assert source.calls == 2


def test_the_source_hears_of_a_rejected_key(make: Make, source: FakeSource) -> None:
    rejected: list[str] = []
    source.reject = rejected.append  # type: ignore[attr-defined]
    refresher = make()

    refresher.invalidate(refresher.get().access_key)

    assert rejected == ["ASIAFAKE000000000001"]


# ── clocks ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("jump", [-3600, -61, 61, 3600, 86_400], ids="{:+}s".format)
def test_no_clock_fault_serves_dead_credentials(
    make: Make, clock: FakeClock, source: FakeSource, jump: int
) -> None:
    refresher = make()
    refresher.get()
    clock.jump(jump)
    clock.tick(EXPIRED)
    source.error = Unreachable("down")

    with pytest.raises(Unreachable):
        refresher.get()


def test_a_suspended_machine_finds_its_credentials_expired(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    refresher = make()
    held = refresher.get()
    clock.jump(hours=2)  # the boot clock stood still

    assert refresher.get() is not held


@pytest.mark.parametrize("minutes", [-61, 61])
def test_a_machine_whose_clock_is_an_hour_off_makes_no_more_calls(
    make: Make, clock: FakeClock, source: FakeSource, minutes: int
) -> None:
    source.offset = timedelta(minutes=minutes)
    refresher = make()

    for _ in range(7200 + 1):
        clock.tick(seconds=1)
        refresher.get()
        flight = refresher._flight
        if flight is not None:
            flight.future.result(timeout=20)

    assert source.calls == 4


# ── processes ────────────────────────────────────────────────────────────────────────────


def test_a_child_forked_during_a_refresh_reads_and_refreshes(
    make: Make, clock: FakeClock, source: FakeSource, fork: Callable[..., Any]
) -> None:
    refresher = make()
    held = refresher.get()
    clock.tick(EXPIRED)
    source.before = gate = Gate()

    def reads_and_refreshes() -> bool:
        source.before = None
        return refresher._flight is None and refresher.get() is not held

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(refresher.get)
        gate.wait_for_arrival()
        refresher._lock.acquire()  # the worst moment: the lock is held as well
        child = fork(reads_and_refreshes)
        refresher._lock.release()
        answer = child.said_yes()
        gate.open()

        assert answer
        assert reader.result(timeout=20) is not held


def test_the_interpreter_exits_while_a_refresh_hangs() -> None:
    program = """
import threading
from rolecall.refresh import Refresher
from rolecall.testing import FakeClock, FakeSource
clock = FakeClock()
source = FakeSource(clock)
refresher = Refresher(source, clock=clock)
refresher.get()
clock.tick(minutes=50)
arrived = threading.Event()
source.before = lambda: (arrived.set(), threading.Event().wait())
refresher.get()
assert arrived.wait(20)
print("bye")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "bye\n", "")


def test_a_read_while_the_interpreter_goes_down_works() -> None:
    """First when no thread can be started any more (3.12), then in the very last finalizers."""
    program = """
import atexit
import sys
from rolecall.refresh import Refresher
from rolecall.testing import FakeClock, FakeSource
clock = FakeClock()
refresher = Refresher(FakeSource(clock), clock=clock)
class Last:
    def __del__(self, get=refresher.get):
        print(get().access_key)
# CPython 3.13 crashes in datetime by then, whoever uses it.
last = None if sys.version_info[:2] == (3, 13) else Last()
@atexit.register
def late():
    print(refresher.get().access_key)
    clock.tick(hours=2)
    print(refresher.get().access_key)
    clock.tick(hours=2)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )

    reads = 2 if sys.version_info[:2] == (3, 13) else 3
    assert done.stdout.splitlines() == [f"ASIAFAKE{n:012d}" for n in range(1, reads + 1)]
    assert (done.returncode, done.stderr) == (0, "")


def test_ten_thousand_rotations_leave_nothing_behind(
    make: Make, clock: FakeClock, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "rolecall")  # pytest would keep every record
    refresher = make()
    threads = threading.active_count()

    def rotate(times: int) -> None:
        for number in range(times):
            source.error = Unreachable("down") if number % 10 == 9 else None
            clock.tick(EXPIRED)
            try:
                refresher.get()
            except Unreachable:
                clock.tick(seconds=5)

    rotate(200)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot()
        rotate(10_000)
        gc.collect()
        growth = sum(
            entry.size_diff for entry in tracemalloc.take_snapshot().compare_to(before, "filename")
        )
    finally:
        tracemalloc.stop()

    assert growth < 200_000, f"{growth} bytes more after 10,000 rotations"
    assert threading.active_count() <= threads + 1


# ── telling ──────────────────────────────────────────────────────────────────────────────


def test_listeners_hear_what_happens_and_no_secret(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    events: list[Event] = []
    refresher = make(on_event=events.append, rng=lambda: 0.5)
    key = refresher.get().access_key
    refresher.invalidate(key)
    source.error = Unreachable("down")
    with pytest.raises(Unreachable):
        refresher.get()

    assert [event.kind for event in events] == ["refreshed", "invalidated", "refresh_failed"]
    assert events[0].access_key == key
    assert events[0].expires_at == clock.now + timedelta(hours=1)
    assert events[2].next_attempt == pytest.approx(3)
    assert events[2].error is source.error
    assert FAKE_SECRET not in repr(events)
    assert FAKE_TOKEN not in repr(events)


def test_a_listener_that_raises_costs_nobody_their_credentials(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def listener(event: Event) -> None:
        raise RuntimeError("a listener's own mistake")

    assert make(on_event=listener).get()
    assert "on_event raised for refreshed" in caplog.text


def test_logs_reprs_and_states_hold_no_secret(
    make: Make, clock: FakeClock, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refresher = make()
    held = refresher.get()
    refresher.invalidate(held.access_key)
    refresher.get()
    source.error = Unreachable("down")
    with pytest.raises(Unreachable) as caught:
        refresher.refresh()

    told = "".join(
        [
            caplog.text,
            repr(refresher),
            repr(refresher.state),
            repr(held),
            "".join(traceback.format_exception(caught.value)),
        ]
    )
    assert held.access_key in told
    assert FAKE_SECRET not in told
    assert FAKE_TOKEN not in told


def test_phase_and_remaining_ask_nobody(make: Make, clock: FakeClock, source: FakeSource) -> None:
    refresher = make()

    assert refresher.phase is Phase.EMPTY
    assert refresher.remaining is None
    refresher.get()
    clock.tick(minutes=15)
    assert refresher.remaining == timedelta(minutes=45)
    assert source.calls == 1


def test_credentials_without_expiry_are_fetched_once(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    made = source.make(1, clock.now)
    source.answer = replace(made, expires_at=None, token=None)
    refresher = make()
    refresher.get()
    clock.tick(days=4000)

    assert refresher.get() is source.answer
    assert source.calls == 1
    assert refresher.remaining is None


def test_errors_travel_to_another_process() -> None:
    error = CredentialsExpired("gone", hint="sign in", context={"a": 1}, retryable=False)

    again = pickle.loads(pickle.dumps(error))

    assert (str(again), again.hint, dict(again.context), again.retryable) == (
        "gone (sign in)",
        "sign in",
        {"a": 1},
        False,
    )


def test_credentials_are_copied_but_never_pickled(clock: FakeClock, source: FakeSource) -> None:
    held = source.get()

    assert copy.deepcopy(held) is copy.copy(held) is held
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="send a RoleChain"):
            pickle.dumps(held, protocol)


def test_credentials_must_be_whole_and_aware() -> None:
    with pytest.raises(ValueError, match="access_key"):
        Credentials(access_key="", secret_key="fake-secret")
    with pytest.raises(ValueError, match="secret_key"):
        Credentials(access_key="ASIAFAKE", secret_key="")
