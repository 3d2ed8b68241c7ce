"""What only the thread driver does: threads, forks, finalizers, the interpreter's exit."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from drivers import settle

from rolecall.errors import Unreachable
from rolecall.refresh import Phase, Refresher
from rolecall.refresh.flight import aboard
from rolecall.testing import FakeClock, FakeSource, Gate

Make = Callable[..., Refresher]

STALE = timedelta(minutes=41)  # of one hour; a refresh is due after 40 minutes
EXPIRED = timedelta(hours=1, seconds=1)


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
    assert aboard.get() == (), "the caller is no part of the fetch any more"


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
    settle(refresher)


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


def test_phase_and_remaining_ask_nobody(make: Make, clock: FakeClock, source: FakeSource) -> None:
    refresher = make()

    assert refresher.phase is Phase.EMPTY
    assert refresher.remaining is None
    refresher.get()
    clock.tick(minutes=15)
    assert refresher.remaining == timedelta(minutes=45)
    assert source.calls == 1
