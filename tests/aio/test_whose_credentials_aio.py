"""Whose credentials an asynchronous session has, where profiles, caches or time mislead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError
from made_parents import (
    ROLES,
    USERS,
    VIA,
    Make,
    World,
    keys_of_a_provider,
    keys_set,
    principal_of,
    role_by_a_recipe,
    role_of_a_source_profile,
    role_of_a_token,
    user_arn,
)
from scenes import HUB, SPOKE, AioAssume, aio_session_of, caller_arn, keys_of, run, signers
from written_profiles import become, write
from written_profiles import keys_of as lines_of

import rolecall
from rolecall import FileStore
from rolecall.testing import FakeClock, StrictCloud

ALICE, BOB = user_arn("alice"), user_arn("bob")


async def loaded(session: Any) -> None:
    """Have *session* look its credentials up."""
    await (await session.get_credentials()).get_frozen_credentials()


def refused(session: Any) -> None:
    """Check that STS refuses who assumes the role of *session*."""
    with pytest.raises(ClientError, match="AccessDenied"):
        run(caller_arn(session))


# ── caches ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["nothing", "a dict", "a file store"])
def test_no_two_principals_ever_share_a_session(
    kind: str, world: World, aio_assume: AioAssume, tmp_path: Path
) -> None:
    """All of one role, with one name, one after the other on one machine whose files change."""
    cache = {"nothing": None, "a dict": {}, "a file store": FileStore(tmp_path)}[kind]
    whose: dict[str, set[str]] = {}

    for user in ("alice", "bob"):
        for make in (*USERS, *ROLES):
            parent = make(world, user)
            child = aio_assume(SPOKE, parent, RoleSessionName="me", cache=cache)
            key = run(keys_of(child)).access_key
            whose.setdefault(key, set()).add(principal_of(make, user))

    assert all(len(principals) == 1 for principals in whose.values()), whose
    assert set().union(*whose.values()) == {
        principal_of(make, user) for user in ("alice", "bob") for make in (*USERS, *ROLES)
    }


@pytest.mark.parametrize("make", [*USERS, *ROLES], ids=lambda make: make.__name__)
def test_a_stored_session_is_not_given_to_who_may_not_assume_the_role(
    make: Make, world: World, aio_assume: AioAssume
) -> None:
    world.cloud.trust(SPOKE, [principal_of(make, "alice")])
    cache: dict[str, Any] = {}

    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, make(world, "alice"), cache=cache)))
    refused(aio_assume(SPOKE, make(world, "bob"), cache=cache))


# ── put in by hand ───────────────────────────────────────────────────────────────────────


def dev_profile(world: World, user: str) -> None:
    """Let the profile ``dev`` be a role that *user* assumes, and be the one in use."""
    world.profile(
        f"role_arn = {VIA}\nsource_profile = base\n",
        f"[base]\n{lines_of(world.cloud, user)}",
        name="dev",
    )
    world.monkeypatch.setenv("AWS_PROFILE", "dev")


@pytest.mark.parametrize("method", ["sts-assume-role", "assume-role"])
def test_credentials_that_somebody_put_in_are_not_the_profiles(
    method: str, world: World, aio_assume: AioAssume
) -> None:
    dev_profile(world, "carol")
    cache: dict[str, Any] = {}
    parents = {}
    for user in ("alice", "bob"):
        parents[user] = AioSession()
        parents[user]._credentials = role_by_a_recipe(world, user)._credentials
        parents[user]._credentials.method = method
    world.monkeypatch.setenv("AWS_PROFILE", "dev")
    world.cloud.trust(SPOKE, [principal_of(role_by_a_recipe, "alice")])

    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, parents["alice"], cache=cache)))
    refused(aio_assume(SPOKE, parents["bob"], cache=cache))


@pytest.mark.parametrize("method", ["env", "shared-credentials-file", "custom-process", "iam-role"])
def test_a_programs_own_provider_under_botocores_name_is_who_it_says(
    method: str, world: World, aio_assume: AioAssume
) -> None:
    parent = keys_of_a_provider(world, "alice", method)
    world.environment_of("bob")
    world.cloud.trust(SPOKE, [ALICE])
    cache: dict[str, Any] = {}

    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, parent, cache=cache)))
    refused(aio_assume(SPOKE, keys_of_a_provider(world, "bob", method), cache=cache))


def test_keys_set_by_hand_go_before_those_of_the_environment(
    world: World, aio_assume: AioAssume
) -> None:
    world.environment_of("bob")
    world.cloud.trust(SPOKE, [ALICE])

    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, keys_set(world, "alice"))))


# ── what changes meanwhile ───────────────────────────────────────────────────────────────


def test_keys_set_after_the_first_use_are_those_of_the_next_session(
    world: World, aio_assume: AioAssume
) -> None:
    parent = keys_set(world, "alice")
    cloud, cache = world.cloud, {}  # type: ignore[var-annotated]
    first = aio_assume(SPOKE, parent, cache=cache)
    run(keys_of(first))
    bob = cloud.credentials(user="bob")

    parent.set_credentials(bob.access_key, bob.secret_key)
    second = aio_assume(SPOKE, parent, cache=cache)

    assert run(keys_of(first)).access_key != run(keys_of(second)).access_key
    assert signers(cloud) == [cloud.credentials(user="alice").access_key, bob.access_key]


@pytest.mark.parametrize("asynchronous", [True, False], ids=["asynchronous", "synchronous"])
def test_what_a_session_stores_after_its_parent_changed_is_never_handed_to_who_that_was(
    asynchronous: bool, world: World, aio_assume: AioAssume, fake_clock: FakeClock
) -> None:
    cloud, cache = world.cloud, {}  # type: ignore[var-annotated]
    alice, bob = (cloud.credentials(user=user) for user in ("alice", "bob"))
    parent = keys_set(world, "alice") if asynchronous else cloud.session(user="alice")
    child = aio_assume(SPOKE, parent, cache=cache)
    run(keys_of(child))
    getattr(parent, "_session", parent).set_credentials(bob.access_key, bob.secret_key)
    fake_clock.tick(hours=2)
    renewed = run(keys_of(child)).access_key
    signed_by = signers(cloud)[-1]

    elsewhere = run(keys_of(aio_assume(SPOKE, keys_set(world, "alice"), cache=cache))).access_key

    assert elsewhere != renewed or signed_by == alice.access_key
    assert signed_by in (alice.access_key, bob.access_key)


def test_an_environment_that_changes_after_it_was_read_is_not_the_parents(
    world: World, aio_assume: AioAssume
) -> None:
    world.environment_of("alice")
    parent = AioSession()
    run(loaded(parent))
    world.cloud.trust(SPOKE, [ALICE])

    world.environment_of("bob")

    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, parent)))


def test_a_tokens_role_that_changes_after_it_was_read_is_not_the_parents(
    world: World, aio_assume: AioAssume
) -> None:
    world.environment_of(None)
    token = world.home / "token"
    token.write_text(world.cloud.web_identity_token())
    world.monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    world.monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "pod")
    world.monkeypatch.setenv("AWS_ROLE_ARN", VIA)
    parent = AioSession()
    run(loaded(parent))
    world.cloud.trust(SPOKE, ["arn:aws:sts::123456789012:assumed-role/Via/pod"])

    world.monkeypatch.setenv("AWS_ROLE_ARN", HUB)

    cache: dict[str, Any] = {}
    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, parent, cache=cache)))
    refused(aio_assume(SPOKE, AioSession(), cache=cache))


@pytest.mark.parametrize("make", [role_of_a_source_profile, role_of_a_token])
def test_a_profile_that_changes_after_it_was_read_is_not_the_parents(
    make: Make, world: World, aio_assume: AioAssume
) -> None:
    parent = make(world, "alice")
    run(loaded(parent))
    world.cloud.trust(SPOKE, [principal_of(make, "alice")])

    bob = make(world, "bob")

    cache: dict[str, Any] = {}
    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, parent, cache=cache)))
    refused(aio_assume(SPOKE, bob, cache=cache))


def test_another_profile_in_use_after_it_was_read_is_not_the_parents(
    world: World, aio_assume: AioAssume
) -> None:
    world.environment_of(None)
    write(
        world.home,
        "".join(
            f"[profile {user}]\nrole_arn = {VIA}\nsource_profile = {user}-keys\n"
            f"role_session_name = {user}\nregion = us-east-1\n"
            for user in ("alice", "bob")
        ),
        "".join(f"[{user}-keys]\n{lines_of(world.cloud, user)}" for user in ("alice", "bob")),
    )
    world.monkeypatch.setenv("AWS_PROFILE", "alice")
    parent = AioSession()
    run(loaded(parent))
    world.cloud.trust(SPOKE, ["arn:aws:sts::123456789012:assumed-role/Via/alice"])

    world.monkeypatch.setenv("AWS_PROFILE", "bob")

    cache: dict[str, Any] = {}
    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, parent, cache=cache)))
    refused(aio_assume(SPOKE, AioSession(), cache=cache))


@pytest.mark.parametrize("kind", ["keys", "role"])
def test_a_profile_of_one_name_in_two_files_is_two(
    kind: str, world: World, aio_assume: AioAssume, tmp_path: Path
) -> None:
    world.environment_of(None)
    cache = FileStore(tmp_path / "store")
    parents = {}
    for user in ("alice", "bob"):
        keys = lines_of(world.cloud, user)
        file = tmp_path / f"config-{user}"
        role = f"role_arn = {VIA}\nsource_profile = base\nrole_session_name = {user}\n"
        lines = keys if kind == "keys" else role
        file.write_text(
            f"[profile it]\nregion = us-east-1\n{lines}[profile base]\n{keys}",
        )
        parents[user] = AioSession(profile="it")
        parents[user].set_config_variable("config_file", str(file))
    expected = ALICE if kind == "keys" else "arn:aws:sts::123456789012:assumed-role/Via/alice"
    world.cloud.trust(SPOKE, [expected])

    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, parents["alice"], cache=cache)))
    refused(aio_assume(SPOKE, parents["bob"], cache=cache))


# ── the same, for boto3 ──────────────────────────────────────────────────────────────────


def test_keys_set_on_a_botocore_session_after_the_first_use_are_those_of_the_next_one(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """The STS client of a session is kept; it must not sign for who the session was."""
    parent = cloud.session(user="alice")
    cache: dict[str, Any] = {}
    first = rolecall.assume_role(parent, SPOKE, cache=cache, clock=fake_clock)
    first.get_credentials().get_frozen_credentials()
    bob = cloud.credentials(user="bob")

    parent._session.set_credentials(bob.access_key, bob.secret_key)
    second = rolecall.assume_role(parent, SPOKE, cache=cache, clock=fake_clock)
    second.get_credentials().get_frozen_credentials()

    assert signers(cloud) == [cloud.credentials(user="alice").access_key, bob.access_key]


def test_a_botocore_session_is_who_it_is_however_it_is_wrapped(
    cloud: StrictCloud, aio_assume: AioAssume, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, cloud, "bob")
    cloud.trust(SPOKE, [ALICE])
    parent = cloud.session(user="alice")

    for one in (parent, parent._session, boto3.Session(botocore_session=parent._session)):
        assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, one)))


def test_an_aio_session_inside_a_boto3_session_is_who_it_is(
    world: World, aio_assume: AioAssume
) -> None:
    world.cloud.trust(SPOKE, [ALICE])
    inner = aio_session_of(world.cloud, user="alice")

    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, boto3.Session(botocore_session=inner))))
