"""What wakes a run's own thread, whatever its clock is, and who is interrupted while ringing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from rolecall.clock import SYSTEM_CLOCK, Clock
from rolecall.fleet.running.bell import Bell
from rolecall.testing import FakeClock


@pytest.fixture(params=["system", "fake"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return SYSTEM_CLOCK if request.param == "system" else FakeClock()


def ends(do: Callable[[], object], *, within: float = 20.0) -> bool:
    """Return whether *do* ends in a thread of its own."""
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(within)
    return not thread.is_alive()


def test_it_wakes_whoever_waits(clock: Clock) -> None:
    bell = Bell(clock)
    waits = threading.Event()

    def wait() -> None:
        waits.set()
        bell.wait(600)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert waits.wait(20)
    bell.ring()
    thread.join(20)

    assert not thread.is_alive()


def test_once_rung_nobody_waits_until_it_is_hushed(clock: Clock) -> None:
    bell = Bell(clock)
    bell.ring()
    bell.ring()

    for _ in range(3):
        assert ends(lambda: bell.wait(600))


def test_once_hushed_it_waits_for_the_next_ring(fake_clock: FakeClock) -> None:
    bell = Bell(fake_clock)
    bell.hush()
    for _ in range(2):
        bell.ring()
        bell.ring()
        bell.hush()
        thread = threading.Thread(target=bell.wait, args=[600])
        thread.start()
        fake_clock.wait_for_waiters()
        bell.ring()
        thread.join(20)
        assert not thread.is_alive()


def test_once_hushed_it_waits_on_the_clock_of_the_machine_too() -> None:
    bell = Bell(SYSTEM_CLOCK)
    bell.ring()
    bell.ring()
    bell.hush()
    before = SYSTEM_CLOCK.boottime()

    bell.wait(0.05)

    assert SYSTEM_CLOCK.boottime() - before >= 0.05


def interrupted(do: Callable[[], object], at: int) -> bool:
    """Do it with a Ctrl-C at its *at*-th way into, or out of, a function; False: it has fewer."""
    left = at

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if event in ("call", "return"):
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        do()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_who_is_interrupted_while_ringing_leaves_nothing_locked() -> None:
    bell = Bell(SYSTEM_CLOCK)
    at = 1

    while interrupted(bell.ring, at):
        assert ends(bell.ring, within=5)
        assert ends(lambda: bell.wait(600), within=5)
        with suppress(KeyboardInterrupt):
            bell.hush()
        at += 1

    assert at > 1
