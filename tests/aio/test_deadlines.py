"""Callers with deadlines shorter than the answer of STS: a fetch belongs to none of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.session import AioSession
from event_loops import arrival, silence, waiting
from scenes import HUB, AioAssume, aio_session_of, caller_arn, keys_of, run, settle

from rolecall.aio import assume_role
from rolecall.testing import FakeClock, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")

CALLERS = 6
DEADLINE = 0.2
LATENCY = timedelta(seconds=0.5)

Call = Callable[[], Coroutine[Any, Any, Any]]


class TickingLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers go by a clock that the test moves: no deadline is a race."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        super().__init__()

    def time(self) -> float:
        return self._clock.boottime()


@pytest.fixture
def loop(fake_clock: FakeClock) -> Any:
    made = TickingLoop(fake_clock)
    yield made
    made.run_until_complete(made.shutdown_asyncgens())
    made.run_until_complete(made.shutdown_default_executor())
    made.close()


async def a_round(clock: FakeClock, call: Call, passes: Call) -> list[Any]:
    """Return what six callers get who give up after 0.2 s; *passes*: they all wait by then."""
    callers = [asyncio.create_task(asyncio.wait_for(call(), DEADLINE)) for _ in range(CALLERS)]
    await passes()
    return await asyncio.gather(*callers, return_exceptions=True)


def timed_out(outcomes: list[Any]) -> int:
    return sum(isinstance(one, asyncio.TimeoutError) for one in outcomes)


@pytest.mark.parametrize("call", [keys_of, caller_arn], ids=["credentials", "clients"])
def test_after_two_rounds_of_time_outs_all_succeed_with_one_call_in_all(
    call: Callable[[Any], Coroutine[Any, Any, Any]],
    loop: TickingLoop,
    aio_assume: AioAssume,
    cloud: StrictCloud,
    fake_clock: FakeClock,
) -> None:
    session = aio_assume()
    cloud.delay("AssumeRole", LATENCY)

    async def main() -> list[int]:
        rounds = []
        for number in range(1, 4):

            async def passes(number: int = number) -> None:
                # All callers so far, for a clock of a test's own holds one thread for each; and
                # the cloud, which lets its request wait.
                await waiting(fake_clock, CALLERS * number + 1)
                fake_clock.tick(DEADLINE if number < 3 else LATENCY.total_seconds() - 2 * DEADLINE)

            rounds.append(timed_out(await a_round(fake_clock, lambda: call(session), passes)))
        return rounds

    assert loop.run_until_complete(main()) == [CALLERS, CALLERS, 0]
    assert cloud.calls("AssumeRole") == 1


def test_callers_of_aiobotocores_own_credentials_never_succeed(
    loop: TickingLoop, aio_user: AioSession, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """What the test above would see without rolecall: the comparison that the guide makes."""
    passed = cloud.hold("AssumeRole")
    passed.open()
    cloud.delay("AssumeRole", LATENCY)

    async def fetch() -> dict[str, str]:
        async with aio_user.create_client("sts") as sts:
            keys = (await sts.assume_role(RoleArn=HUB, RoleSessionName="me"))["Credentials"]
        return {
            "access_key": keys["AccessKeyId"],
            "secret_key": keys["SecretAccessKey"],
            "token": keys["SessionToken"],
            "expiry_time": keys["Expiration"].isoformat(),
        }

    theirs = AioRefreshableCredentials(
        "fake",
        "fake-secret",
        "fake-token",
        datetime(2020, 1, 1, tzinfo=timezone.utc),
        refresh_using=fetch,
        method="sts-assume-role",
    )

    async def main() -> list[int]:
        rounds = []
        for number in range(1, 6):

            async def passes(number: int = number) -> None:
                await arrival(passed, number)  # a call of its own in every round
                fake_clock.tick(DEADLINE)

            rounds.append(
                timed_out(await a_round(fake_clock, theirs.get_frozen_credentials, passes))
            )
        return rounds

    assert loop.run_until_complete(main()) == [CALLERS] * 5
    assert cloud.calls("AssumeRole") >= 5
    cloud.recover()


def test_a_caller_without_patience_gets_the_answer_that_the_one_before_gave_up_on(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    async def main() -> None:
        session = aio_assume()
        with cloud.hold("AssumeRole") as gate:
            first = asyncio.create_task(asyncio.wait_for(keys_of(session), PATIENCE_SECONDS))
            await arrival(gate)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
        await settle(session)

        # Nothing to wait for: it needs no second turn of the loop.
        credentials = await session.get_credentials()
        with pytest.raises(StopIteration):
            credentials.get_frozen_credentials().send(None)

    run(main())
    assert cloud.calls("AssumeRole") == 1


def test_real_deadlines_against_a_real_delay_end_in_one_call(strict_cloud: StrictCloud) -> None:
    """On the machine's own clock: how many rounds it takes is the machine's affair, no more."""
    session = assume_role(aio_session_of(strict_cloud), HUB)
    strict_cloud.delay("AssumeRole", LATENCY)

    async def main() -> list[int]:
        rounds = []
        while not rounds or rounds[-1]:
            callers = [asyncio.wait_for(keys_of(session), DEADLINE) for _ in range(CALLERS)]
            rounds.append(timed_out(await asyncio.gather(*callers, return_exceptions=True)))
        return rounds

    rounds = run(main())

    assert rounds[0] == CALLERS
    assert strict_cloud.calls("AssumeRole") == 1
