"""Stores hold role sessions for synchronous and asynchronous programs alike."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiobotocore.session import AioSession
from made_parents import (
    VIA,
    Make,
    World,
    keys_in_the_environment,
    keys_of_a_profile,
    keys_set,
    printed_keys,
    role_of_a_source_profile,
    role_of_a_token,
    role_of_the_environment,
)
from scenes import SPOKE, AioAssume, caller_arn, keys_of, run

import rolecall
from rolecall import FileStore, JSONFileCache
from rolecall.testing import FakeClock

#: Whose boto3 session finds the same credentials in the same place, and how to make that one.
SHARED: dict[Make, Any] = {
    keys_in_the_environment: boto3.Session,
    keys_of_a_profile: lambda: boto3.Session(profile_name="it"),
    printed_keys: lambda: boto3.Session(profile_name="it"),
    role_of_a_source_profile: lambda: boto3.Session(profile_name="it"),
    role_of_the_environment: lambda: boto3.Session(profile_name="it"),
    role_of_a_token: lambda: boto3.Session(profile_name="it"),
}


@pytest.mark.parametrize("first", ["asynchronous", "synchronous"])
@pytest.mark.parametrize("make", list(SHARED), ids=lambda make: make.__name__)
def test_both_kinds_of_session_of_one_profile_share_one_stored_session(
    make: Make,
    first: str,
    world: World,
    aio_assume: AioAssume,
    fake_clock: FakeClock,
    tmp_path: Path,
) -> None:
    keywords: dict[str, Any] = {"cache": FileStore(tmp_path), "RoleSessionName": "me"}
    parent = make(world, "alice")

    def ours() -> str:
        return str(run(keys_of(aio_assume(SPOKE, parent, **keywords))).access_key)

    def theirs() -> str:
        session = rolecall.assume_role(SHARED[make](), SPOKE, clock=fake_clock, **keywords)
        return session.get_credentials().get_frozen_credentials().access_key

    keys = [ours(), theirs()] if first == "asynchronous" else [theirs(), ours()]

    assert keys[0] == keys[1]


@pytest.mark.parametrize("kind", [FileStore, JSONFileCache])
def test_a_second_process_finds_what_the_first_one_stored(
    kind: Any, world: World, aio_assume: AioAssume, tmp_path: Path
) -> None:
    keys = [
        run(keys_of(aio_assume(SPOKE, keys_of_a_profile(world, "alice"), cache=kind(tmp_path))))
        for _ in range(3)
    ]

    assert len(set(keys)) == 1
    assert world.cloud.calls("AssumeRole") == 1


def test_keys_set_by_hand_share_by_the_key(world: World, aio_assume: AioAssume) -> None:
    cache: dict[str, Any] = {}

    for make in (keys_set, keys_in_the_environment, keys_of_a_profile):
        run(keys_of(aio_assume(SPOKE, make(world, "alice"), cache=cache)))

    assert world.cloud.calls("AssumeRole") == 1


def test_the_parents_secret_is_no_part_of_what_is_stored(
    world: World, aio_assume: AioAssume
) -> None:
    cache: dict[str, Any] = {}
    parent = keys_set(world, "alice")

    run(keys_of(aio_assume(SPOKE, parent, cache=cache)))

    held = world.cloud.credentials(user="alice")
    assert len(cache) == 1
    assert held.secret_key not in repr(cache)


def test_a_hundred_tasks_of_ten_sessions_and_one_store_make_one_call(
    world: World, aio_assume: AioAssume, tmp_path: Path
) -> None:
    parent = keys_set(world, "alice")
    cache = FileStore(tmp_path)
    sessions = [aio_assume(SPOKE, parent, cache=cache) for _ in range(10)]

    async def use() -> set[str]:
        keys = await asyncio.gather(*[keys_of(sessions[n % 10]) for n in range(100)])
        return {key.access_key for key in keys}

    assert len(run(use())) == 1
    assert world.cloud.calls("AssumeRole") == 1


def test_a_store_that_fails_costs_nobody_an_answer(
    world: World, aio_assume: AioAssume, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(dict):  # type: ignore[type-arg]
        def __getitem__(self, key: Any) -> Any:
            raise OSError("the fake disk is full")

        def __setitem__(self, key: Any, value: Any) -> None:
            raise OSError("the fake disk is full")

    child = aio_assume(SPOKE, keys_set(world, "alice"), cache=Broken())

    assert "/Spoke/" in run(caller_arn(child))
    assert "Broken cannot be written" in caplog.text


def test_the_same_profile_of_another_file_is_not_shared(
    world: World, aio_assume: AioAssume, fake_clock: FakeClock, tmp_path: Path
) -> None:
    parent = role_of_a_source_profile(world, "alice")
    cache = FileStore(tmp_path / "store")
    run(keys_of(aio_assume(SPOKE, parent, cache=cache)))
    bob = world.cloud.credentials(user="bob")
    other = tmp_path / "config"
    other.write_text(
        f"[profile it]\nregion = us-east-1\nrole_arn = {VIA}\nsource_profile = base\n"
        f"role_session_name = bob\n[profile base]\naws_access_key_id = {bob.access_key}\n"
        f"aws_secret_access_key = {bob.secret_key}\n"
    )
    theirs = AioSession(profile="it")
    theirs.set_config_variable("config_file", str(other))

    before = world.cloud.calls("AssumeRole")
    run(keys_of(aio_assume(SPOKE, theirs, cache=cache)))

    assert world.cloud.calls("AssumeRole") == before + 2


def test_an_asynchronous_hub_and_a_synchronous_one_are_stored_as_one(
    world: World, aio_assume: AioAssume, fake_clock: FakeClock, tmp_path: Path
) -> None:
    keywords: dict[str, Any] = {"cache": FileStore(tmp_path), "clock": fake_clock}
    sync = rolecall.assume_role(world.cloud.session(user="alice"), VIA, **keywords)
    spoke = rolecall.assume_role(sync, SPOKE, **keywords)
    spoke.get_credentials().get_frozen_credentials()

    ours = aio_assume(SPOKE, aio_assume(VIA, keys_set(world, "alice"), **keywords), **keywords)

    assert run(keys_of(ours)) == spoke.get_credentials().get_frozen_credentials()
    assert world.cloud.calls("AssumeRole") == 2
