"""`region_name` of `assume_role`: linked to the parent, a copy, the child's own, or one given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from actors import READER, SPOKE, fetch

import rolecall
from rolecall.testing import StrictCloud

Make = Callable[[str | None], tuple[boto3.Session, botocore.session.Session]]


@pytest.fixture
def make(ambient: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a parent in a region, with the botocore session inside it, whose region may change."""
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")

    def make(region: str | None) -> tuple[boto3.Session, botocore.session.Session]:
        core = botocore.session.Session()
        if region is not None:
            core.set_config_variable("region", region)
        return boto3.Session(botocore_session=core), core

    return make


def core_of(session: boto3.Session) -> botocore.session.Session:
    """Return the botocore session that programs reach for to set configuration variables."""
    core: botocore.session.Session = session._session
    return core


# ── None: linked ─────────────────────────────────────────────────────────────────────────


def test_by_default_the_region_is_the_parents(make: Make) -> None:
    parent, _ = make("eu-west-1")

    child = rolecall.assume_role(parent, READER)

    assert child.region_name == "eu-west-1"
    assert child.client("sqs").meta.region_name == "eu-west-1"


def test_by_default_the_region_follows_the_parents_as_it_changes(make: Make) -> None:
    parent, core = make("eu-west-1")
    child = rolecall.assume_role(parent, READER)
    assert child.region_name == "eu-west-1"

    core.set_config_variable("region", "eu-central-1")

    assert child.region_name == "eu-central-1"
    assert child.client("sqs").meta.region_name == "eu-central-1"


def test_a_parent_without_an_explicit_region_is_followed_too(make: Make) -> None:
    parent, _ = make(None)

    assert rolecall.assume_role(parent, READER).region_name == "sa-east-1"


def test_a_region_set_on_the_child_wins(make: Make) -> None:
    parent, core = make("eu-west-1")
    child = rolecall.assume_role(parent, READER)

    core_of(child).set_config_variable("region", "us-west-2")
    core.set_config_variable("region", "eu-central-1")

    assert child.region_name == "us-west-2"
    assert parent.region_name == "eu-central-1"


def test_links_chain(make: Make) -> None:
    parent, core = make("eu-west-1")
    hub = rolecall.assume_role(parent, READER)
    spoke = rolecall.assume_role(hub, SPOKE)
    assert spoke.region_name == "eu-west-1"

    core.set_config_variable("region", "eu-central-1")

    assert spoke.region_name == "eu-central-1"


def test_a_region_set_in_the_middle_of_a_chain_holds_from_there_on(make: Make) -> None:
    parent, core = make("eu-west-1")
    hub = rolecall.assume_role(parent, READER)
    spoke = rolecall.assume_role(hub, SPOKE)

    core_of(hub).set_config_variable("region", "us-west-2")
    core.set_config_variable("region", "eu-central-1")

    assert [s.region_name for s in (parent, hub, spoke)] == [
        "eu-central-1",
        "us-west-2",
        "us-west-2",
    ]


def test_a_linked_region_does_not_change_the_parents(make: Make) -> None:
    parent, _ = make("eu-west-1")
    child = rolecall.assume_role(parent, READER)

    core_of(child).set_config_variable("region", "us-west-2")

    assert parent.region_name == "eu-west-1"


def test_the_link_is_there_without_inherited_configuration_too(make: Make) -> None:
    parent, core = make("eu-west-1")
    child = rolecall.assume_role(parent, READER, inherit_config=False)

    core.set_config_variable("region", "eu-central-1")

    assert child.region_name == "eu-central-1"


# ── True: a copy ─────────────────────────────────────────────────────────────────────────


def test_true_is_a_fixed_copy_of_the_parents_region(make: Make) -> None:
    parent, core = make("eu-west-1")
    child = rolecall.assume_role(parent, READER, region_name=True)

    core.set_config_variable("region", "eu-central-1")

    assert child.region_name == "eu-west-1"


def test_true_copies_what_the_parent_has_from_the_environment(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, _ = make(None)
    child = rolecall.assume_role(parent, READER, region_name=True)

    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")

    assert child.region_name == "sa-east-1"


def test_true_of_a_linked_child_is_a_copy_of_what_it_is_now(make: Make) -> None:
    parent, core = make("eu-west-1")
    hub = rolecall.assume_role(parent, READER)
    spoke = rolecall.assume_role(hub, SPOKE, region_name=True)

    core.set_config_variable("region", "eu-central-1")

    assert [hub.region_name, spoke.region_name] == ["eu-central-1", "eu-west-1"]


# ── False: the child's own ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("inherit_config", [True, False])
def test_false_lets_the_child_resolve_its_own_region(make: Make, inherit_config: bool) -> None:
    parent, core = make("eu-west-1")

    child = rolecall.assume_role(parent, READER, region_name=False, inherit_config=inherit_config)
    core.set_config_variable("region", "eu-central-1")

    assert child.region_name == "sa-east-1"


def test_false_lets_a_region_be_set_on_the_child(make: Make) -> None:
    parent, _ = make("eu-west-1")
    child = rolecall.assume_role(parent, READER, region_name=False)

    core_of(child).set_config_variable("region", "us-west-2")

    assert child.region_name == "us-west-2"


def test_false_where_there_is_no_region_at_all_is_none(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, _ = make("eu-west-1")
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    assert rolecall.assume_role(parent, READER, region_name=False).region_name is None


def test_false_does_not_take_the_region_of_the_parents_profile(
    ambient: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile comes along for its endpoints; a new session would not have it."""
    keys = ambient.credentials()
    config = own_home / "config"
    config.write_text(
        "[default]\nregion = sa-east-1\n"
        f"[profile hub]\nregion = eu-west-1\naws_access_key_id = {keys.access_key}\n"
        f"aws_secret_access_key = {keys.secret_key}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    parent = boto3.Session(profile_name="hub")

    child = rolecall.assume_role(parent, READER, region_name=False)

    assert (parent.region_name, child.region_name) == ("eu-west-1", "sa-east-1")


# ── a region ─────────────────────────────────────────────────────────────────────────────


def test_a_region_that_is_given_is_the_childs(make: Make) -> None:
    parent, core = make("eu-west-1")
    child = rolecall.assume_role(parent, READER, region_name="ap-southeast-2")

    core.set_config_variable("region", "eu-central-1")

    assert child.region_name == "ap-southeast-2"
    assert parent.region_name == "eu-central-1"


# ── where the role is assumed ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("region", [None, True, False, "ap-southeast-2"], ids=str)
def test_the_role_is_assumed_in_the_parents_region(make: Make, region: Any) -> None:
    parent, _ = make("eu-west-1")
    signed: list[str] = []
    parent.events.register(
        "before-sign.sts.AssumeRole", lambda region_name, **_: signed.append(region_name)
    )

    fetch(rolecall.assume_role(parent, READER, region_name=region))

    assert signed == ["eu-west-1"]


def test_the_role_is_assumed_in_the_region_that_the_parent_has_then(make: Make) -> None:
    parent, core = make("eu-west-1")
    signed: list[str] = []
    parent.events.register(
        "before-sign.sts.AssumeRole", lambda region_name, **_: signed.append(region_name)
    )
    child = rolecall.assume_role(parent, READER)
    child.get_credentials().refresh()

    core.set_config_variable("region", "eu-central-1")
    child.get_credentials().refresh()

    assert signed == ["eu-west-1", "eu-central-1"]
