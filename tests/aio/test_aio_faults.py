"""Faults of STS and of what a session starts from, as tasks see them."""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from aiobotocore.session import AioSession
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from event_loops import arrival, own_session, silence, turns, waiting
from scenes import AioAssume, aio_session_of, caller_arn, client, keys_of, run, settle

import rolecall.aio
from rolecall.refresh import Event, RefreshPolicy
from rolecall.testing import FakeClock, StrictCloud

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")

QUICK = {"config": Config(retries={"total_max_attempts": 1}, connect_timeout=2)}

#: How every secret key and token of a strict cloud begins.
SECRETS = re.compile(r"fake-(?:secret|token)-[0-9a-z]{4,}")


@pytest.fixture
def quick(aio_assume: AioAssume) -> AioAssume:
    """Sessions whose STS client tries once."""

    def quick(**keywords: Any) -> Any:
        return aio_assume(sts_client_kwargs=QUICK, **keywords)

    return quick


def refuses(cloud: StrictCloud) -> None:
    cloud.fail("AssumeRole")


def throttles(cloud: StrictCloud) -> None:
    cloud.fail("AssumeRole", code="Throttling", status=400)


def is_down(cloud: StrictCloud) -> None:
    cloud.down()


def hangs_up(cloud: StrictCloud) -> None:
    cloud.reset_connections("AssumeRole")


def sends_a_page(cloud: StrictCloud) -> None:
    cloud.fail("AssumeRole", status=502, body="<html>bad gateway</html>")


FAULTS: list[tuple[Callable[[StrictCloud], None], type[Exception], type[Exception]]] = [
    (refuses, rolecall.AccessDenied, ClientError),
    (throttles, rolecall.FetchError, ClientError),
    (is_down, rolecall.errors.Unreachable, EndpointConnectionError),
    (hangs_up, rolecall.errors.Unreachable, Exception),
    (sends_a_page, rolecall.FetchError, Exception),
]


@pytest.mark.parametrize(("happens", "ours", "theirs"), FAULTS)
def test_an_error_is_of_the_class_that_tells_what_to_do(
    happens: Callable[[StrictCloud], None],
    ours: type[Exception],
    theirs: type[Exception],
    quick: AioAssume,
    cloud: StrictCloud,
    fake_clock: FakeClock,
) -> None:
    session = quick()
    happens(cloud)

    async def main() -> None:
        async with client(session, "sts") as sts:
            with pytest.raises(ours) as caught:
                await sts.get_caller_identity()
            assert isinstance(caught.value, theirs)

            cloud.recover()
            fake_clock.tick(minutes=1)
            assert "assumed-role/Hub/" in (await sts.get_caller_identity())["Arn"]

    run(main())


@pytest.mark.parametrize("minutes", [50, 59.9], ids=["stale", "critical"])
@pytest.mark.parametrize("happens", [fault[0] for fault in FAULTS])
def test_what_is_held_is_served_as_long_as_it_is_valid(
    happens: Callable[[StrictCloud], None],
    minutes: float,
    quick: AioAssume,
    cloud: StrictCloud,
    fake_clock: FakeClock,
    events: list[Event],
) -> None:
    async def main() -> None:
        session = quick()
        held = await keys_of(session)
        happens(cloud)
        fake_clock.tick(minutes=minutes)

        assert await keys_of(session) == held
        await settle(session)
        assert await keys_of(session) == held

    run(main())
    assert [event.kind for event in events] == ["refreshed", "refresh_failed"]


def test_whoever_waited_gets_an_exception_of_their_own(
    quick: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    async def main() -> list[Any]:
        session = quick()
        with cloud.hold("AssumeRole"):
            cloud.fail("AssumeRole")
            tasks = [asyncio.create_task(keys_of(session)) for _ in range(10)]
            await waiting(fake_clock, 10)
        return await asyncio.gather(*tasks, return_exceptions=True)

    errors = run(main())

    assert all(isinstance(error, rolecall.AccessDenied) for error in errors)
    assert len({id(error) for error in errors}) == 10
    assert cloud.calls("AssumeRole") == 1


def test_an_error_that_is_raised_again_and_again_does_not_grow(
    quick: AioAssume, cloud: StrictCloud
) -> None:
    async def main() -> list[int]:
        session = quick()
        cloud.fail("AssumeRole")
        lengths = []
        for _ in range(20):
            with pytest.raises(rolecall.AccessDenied) as caught:
                await keys_of(session)
            lengths.append(len(traceback.format_exception(caught.value)))
        return lengths

    lengths = run(main())

    assert len(set(lengths[1:])) == 1
    assert cloud.calls("AssumeRole") == 1


def test_a_source_that_hangs_counts_as_lost_and_the_next_caller_asks_anew(
    quick: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    policy = RefreshPolicy(fetch_timeout=timedelta(seconds=10))

    async def main() -> None:
        session = quick(refresh_policy=policy)
        with cloud.hold("AssumeRole") as gate:
            task = asyncio.create_task(keys_of(session))
            await arrival(gate)
            await waiting(fake_clock, 1)
            fake_clock.tick(seconds=11)
            with pytest.raises(rolecall.errors.Unreachable, match="within 10 s"):
                await task

            again = asyncio.create_task(keys_of(session))
            await arrival(gate, 2)
        await again

    run(main())
    assert cloud.calls("AssumeRole") == 2


def test_a_caller_in_the_last_moments_waits_a_second_and_no_longer(
    quick: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    async def main() -> None:
        session = quick()
        held = await keys_of(session)
        fake_clock.tick(minutes=59.5)
        with cloud.hold("AssumeRole") as gate:
            task = asyncio.create_task(keys_of(session))
            await arrival(gate)
            await waiting(fake_clock, 1)
            await turns()
            assert not task.done()
            fake_clock.tick(seconds=1)
            assert await task == held

            fake_clock.tick(seconds=1)
            assert await keys_of(session) == held  # once per attempt
        await settle(session)

    run(main())
    assert cloud.calls("AssumeRole") == 2


# ── what it starts from ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("use", [caller_arn, keys_of], ids=["client", "credentials"])
def test_a_parent_without_credentials_is_told_at_the_first_use_and_each_time(
    use: Callable[[Any], Any], aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    session = aio_assume(session=aio_session_of(cloud, user=None))

    async def main() -> list[BaseException]:
        errors: list[BaseException] = []
        for _ in range(2):
            with pytest.raises(NoCredentialsError) as caught:
                await use(session)
            errors.append(caught.value)
        return errors

    first, second = run(main())

    assert first is not second
    assert cloud.calls("AssumeRole") == 0


def test_those_who_waited_for_one_opening_get_an_exception_of_their_own(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    asked = []

    async def find() -> None:
        asked.append(1)
        await turns()

    session = aio_assume(session=own_session(cloud, find))

    async def main() -> list[Any]:
        return await asyncio.gather(*(keys_of(session) for _ in range(5)), return_exceptions=True)

    errors = run(main())

    assert {type(error) for error in errors} == {NoCredentialsError}
    assert len({id(error) for error in errors}) == 5
    assert asked == [1]


def test_a_parent_that_is_given_credentials_later_is_tried_again(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    parent: AioSession = aio_session_of(cloud, user=None)
    session = aio_assume(session=parent)
    with pytest.raises(NoCredentialsError):
        run(caller_arn(session))

    held = cloud.credentials(user="alice")
    parent.set_credentials(held.access_key, held.secret_key)

    assert "assumed-role/Hub/" in run(caller_arn(session))


def test_what_a_parents_own_coroutine_raises_reaches_the_task(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    class OutOfOrder(Exception):
        pass

    async def find() -> Any:
        raise OutOfOrder("the vault is sealed")

    session = aio_assume(session=own_session(cloud, find))

    with pytest.raises(OutOfOrder, match="sealed"):
        run(keys_of(session))


def test_a_base_exception_of_an_own_coroutine_is_an_error_and_no_hang(
    fake_clock: FakeClock,
) -> None:
    class Exotic(BaseException):
        pass

    async def fetch() -> Any:
        raise Exotic

    session = rolecall.aio.refreshable_session(fetch, clock=fake_clock)

    with pytest.raises(rolecall.FetchError, match="interrupted by Exotic"):
        run(keys_of(session))


def test_no_fault_shows_a_secret(
    quick: AioAssume, cloud: StrictCloud, fake_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "rolecall")
    heard: list[str] = []

    async def main() -> None:
        for happens in (refuses, throttles, hangs_up, sends_a_page):
            session = quick()
            await keys_of(session)
            happens(cloud)
            fake_clock.tick(hours=2)
            with pytest.raises(rolecall.RolecallError) as caught:
                await keys_of(session)
            heard.extend(traceback.format_exception(caught.value))
            heard.extend((repr(session), repr(await session.get_credentials()), repr(caught.value)))
            cloud.recover()

    run(main())

    assert SECRETS.search("\n".join(heard) + caplog.text) is None
