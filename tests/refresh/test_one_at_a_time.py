"""Who waits for a call that was made for all of them, and what becomes of it without them."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from drivers import in_a_thread
from programs import run

from rolecall import FetchError, Unreachable
from rolecall.refresh import aio
from rolecall.refresh.aio import OneAtATime, awaited
from rolecall.refresh.flight import MOST_ASKERS, Abandoned, Askers, asked_by, on_behalf_of
from rolecall.refresh.threads import MOST_ABANDONED
from rolecall.testing import Gate
from rolecall.testing.clock import PATIENCE_SECONDS

FOLLOWERS = 5


class Loop:
    """As much of an event loop as those who look for a running one look at."""

    def __init__(self, *, runs: bool = False) -> None:
        self.runs = runs

    def is_running(self) -> bool:
        return self.runs


def askers_of(*members: Any) -> Askers:
    askers = Askers()
    for member in members:
        askers.add(member)
    return askers


# ── those who ask ────────────────────────────────────────────────────────────────────────


def test_of_many_short_lived_loops_only_a_few_are_held() -> None:
    askers = askers_of(*[Loop() for _ in range(1000)])

    assert len(askers.loops) <= MOST_ASKERS


def test_a_loop_that_runs_is_kept_however_many_end() -> None:
    running = [Loop(runs=True) for _ in range(MOST_ASKERS + 4)]
    askers = askers_of(running[0], *[Loop() for _ in range(100)], *running[1:])

    assert [loop for loop in askers.loops if loop.runs] == running


def test_those_whose_loops_were_all_left_out_had_loops_and_are_gone() -> None:
    """Else the next look would take them for a thread, and give it a loop of its own."""
    many = [Loop(runs=True) for _ in range(MOST_ASKERS)]
    askers = askers_of(*many)
    for loop in many:
        loop.runs = False
    askers.add(inner := askers_of(Loop(runs=True)))
    inner.loops[0].runs = False

    assert len(askers.loops) == 1
    assert askers.had_loops
    assert askers.gone

    none_left = askers_of(*[Loop() for _ in range(MOST_ASKERS)], Askers())
    assert none_left.loops == []
    assert none_left.gone
    assert askers.gone
    assert not askers.threads


def test_those_who_had_no_loop_are_never_gone() -> None:
    assert not Askers().gone
    assert not Askers().had_loops
    assert not askers_of(None).gone
    assert not askers_of(askers_of(None)).gone
    assert not askers_of(None).had_loops


def test_one_thread_among_loops_that_ended_still_waits() -> None:
    askers = askers_of(*[Loop() for _ in range(100)], askers_of(None))

    askers.add(Loop())

    assert askers.threads
    assert not askers.gone
    assert askers_of(askers_of(Loop())).gone
    assert askers_of(askers_of(Loop())).had_loops


def test_for_those_who_are_gone_nothing_is_awaited_on_another_loop() -> None:
    async def never() -> None:
        raise AssertionError("awaited for nobody")

    askers = askers_of(*[Loop() for _ in range(MOST_ASKERS)], Askers())  # none is left

    def work() -> None:
        with on_behalf_of(askers, person=False):
            awaited(never, anywhere=True)

    with pytest.raises(Abandoned):
        in_a_thread(work).result(PATIENCE_SECONDS)


# ── one call for all ─────────────────────────────────────────────────────────────────────


class Joined(Askers):
    """Those who ask, and a semaphore that counts them: whoever is in waits for the same answer."""

    __slots__ = ("came",)

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Semaphore(0)

    def add(self, member: Any) -> None:
        super().add(member)
        self.came.release()


def led(make: Callable[[], Any], gate: Gate, followers: int) -> tuple[OneAtATime, list[Any]]:
    """Return a call that one makes and *followers* wait for, all of them by now."""
    one = OneAtATime(make)
    callers = [in_a_thread(one)]
    gate.wait_for_arrival()
    one._askers = joined = Joined()
    for _ in range(followers):
        callers.append(in_a_thread(one))
        assert joined.came.acquire(timeout=PATIENCE_SECONDS)
    return one, callers


def test_all_who_call_meanwhile_get_one_answer() -> None:
    gate = Gate()

    def make() -> object:
        gate.pass_through()
        return object()

    one, callers = led(make, gate, FOLLOWERS)
    gate.open()
    answers = [caller.result(PATIENCE_SECONDS) for caller in callers]

    assert len(set(map(id, answers))) == 1
    assert gate.arrived == 1
    assert one() is not answers[0]  # nothing is kept: this is no cache


def test_all_who_call_meanwhile_get_one_failure_each_as_an_exception_of_its_own() -> None:
    gate = Gate()

    def make() -> object:
        gate.pass_through()
        raise FetchError("the vault is sealed")

    _, callers = led(make, gate, FOLLOWERS)
    gate.open()
    errors = [caller.exception(PATIENCE_SECONDS) for caller in callers]

    assert [str(error) for error in errors] == ["the vault is sealed"] * len(callers)
    assert len(set(map(id, errors))) == len(callers)
    assert gate.arrived == 1


def test_after_a_failure_the_call_is_made_anew() -> None:
    answers = iter([FetchError("not yet"), "an answer"])

    def make() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    one = OneAtATime(make)

    with pytest.raises(FetchError):
        one()
    assert one() == "an answer"


def test_who_still_waits_asks_again_where_the_others_loops_ended() -> None:
    gate = Gate()

    def make() -> object:
        gate.pass_through()
        if gate.arrived == 1:
            raise Abandoned
        return "an answer"

    def gone() -> object:
        asked_by.set(askers_of(Loop()))
        return one()

    one = OneAtATime(make)
    leader = in_a_thread(lambda: contextvars.Context().run(gone))
    gate.wait_for_arrival()
    one._askers = joined = Joined()
    follower = in_a_thread(one)
    assert joined.came.acquire(timeout=PATIENCE_SECONDS)
    gate.open()

    assert follower.result(PATIENCE_SECONDS) == "an answer"
    assert isinstance(leader.exception(PATIENCE_SECONDS), Abandoned)
    assert gate.arrived == 2


def test_what_is_abandoned_again_and_again_is_a_failure() -> None:
    calls: list[None] = []

    def make() -> object:
        calls.append(None)
        raise Abandoned

    with pytest.raises(FetchError, match="was cancelled"):
        OneAtATime(make)()
    assert len(calls) == MOST_ABANDONED


def test_who_waited_too_long_is_told_so_and_the_next_call_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limit is a number of real seconds: it guards against what never comes back."""
    monkeypatch.setattr(aio, "PATIENCE_SECONDS", 0.05)
    first, second = Gate(), Gate()
    gates = [first, second]

    def make() -> int:
        gate = gates.pop(0)
        gate.pass_through()
        return len(gates)

    one = OneAtATime(make)
    leader = in_a_thread(one)
    first.wait_for_arrival()

    with pytest.raises(Unreachable, match=r"0\.05 s"):
        one()

    again = in_a_thread(one)
    second.wait_for_arrival()
    newer = one._future
    first.open()  # whoever was given up does not take the place of the one after it
    leader.result(PATIENCE_SECONDS)
    assert one._future is newer
    second.open()
    assert again.result(PATIENCE_SECONDS) == 0
    assert one._future is None


def test_a_coroutine_is_awaited_on_the_loop_of_whoever_waits() -> None:
    ran_on: list[asyncio.AbstractEventLoop] = []

    async def make() -> None:
        ran_on.append(asyncio.get_running_loop())

    one = OneAtATime(lambda: awaited(make, anywhere=True))

    async def program() -> asyncio.AbstractEventLoop:
        await asyncio.gather(aio.in_thread(one), aio.in_thread(one))
        return asyncio.get_running_loop()

    loops = [run(program()) for _ in range(3)]

    assert set(ran_on) == set(loops)


def test_a_forked_child_does_not_wait_for_its_parents_thread(fork: Callable[..., Any]) -> None:
    gate = Gate()
    parent = os.getpid()

    def make() -> str:
        if os.getpid() == parent:
            gate.pass_through()
        return "an answer"

    one = OneAtATime(make)
    leader = in_a_thread(one)
    gate.wait_for_arrival()

    assert fork(lambda: one() == "an answer").said_yes()
    gate.open()
    assert leader.result(PATIENCE_SECONDS) == "an answer"
