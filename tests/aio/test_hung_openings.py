"""A look-up that hangs, is left or is asked for twice costs the next caller nothing."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from event_loops import arrival, in_a_thread, own_session, silence
from made_parents import World, keys_of_a_profile
from scenes import SPOKE, AioAssume, client, keys_of, run

from rolecall import Unreachable
from rolecall.refresh import aio
from rolecall.sessions.aio import opening as openings
from rolecall.sessions.aio.opening import Opening
from rolecall.testing import Gate, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")

ONCE = AioConfig(retries={"total_max_attempts": 1})

#: Limits here are of real seconds: what they guard against never comes back. These are as short
#: as a test likes.
SHORT = 0.2
SHORTER = 0.1


# ── look-ups that hang ───────────────────────────────────────────────────────────────────


def test_an_opening_that_hangs_is_given_up_and_the_next_caller_opens_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openings, "LIMIT_SECONDS", SHORT)
    gate, calls = Gate(), []
    first, second = object(), object()

    def open_() -> object:
        calls.append(None)
        if len(calls) > 1:
            return second
        gate.pass_through()
        return first

    opening = Opening(open_, "the role")

    with pytest.raises(Unreachable, match=r"the role: .* within 0\.2 s"):
        run(opening.opened())
    hung = opening._future
    assert run(opening.opened()) is second
    gate.open()
    assert hung is not None
    hung.result(PATIENCE_SECONDS)

    assert opening.child is second  # what comes late is nobody's: the session is in use
    assert len(calls) == 2


def test_what_is_open_is_not_opened_again() -> None:
    calls: list[None] = []
    opening = Opening(lambda: calls.append(None) or calls, "the role")

    for _ in range(3):
        assert run(opening.opened()) is calls
        assert opening.wait() is calls

    assert len(calls) == 1


def test_a_thread_that_waits_for_one_that_hangs_is_told_so_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openings, "LIMIT_SECONDS", SHORT)
    gate, calls = Gate(), []

    def open_() -> object:
        calls.append(None)
        if len(calls) == 1:
            gate.pass_through()
        return calls

    opening = Opening(open_, "the role")

    with pytest.raises(Unreachable):
        opening.wait()
    assert opening.wait() is calls
    gate.open()


def test_a_parent_whose_look_up_hung_is_looked_up_anew_for_all_its_roles(
    monkeypatch: pytest.MonkeyPatch, cloud: StrictCloud, aio_assume: AioAssume
) -> None:
    monkeypatch.setattr(openings, "LIMIT_SECONDS", SHORT)
    monkeypatch.setattr(aio, "PATIENCE_SECONDS", SHORTER)
    calls: list[None] = []

    async def find() -> AioCredentials:
        calls.append(None)
        if len(calls) == 1:
            await asyncio.get_running_loop().create_future()
        held = cloud.credentials()
        return AioCredentials(held.access_key, held.secret_key)

    parent = own_session(cloud, find)
    child, other = aio_assume(session=parent), aio_assume(SPOKE, parent)

    async def main() -> Any:
        with pytest.raises(Unreachable):
            await keys_of(child)
        return await keys_of(child), await keys_of(other)

    assert len({frozen.access_key for frozen in run(main())}) == 2


# ── pickling beside a look-up ────────────────────────────────────────────────────────────


def test_a_session_pickles_on_the_loop_that_a_look_up_of_its_parent_needs(
    aio_assume: AioAssume, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aio, "LOOK_SECONDS", SHORTER)  # a real time: a loop held up says nothing
    parent = keys_of_a_profile(world, "alice")
    child = aio_assume(session=parent)
    find = parent.get_credentials

    async def main() -> bytes:
        await keys_of(child)
        here, began = asyncio.get_running_loop(), asyncio.Event()

        async def slowly() -> Any:
            if asyncio.get_running_loop() is here:
                began.set()
                await here.create_future()
            return await find()

        monkeypatch.setattr(parent, "get_credentials", slowly)
        parent._credentials = None  # looked up anew, as after a sign-in
        other = asyncio.create_task(keys_of(aio_assume(SPOKE, parent)))
        await began.wait()
        pickled = pickle.dumps(child)  # holds the loop up
        await other
        return pickled

    pickled = in_a_thread(lambda: run(main())).result(PATIENCE_SECONDS)

    assert repr(pickle.loads(pickled).chain) == repr(child.chain)


# ── forks ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("opened", [True, False], ids=["opened", "being opened"])
def test_a_fork_asks_nothing_of_a_future_whose_lock_another_thread_held(opened: bool) -> None:
    gate = Gate()
    opening = Opening(lambda: gate.pass_through() or gate, "the role")
    future = opening._join(None)
    gate.wait_for_arrival()
    if opened:
        gate.open()
        future.result(PATIENCE_SECONDS)

    with future._condition:
        in_a_thread(opening.after_fork).result(PATIENCE_SECONDS)
        child = in_a_thread(lambda: opening.child).result(PATIENCE_SECONDS)
    gate.open()

    assert (child is gate) == opened
    assert opening.wait() is gate


# ── a caller that leaves ─────────────────────────────────────────────────────────────────


def test_a_caller_cancelled_while_its_key_is_replaced_costs_nobody_the_key(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    child = aio_assume()

    async def main() -> tuple[str, str]:
        async with client(child, "sqs", config=ONCE) as sqs:
            before = (await keys_of(child)).access_key
            cloud.revoke(before)
            with cloud.hold("AssumeRole") as gate:
                call = asyncio.create_task(sqs.list_queues())
                await arrival(gate)
                call.cancel()
                await asyncio.wait([call])
                assert call.cancelled()
                return before, (await keys_of(child)).access_key  # would wait for STS

    before, after = run(main())

    assert before == after
