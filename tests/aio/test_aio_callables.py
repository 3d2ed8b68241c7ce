"""Asynchronous sessions of callables: of every kind that Python has."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import boto3
import pytest
from aiobotocore.session import AioSession
from scenes import HUB, SPOKE, AioAssume, aio_session_of, caller_arn, keys_of, run

import rolecall
from rolecall.aio import AioRoleSession, refreshable_session
from rolecall.testing import FakeClock, FakeSource, StrictCloud


class Fetch:
    """A callable object that notes which thread it runs in."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.threads: list[threading.Thread] = []

    def __call__(self) -> Any:
        self.threads.append(threading.current_thread())
        return self.answer


class AsyncFetch(Fetch):
    """The same, to be awaited."""

    async def __call__(self) -> Any:
        await asyncio.sleep(0)
        return super().__call__()


def kinds(plain: Fetch, awaited: AsyncFetch) -> dict[str, Any]:
    """Return a callable of each kind, over one of both."""

    async def coroutine(_: int = 0) -> Any:
        return await awaited()

    return {
        "a function": plain.__call__,
        "a lambda": lambda: plain(),
        "a partial": functools.partial(plain),
        "a callable object": plain,
        "a coroutine function": coroutine,
        "a lambda of a coroutine": lambda: coroutine(),
        "a partial of a coroutine function": functools.partial(coroutine, 1),
        "a partial of a partial": functools.partial(functools.partial(coroutine), 1),
        "a callable object to be awaited": awaited,
        "a bound method to be awaited": awaited.__call__,
    }


@pytest.mark.parametrize("kind", list(kinds(Fetch(None), AsyncFetch(None))))
def test_whatever_can_be_called_is_a_source(
    kind: str, cloud: StrictCloud, aio_user: AioSession, fake_clock: FakeClock
) -> None:
    answer = cloud.credentials(user="alice")
    plain, awaited = Fetch(answer), AsyncFetch(answer)
    child = refreshable_session(
        kinds(plain, awaited)[kind], base_session=aio_user, clock=fake_clock
    )

    assert run(caller_arn(child)).endswith("user/alice")
    assert isinstance(child, AioRoleSession)
    assert child.assume_role_parent_session is aio_user
    # Beside the loop what may block, and on it what may use what belongs to it.
    here = threading.current_thread()
    assert all(thread is not here for thread in plain.threads)
    assert all(thread is here for thread in awaited.threads)
    assert len(plain.threads) + len(awaited.threads) == 1


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "coroutine"])
def test_a_plain_function_has_a_thread_and_a_coroutine_function_the_callers_loop(
    plain: bool, fake_clock: FakeClock, fake_source: FakeSource
) -> None:
    ran_on: list[Any] = []

    def fetch() -> rolecall.Credentials:
        ran_on.append(threading.current_thread())
        return fake_source.get()

    async def afetch() -> rolecall.Credentials:
        ran_on.append(asyncio.get_running_loop())
        return fetch()

    child = refreshable_session(fetch if plain else afetch, clock=fake_clock)

    async def use() -> Any:
        await keys_of(child)
        return asyncio.get_running_loop(), threading.current_thread()

    loop, thread = run(use())

    assert ran_on[-1] is not thread if plain else ran_on == [loop, thread]


def test_it_is_called_again_ahead_of_expiry_on_whatever_loop_there_is(
    fake_clock: FakeClock, fake_source: FakeSource
) -> None:
    loops: list[Any] = []

    async def fetch() -> rolecall.Credentials:
        loops.append(asyncio.get_running_loop())
        return fake_source.get()

    child = refreshable_session(fetch, clock=fake_clock)

    seen = []
    for _ in range(3):
        seen.append(run(keys_of(child)).access_key)
        fake_clock.tick(hours=2)

    assert len(set(seen)) == 3 == fake_source.calls
    assert len({id(loop) for loop in loops}) >= 1


def test_a_hundred_tasks_make_one_call(fake_clock: FakeClock, fake_source: FakeSource) -> None:
    async def fetch() -> rolecall.Credentials:
        await asyncio.sleep(0)
        return fake_source.get()

    child = refreshable_session(fetch, clock=fake_clock)

    async def use() -> None:
        await asyncio.gather(*[keys_of(child) for _ in range(100)])

    run(use())

    assert fake_source.calls == 1


@pytest.mark.parametrize("base", ["none", "AioSession", "boto3", "botocore", "ours"])
def test_the_base_session_gives_its_configuration_and_no_credentials(
    base: str,
    cloud: StrictCloud,
    fake_clock: FakeClock,
    fake_source: FakeSource,
    aio_assume: AioAssume,
) -> None:
    like = cloud.session(region_name="eu-north-1")
    parents: dict[str, Any] = {
        "none": None,
        "AioSession": aio_session_of(cloud, region_name="eu-north-1"),
        "boto3": like,
        "botocore": like._session,
        "ours": aio_assume(HUB, like),
    }
    child = refreshable_session(fake_source.get, base_session=parents[base], clock=fake_clock)

    run(keys_of(child))

    expected = None if base == "none" else "eu-north-1"
    assert child.get_config_variable("region") == expected
    assert cloud.calls() == 0
    assert child.chain is None


def test_nobody_else_gets_the_keys_of_a_callable(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock, aio_user: AioSession
) -> None:
    """Two lambdas look alike, and one may live where the other one was."""
    cache: dict[str, Any] = {}
    for user in ("alice", "bob"):

        async def fetch(user: str = user) -> rolecall.Credentials:
            return cloud.credentials(user=user)

        parent = refreshable_session(fetch, base_session=aio_user, name="same", clock=fake_clock)
        run(keys_of(aio_assume(SPOKE, parent, cache=cache)))

    signed_by = [call.access_key for call in cloud.log if call.operation == "AssumeRole"]
    assert signed_by == [cloud.credentials(user=user).access_key for user in ("alice", "bob")]


def test_a_role_assumed_from_a_coroutine_function_over_several_loops(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock, aio_user: AioSession
) -> None:
    async def fetch() -> rolecall.Credentials:
        return cloud.credentials(user="alice")

    child = aio_assume(SPOKE, refreshable_session(fetch, base_session=aio_user, clock=fake_clock))

    for _ in range(3):
        assert "/Spoke/" in run(caller_arn(child))
        fake_clock.tick(hours=2)
    assert cloud.calls("AssumeRole") == 3


def test_what_it_raises_is_told_without_secrets(fake_clock: FakeClock) -> None:
    async def fetch() -> Any:
        raise RuntimeError("aws_secret_access_key = fake-secret-that-nobody-may-see")

    child = refreshable_session(fetch, name="the vault", clock=fake_clock)

    with pytest.raises(rolecall.FetchError, match="the vault") as told:
        run(keys_of(child))
    assert "fake-secret" not in str(told.value)


def test_a_wrong_answer_is_told(fake_clock: FakeClock) -> None:
    async def fetch() -> None: ...

    child = refreshable_session(fetch, name="the vault", clock=fake_clock)

    with pytest.raises(rolecall.FetchError, match="the vault returned None"):
        run(keys_of(child))


def test_a_coroutine_of_a_coroutine_is_told_and_closed(fake_clock: FakeClock) -> None:
    async def fetch() -> Any:
        async def inner() -> None: ...

        return inner()

    child = refreshable_session(fetch, clock=fake_clock)

    with pytest.raises(rolecall.FetchError, match="coroutine"):
        run(keys_of(child))


def test_a_name_is_what_messages_and_the_session_call_it(fake_clock: FakeClock) -> None:
    child = refreshable_session(dict, name="the vault", clock=fake_clock)

    assert "the vault" in repr(child)


def test_boto3s_default_session_is_left_alone(fake_clock: FakeClock) -> None:
    refreshable_session(dict, clock=fake_clock)

    assert boto3.DEFAULT_SESSION is None
