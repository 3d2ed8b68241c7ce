"""Sessions that are pickled once and arrive often, as with each task of a worker."""

from __future__ import annotations

import pickle

import boto3
import pytest
from scenes import HUB, SPOKE
from written_profiles import become

import rolecall
from rolecall.sessions.pickling import MOST_ARRIVED, Latest
from rolecall.testing import StrictCloud


@pytest.fixture
def ambient(cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> StrictCloud:
    become(monkeypatch, cloud, "alice")
    return cloud


def key_of(session: rolecall.RoleSession) -> str:
    return session.get_credentials().get_frozen_credentials().access_key


def test_all_that_arrive_have_one_set_of_credentials(ambient: StrictCloud) -> None:
    data = pickle.dumps(rolecall.assume_role(boto3.Session(), HUB))

    keys = {key_of(pickle.loads(data)) for _ in range(5)}

    assert len(keys) == 1
    assert ambient.calls("AssumeRole") == 1


def test_each_that_arrives_is_configured_by_itself(ambient: StrictCloud) -> None:
    session = rolecall.assume_role(boto3.Session(), HUB, region_name="eu-north-1")
    data = pickle.dumps(session)
    first, second = pickle.loads(data), pickle.loads(data)

    first._session.set_config_variable("region", "eu-west-3")

    assert first is not second
    assert (first.region_name, second.region_name) == ("eu-west-3", "eu-north-1")
    assert pickle.loads(data).region_name == "eu-north-1"


def test_what_arrives_in_another_environment_is_another(
    ambient: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(rolecall.assume_role(boto3.Session(), HUB))
    first = key_of(pickle.loads(data))

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")

    assert key_of(pickle.loads(data)) != first


def test_somebody_else_is_refused_though_it_had_arrived_before(
    ambient: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(rolecall.assume_role(boto3.Session(), HUB))
    key_of(pickle.loads(data))

    become(monkeypatch, ambient, "bob")

    with pytest.raises(rolecall.ConfigError, match="not of the account"):
        pickle.loads(data)


def test_another_role_or_other_options_are_another(ambient: StrictCloud) -> None:
    first, second, third = (
        pickle.loads(pickle.dumps(session))
        for session in (
            rolecall.assume_role(boto3.Session(), HUB),
            rolecall.assume_role(boto3.Session(), SPOKE),
            rolecall.assume_role(boto3.Session(), HUB, RoleSessionName="me"),
        )
    )

    assert len({key_of(first), key_of(second), key_of(third)}) == 3


def test_not_every_one_is_kept() -> None:
    kept = Latest(MOST_ARRIVED)
    for number in range(MOST_ARRIVED):
        kept.put(number, str(number))
    kept.get(0)  # asked for a moment ago

    kept.put("one more", "it")

    assert kept.get(0) == "0"
    assert kept.get(1) is None
    assert kept.get("one more") == "it"
