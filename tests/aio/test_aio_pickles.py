"""An asynchronous session pickles as a synchronous one does: never with keys."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import NoCredentialsError
from made_parents import (
    VIA,
    Make,
    World,
    keys_in_the_environment,
    keys_of_a_profile,
    keys_set,
    own_kind,
    printed_keys,
    role_by_a_recipe,
    role_of_a_source_profile,
    role_of_a_token,
    role_of_the_environment,
    rotating,
)
from scenes import HUB, SPOKE, aio_session_of, caller_arn, keys_of, run

import rolecall
from rolecall import Ambient, FileStore, GivenSession, Profile, RoleChain
from rolecall.aio import AioRoleSession, assume_role, refreshable_session
from rolecall.testing import StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

DEVICE = "arn:aws:iam::123456789012:mfa/me"
MY_ARN = "arn:aws:sts::210987654321:assumed-role/Spoke/me"
SECRETS = (b"fake-secret", b"fake-token", b"ASIAFAKE", b"AKIAFAKE")
CODE = """
import asyncio, json, pickle, sys
session = pickle.load(sys.stdin.buffer)
async def main():
    async with session.create_client("sts") as sts:
        return (await sts.get_caller_identity())["Arn"]
print(json.dumps([asyncio.run(main()), session.get_config_variable("region")]))
"""

#: What another process finds for itself.
TRAVELLERS: tuple[Make, ...] = (
    keys_in_the_environment,
    keys_of_a_profile,
    printed_keys,
    role_of_a_source_profile,
    role_of_the_environment,
    role_of_a_token,
)


def there_and_back(session: Any) -> Any:
    return pickle.loads(pickle.dumps(session))


@pytest.fixture
def ambient(strict_cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> StrictCloud:
    """The cloud, by the machine's clock, with an environment of one of its users."""
    for name, value in strict_cloud.environ(user="alice").items():
        monkeypatch.setenv(name, value)
    return strict_cloud


# ── what travels ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", TRAVELLERS, ids=lambda make: make.__name__)
def test_it_comes_back_as_an_asynchronous_session_of_the_same_role(
    make: Make, world: World
) -> None:
    child = assume_role(make(world, "alice"), SPOKE, RoleSessionName="me")
    before = run(keys_of(child))

    data = pickle.dumps(child)
    back = pickle.loads(data)

    assert isinstance(back, AioRoleSession)
    assert run(caller_arn(back)) == MY_ARN
    assert run(keys_of(back)) != before
    assert not [word for word in SECRETS if word in data]


def test_one_that_was_not_used_yet_travels(ambient: StrictCloud) -> None:
    child = assume_role(AioSession(), SPOKE, RoleSessionName="me")

    assert run(caller_arn(there_and_back(child))) == MY_ARN


def test_it_travels_from_inside_an_event_loop(ambient: StrictCloud) -> None:
    async def use() -> Any:
        child = assume_role(AioSession(), SPOKE, RoleSessionName="me")
        await keys_of(child)
        return await caller_arn(there_and_back(child))

    assert run(use()) == MY_ARN


class Slow(AioSession):
    """A session that needs its event loop for a moment to say who it is."""

    async def get_credentials(self) -> Any:
        for _ in range(3):
            await asyncio.sleep(0)
        return await super().get_credentials()


def test_pickling_on_an_event_loop_does_not_wait_for_what_needs_that_loop(
    ambient: StrictCloud,
) -> None:
    child = assume_role(Slow(), SPOKE)

    async def use() -> Any:
        opening = asyncio.create_task(child.get_credentials())
        await asyncio.sleep(0)
        arrived = pickle.loads(pickle.dumps(child))
        assert str(arrived.chain) == f"Ambient() -> {SPOKE}"
        return await opening

    assert run(use()).state == "empty"


def test_an_unused_session_is_pickled_in_a_notebook(ambient: StrictCloud) -> None:
    """Where a loop runs all the time."""

    async def cell() -> bytes:
        return pickle.dumps(assume_role(AioSession(), SPOKE))

    assert "/Spoke/" in run(caller_arn(pickle.loads(run(cell()))))


def test_what_arrives_twice_is_one_session(ambient: StrictCloud) -> None:
    """As with each task that a worker of Dask is sent."""
    data = pickle.dumps(assume_role(AioSession(), SPOKE))
    before = ambient.calls("AssumeRole")

    arrived = [pickle.loads(data) for _ in range(3)]
    for session in arrived:
        run(keys_of(session))

    assert arrived[0] is arrived[1] is arrived[2]
    assert ambient.calls("AssumeRole") == before + 1


def test_another_process_assumes_the_role_itself(ambient: StrictCloud) -> None:
    parent = AioSession()
    parent.set_config_variable("region", "eu-north-1")
    hub = assume_role(parent, HUB)
    spoke = assume_role(hub, SPOKE, RoleSessionName="me")
    run(keys_of(spoke))
    data = pickle.dumps(spoke)

    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=data,
        capture_output=True,
        timeout=3 * PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == [MY_ARN, "eu-north-1"]
    assert ambient.calls("AssumeRole") == 4
    assert not [word for word in SECRETS if word in data]


def test_a_chain_travels(ambient: StrictCloud) -> None:
    child = RoleChain(Ambient(), HUB, rolecall.Role(SPOKE, session_name="me")).aio_session()

    assert run(caller_arn(there_and_back(child))) == MY_ARN


def test_the_chain_is_known_again(ambient: StrictCloud) -> None:
    child = assume_role(AioSession(), SPOKE)
    run(keys_of(child))

    assert there_and_back(child).chain == child.chain == RoleChain(Ambient(), SPOKE)


def test_a_pickle_of_a_profile_names_the_profile(world: World) -> None:
    child = assume_role(keys_of_a_profile(world, "alice"), SPOKE)

    back = there_and_back(child)
    run(keys_of(back))

    assert back.chain == RoleChain(Profile("it"), SPOKE)


@pytest.mark.parametrize("region_name", ["eu-west-1", True, None])
def test_its_region_travels(region_name: Any, ambient: StrictCloud) -> None:
    parent = AioSession()
    parent.set_config_variable("region", "eu-north-1")
    child = assume_role(parent, SPOKE, region_name=region_name)

    expected = region_name if isinstance(region_name, str) else "eu-north-1"
    assert there_and_back(child).get_config_variable("region") == expected


def test_variables_that_were_set_on_it_travel(ambient: StrictCloud) -> None:
    child = assume_role(AioSession(), SPOKE)
    child.set_config_variable("region", "eu-west-1")
    child.set_config_variable("max_attempts", 7)

    back = there_and_back(child)

    assert back.get_config_variable("region") == "eu-west-1"
    assert back.get_config_variable("max_attempts") == 7


def test_a_file_cache_travels(ambient: StrictCloud, tmp_path: Path) -> None:
    child = assume_role(AioSession(), SPOKE, cache=FileStore(tmp_path))
    before = run(keys_of(child))

    assert run(keys_of(there_and_back(child))) == before


def test_a_dict_that_is_a_cache_does_not_travel(ambient: StrictCloud) -> None:
    child = assume_role(AioSession(), SPOKE, cache={})
    before = run(keys_of(child))

    assert run(keys_of(there_and_back(child))) != before


# ── what does not ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_key_is_in_a_pickle(ambient: StrictCloud, protocol: int) -> None:
    parent = AioSession()
    hub = assume_role(parent, HUB)
    spoke = assume_role(hub, SPOKE)
    held = [run(keys_of(session)) for session in (parent, hub, spoke)]

    data = pickle.dumps(spoke, protocol)

    for keys in held:
        for value in (keys.access_key, keys.secret_key, keys.token):
            assert not value or value.encode() not in data
    assert not [word for word in SECRETS if word in data]


@pytest.mark.parametrize(
    "make",
    [keys_set, own_kind, role_by_a_recipe, lambda world, _: rotating(world)],
    ids=["keys_set", "own_kind", "role_by_a_recipe", "rotating"],
)
def test_a_session_of_keys_that_only_this_process_has_refuses(make: Any, world: World) -> None:
    parent = make(world, "alice")
    child = assume_role(parent, SPOKE)

    for session in (child, assume_role(child, VIA)):
        with pytest.raises(rolecall.ConfigError, match="explicit keys") as refused:
            pickle.dumps(session)
        assert str(refused.value).startswith(f"{GivenSession(parent)!r} ->")


def test_a_session_of_a_callable_refuses(aio_user: AioSession) -> None:
    child = refreshable_session(dict, base_session=aio_user)

    with pytest.raises(rolecall.ConfigError, match="callable"):
        pickle.dumps(child)


def test_a_session_with_a_callable_that_gives_codes_refuses(ambient: StrictCloud) -> None:
    async def code() -> str:
        return "111111"

    for provider in (code, lambda: "111111"):
        child = assume_role(AioSession(), SPOKE, SerialNumber=DEVICE, mfa_token_provider=provider)
        with pytest.raises(rolecall.ConfigError, match="mfa_token_provider"):
            pickle.dumps(child)


def test_a_session_with_a_code_refuses_and_does_not_show_it(ambient: StrictCloud) -> None:
    child = assume_role(AioSession(), SPOKE, SerialNumber=DEVICE, TokenCode="111111")

    with pytest.raises(rolecall.ConfigError, match="TokenCode") as refused:
        pickle.dumps(child)
    assert "111111" not in str(refused.value)


def test_live_credentials_refuse(aio_user: AioSession) -> None:
    child = assume_role(aio_user, SPOKE)
    credentials = run(child.get_credentials())

    with pytest.raises(rolecall.ConfigError, match="not pickled"):
        pickle.dumps(credentials)


def test_where_there_are_no_credentials_it_raises(
    ambient: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(assume_role(AioSession(), SPOKE))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)

    with pytest.raises(NoCredentialsError):
        pickle.loads(data)


def test_under_another_accounts_environment_it_raises(
    ambient: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(assume_role(AioSession(), SPOKE))
    for name, value in ambient.environ(user="mallory", account="666666666666").items():
        monkeypatch.setenv(name, value)

    with pytest.raises(rolecall.ConfigError, match="not of the account"):
        pickle.loads(data)
    assert ambient.calls() == 0


# ── copies and what is printed ───────────────────────────────────────────────────────────


def test_a_copy_is_the_session_itself(aio_user: AioSession) -> None:
    child = assume_role(aio_user, SPOKE)

    assert copy.copy(child) is child
    assert copy.deepcopy({"session": child})["session"] is child


def test_a_copy_of_its_credentials_is_the_credentials_themselves(aio_user: AioSession) -> None:
    credentials = run(assume_role(aio_user, SPOKE).get_credentials())

    assert copy.copy(credentials) is credentials
    assert copy.deepcopy([credentials])[0] is credentials


def test_no_secret_is_shown(aio_user: AioSession) -> None:
    child = assume_role(aio_user, SPOKE)

    async def shown() -> str:
        keys, credentials = await keys_of(child), await child.get_credentials()
        things = (child, credentials, credentials._reader, credentials._refresher, child.chain)
        text = " ".join(f"{thing!r} {thing!s}" for thing in things)
        assert not [value for value in (keys.secret_key, keys.token) if value in text]
        return text

    text = run(shown())

    assert SPOKE in text
    assert "fake-secret" not in text


def test_two_sessions_never_look_the_same(aio_user: AioSession) -> None:
    """fsspec, for one, keeps file systems by what their arguments look like."""
    children = [assume_role(aio_user, SPOKE) for _ in range(50)]

    assert len({repr(child) for child in children}) == 50
    assert len({hash(child) for child in children}) == 50
    assert children[0] != children[1]


def test_a_session_of_no_keys_is_printed(cloud: StrictCloud) -> None:
    child = assume_role(aio_session_of(cloud, user=None), SPOKE)

    with pytest.raises(NoCredentialsError):
        run(keys_of(child))

    assert SPOKE in repr(child)
