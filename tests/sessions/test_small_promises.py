"""Small things that are promised, each of them broken once."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from scenes import HUB, SPOKE, Assume
from written_profiles import arn_of, become, keys_of, write

import rolecall
from rolecall import InvalidChain, Profile, Role, RoleChain
from rolecall.sessions.bind import open_chain
from rolecall.sources.clients import MOST_CLIENTS, sts_client
from rolecall.testing import FakeClock, FakeSource, StrictCloud

OBJECT = {"Bucket": "bucket", "Key": "key"}


# ── an hour at most when chaining ────────────────────────────────────────────────────────


@pytest.fixture
def profiles(cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile hub is a role, the profile base has keys."""
    become(monkeypatch, cloud, None)
    write(
        own_home,
        f"[profile hub]\nrole_arn = {HUB}\nsource_profile = base\n",
        "[base]\n" + keys_of(cloud, "alice"),
    )


@pytest.mark.usefixtures("profiles")
def test_two_hours_behind_a_profile_that_is_a_role_are_refused_before_sts_does(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """What the profile is shows only once it is read, after the chain was validated."""
    long = Role(SPOKE, duration=timedelta(hours=2))

    with pytest.raises(InvalidChain, match="3600"):
        RoleChain(Profile("hub"), long).session(clock=fake_clock)

    assert cloud.calls() == 0
    hour = Role(SPOKE, duration=timedelta(hours=1))
    assert arn_of(RoleChain(Profile("hub"), hour).session(clock=fake_clock))


@pytest.mark.usefixtures("profiles")
def test_two_hours_behind_a_profile_with_keys_are_fine(fake_clock: FakeClock) -> None:
    long = Role(SPOKE, duration=timedelta(hours=2))

    session = RoleChain(Profile("base"), long).session(clock=fake_clock)

    assert session.get_credentials().remaining == timedelta(hours=2)


# ── clients ──────────────────────────────────────────────────────────────────────────────


def test_a_program_with_a_config_for_each_session_keeps_a_handful_of_clients(
    assume: Assume, user: boto3.Session
) -> None:
    usual = sts_client(user._session)
    for _ in range(2 * MOST_CLIENTS):
        config = Config(read_timeout=3)
        assert assume(sts_client_kwargs={"config": config}).get_credentials().access_key
        assert sts_client(user._session) is usual, "what is in use is kept"

    kept = user._session.get_component("rolecall_sts_clients")._made
    assert len(kept) == MOST_CLIENTS


def test_a_config_in_the_place_of_a_freed_one_has_a_client_of_its_own(user: boto3.Session) -> None:
    for number in range(3 * MOST_CLIENTS):
        config = Config(read_timeout=number + 1)
        client = sts_client(user._session, {"config": config})

        assert client.meta.config.read_timeout == number + 1
        del config


# ── presigning ───────────────────────────────────────────────────────────────────────────


def test_a_new_session_presigns_for_as_long_as_botocore_does_by_default(
    assume: Assume, fake_clock: FakeClock
) -> None:
    """Both defaults are an hour, and a moment has passed: pytest fails at a warning here."""
    session = assume()
    s3 = session.client("s3")
    assert session.get_credentials().access_key
    fake_clock.tick(seconds=59)

    s3.generate_presigned_url("get_object", Params=OBJECT)
    s3.generate_presigned_post("bucket", "key")


def test_an_old_one_is_warned_about_by_default_too(assume: Assume, fake_clock: FakeClock) -> None:
    session = assume()
    s3 = session.client("s3")
    assert session.get_credentials().access_key
    fake_clock.tick(minutes=2)

    with pytest.warns(UserWarning, match="valid for 1:00:00, but its credentials expire in 0:58"):
        s3.generate_presigned_url("get_object", Params=OBJECT)


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (("get_object", OBJECT, None), {}),
        (("get_object",), {"Params": OBJECT, "ExpiresIn": None}),
    ],
    ids=["positional", "keyword"],
)
def test_no_expiry_is_the_default_one(
    assume: Assume, fake_clock: FakeClock, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    session = assume()
    s3 = session.client("s3")

    assert "Expires" in s3.generate_presigned_url(*arguments, **keywords)

    fake_clock.tick(minutes=30)
    with pytest.warns(UserWarning, match="valid for 1:00:00"):
        s3.generate_presigned_url(*arguments, **keywords)


# ── keywords and attributes ──────────────────────────────────────────────────────────────


def test_a_chain_is_opened_in_the_environment_that_there_is(fake_clock: FakeClock) -> None:
    """Only half of what opens it would look into another one."""
    assert "environ" not in inspect.signature(open_chain).parameters
    with pytest.raises(TypeError, match="environ"):
        RoleChain(rolecall.Ambient(), HUB).session(clock=fake_clock, environ={})


def test_what_never_expires_has_no_window_to_refresh_in(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """botocore's programs compare it with seconds: infinity minus infinity is no number."""
    session = rolecall.refreshable_session(
        lambda: cloud.credentials(user="alice"), region_name="us-east-1", clock=fake_clock
    )
    credentials = session.get_credentials()
    assert credentials._advisory_refresh_timeout == 0

    credentials.get_frozen_credentials()

    assert credentials._advisory_refresh_timeout == 0
    assert credentials._mandatory_refresh_timeout == 0
    assert not credentials.refresh_needed()
    assert credentials.remaining == timedelta.max


def test_what_expires_has_one(fake_clock: FakeClock, fake_source: FakeSource) -> None:
    session = rolecall.refreshable_session(
        fake_source.get, region_name="us-east-1", clock=fake_clock
    )
    session.get_credentials().get_frozen_credentials()

    assert 900 < session.get_credentials()._advisory_refresh_timeout <= 1200
    assert session.get_credentials()._mandatory_refresh_timeout == pytest.approx(60)
