"""What a child session takes over: every peer loses some of it, and talks to public AWS then."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.configprovider import ConstantProvider
from scenes import HUB, SPOKE

import rolecall

CONFIG = """
[default]
region = us-east-1
[profile p]
region = eu-west-1
aws_access_key_id = AKIAFAKE000000000001
aws_secret_access_key = fake-secret
retry_mode = adaptive
max_attempts = 9
ca_bundle = {ca}
use_fips_endpoint = true
request_checksum_calculation = when_required
services = local
s3 =
    addressing_style = path
[services local]
sqs =
    endpoint_url = http://127.0.0.1:4566
sts =
    endpoint_url = http://127.0.0.1:4567
"""


@pytest.fixture
def parent(own_home: Path) -> boto3.Session:
    folder = own_home / ".aws"
    folder.mkdir()
    (folder / "config").write_text(CONFIG.format(ca=own_home / "ca.pem"))
    session = boto3.Session(profile_name="p")
    session._session.set_default_client_config(
        Config(
            connect_timeout=7,
            proxies={"https": "http://127.0.0.1:3128"},
            tcp_keepalive=True,
        )
    )
    return session


def meta(session: boto3.Session, service: str, **keywords: Any) -> Any:
    return session.client(service, verify=False, **keywords).meta


def test_a_child_talks_to_its_parents_endpoints(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, HUB)

    assert meta(child, "sqs").endpoint_url == "http://127.0.0.1:4566"


def test_a_child_keeps_fips_retries_and_time_outs(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, HUB)
    s3 = meta(child, "s3")

    assert "fips" in s3.endpoint_url
    assert s3.config.retries == {"mode": "adaptive", "total_max_attempts": 9}
    assert s3.config.connect_timeout == 7
    assert s3.config.proxies == {"https": "http://127.0.0.1:3128"}
    assert s3.config.tcp_keepalive
    assert s3.config.s3["addressing_style"] == "path"
    assert s3.config.request_checksum_calculation == "when_required"
    assert child._session.get_config_variable("ca_bundle").endswith("ca.pem")


def test_a_grandchild_keeps_them_too(parent: boto3.Session) -> None:
    spoke = rolecall.assume_role(rolecall.assume_role(parent, HUB), SPOKE)

    assert meta(spoke, "sqs").endpoint_url == "http://127.0.0.1:4566"
    assert "fips" in meta(spoke, "s3").endpoint_url


def test_what_is_set_on_the_child_wins(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, HUB)
    child._session.set_config_variable("use_fips_endpoint", False)
    child._session.set_config_variable("max_attempts", 2)

    s3 = meta(child, "s3")

    assert "fips" not in s3.endpoint_url
    assert s3.config.retries["total_max_attempts"] == 2


def test_what_is_set_on_the_parent_later_reaches_the_child(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, HUB)
    parent._session.set_config_variable("use_fips_endpoint", False)
    parent._session.set_config_variable("region", "us-west-2")

    assert "fips" not in meta(child, "s3").endpoint_url
    assert child.region_name == "us-west-2"


def test_inheritance_can_be_turned_off(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, HUB, inherit_config=False)

    assert "4566" not in meta(child, "sqs").endpoint_url
    assert meta(child, "s3").config.connect_timeout == 60
    assert child.region_name == "eu-west-1", "the region is linked all the same"


def test_smart_defaults_still_come_through(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULTS_MODE", "standard")
    session = boto3.Session(
        aws_access_key_id="AKIAFAKE000000000001",
        aws_secret_access_key="fake-secret",
        region_name="eu-west-1",
    )
    theirs = meta(session, "s3").config
    ours = meta(rolecall.assume_role(session, HUB), "s3").config

    assert ours.connect_timeout == theirs.connect_timeout
    assert ours.retries == theirs.retries


def test_what_a_parent_has_by_default_only_gives_way_to_smart_defaults() -> None:
    """botocore puts the defaults of a mode where a chain's own default is."""
    session = boto3.Session(
        aws_access_key_id="AKIAFAKE000000000001",
        aws_secret_access_key="fake-secret",
        region_name="eu-west-1",
    )
    store = rolecall.assume_role(session, HUB)._session.get_component("config_store")
    provider = copy.deepcopy(store.get_config_provider("retry_mode"))
    provider.set_default_provider(ConstantProvider("of the mode"))

    assert provider.provide() == "of the mode"
    session._session.set_config_variable("retry_mode", "adaptive")
    assert provider.provide() == "adaptive", "what was chosen does not"


@pytest.mark.parametrize(
    ("region_name", "region"),
    [(None, "eu-west-1"), (True, "eu-west-1"), (False, "us-east-1"), ("ap-south-1", "ap-south-1")],
)
def test_the_region_is_linked_copied_its_own_or_given(
    parent: boto3.Session, region_name: Any, region: str
) -> None:
    child = rolecall.assume_role(parent, HUB, region_name=region_name)

    assert child.region_name == region
    assert meta(child, "dynamodb").region_name == region


def test_region_links_chain_and_a_copy_does_not_follow(parent: boto3.Session) -> None:
    linked = rolecall.assume_role(rolecall.assume_role(parent, HUB), SPOKE)
    copied = rolecall.assume_role(parent, HUB, region_name=True)
    parent._session.set_config_variable("region", "sa-east-1")

    assert linked.region_name == "sa-east-1"
    assert copied.region_name == "eu-west-1"


def sts_of(session: rolecall.RoleSession) -> Any:
    """The STS client that assumes *session*'s role."""
    source: Any = session.get_credentials()._refresher.source
    return source._client()


def test_the_internal_sts_client_is_the_parents_and_can_be_steered(parent: boto3.Session) -> None:
    parent._session.set_config_variable("ca_bundle", None)
    plain = sts_of(rolecall.assume_role(parent, HUB))
    steered = sts_of(
        rolecall.assume_role(
            parent,
            HUB,
            sts_client_kwargs={
                "region_name": "us-west-2",
                "endpoint_url": "http://127.0.0.1:4568",
                "config": Config(read_timeout=3),
            },
        )
    )

    assert plain.meta.endpoint_url == "http://127.0.0.1:4567"
    assert plain.meta.region_name == "eu-west-1"
    assert plain.meta.config.connect_timeout == 7, "the parent's own wins over our default"
    assert plain.meta.config.read_timeout == 10, "our default"
    assert steered.meta.region_name == "us-west-2"
    assert steered.meta.endpoint_url == "http://127.0.0.1:4568"
    assert steered.meta.config.read_timeout == 3


def test_sts_is_asked_quickly_and_few_times_by_default() -> None:
    session = boto3.Session(
        aws_access_key_id="AKIAFAKE000000000001",
        aws_secret_access_key="fake-secret",
        region_name="eu-west-1",
    )

    config = sts_of(rolecall.assume_role(session, HUB)).meta.config

    assert (config.connect_timeout, config.read_timeout) == (5, 10)
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}


def test_a_session_of_a_callable_takes_over_its_base_sessions_configuration(
    parent: boto3.Session,
) -> None:
    def fetch() -> dict[str, str]:
        return {}

    child = rolecall.refreshable_session(fetch, base_session=parent)

    assert meta(child, "sqs").endpoint_url == "http://127.0.0.1:4566"
    assert child.region_name == "eu-west-1"


@pytest.mark.parametrize(
    "make",
    [
        lambda session: session,
        lambda session: session._session,
        lambda session: rolecall.assume_role(session, HUB),
    ],
    ids=["boto3", "botocore", "rolecall"],
)
def test_any_kind_of_session_is_a_parent(
    parent: boto3.Session, make: Callable[[boto3.Session], Any]
) -> None:
    given = make(parent)

    child = rolecall.assume_role(given, SPOKE)

    assert child.assume_role_parent_session is given
    assert isinstance(child, boto3.Session)


def test_without_a_session_the_default_one_assumes(
    parent: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", parent)

    assert rolecall.assume_role(None, HUB).assume_role_parent_session is parent
    assert rolecall.assumed_role_session(HUB).assume_role_parent_session is parent
    assert rolecall.assumed_role_session(HUB, parent).assume_role_parent_session is parent


def test_a_session_without_any_region_is_made_all_the_same(own_home: Path) -> None:
    session = botocore.session.Session()
    session.set_credentials("AKIAFAKE000000000001", "fake-secret")

    assert rolecall.assume_role(session, HUB).region_name is None


def test_a_bearer_token_does_not_replace_the_role(
    parent: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "fake-token")
    child = rolecall.assume_role(parent, HUB)._session

    assert child.get_auth_token() is None
    assert child.get_component("token_provider").load_token(signing_name="bedrock") is None
