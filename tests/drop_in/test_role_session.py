"""What `assume_role` returns, and `assumed_role_session`, `patch_boto3` and `JSONFileCache`."""

from __future__ import annotations

import copy
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from actors import READER, SPOKE, arn_of, fetch, name_of
from botocore.credentials import CredentialResolver, RefreshableCredentials

import rolecall
from rolecall.testing import StrictCloud

# ── the session ──────────────────────────────────────────────────────────────────────────


def test_it_is_a_boto3_session(parent: boto3.Session) -> None:
    assert isinstance(rolecall.assume_role(parent, READER), boto3.Session)


def test_it_makes_clients_and_resources(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, READER)

    child.client("s3").create_bucket(Bucket="fake-bucket")
    child.resource("s3").Object("fake-bucket", "key").put(Body=b"value")

    body = child.resource("s3").Object("fake-bucket", "key").get()["Body"].read()
    assert body == b"value"


def test_the_parent_is_an_attribute(parent: boto3.Session) -> None:
    hub = rolecall.assume_role(parent, READER)
    spoke = rolecall.assume_role(hub, SPOKE)

    assert spoke.assume_role_parent_session is hub
    assert hub.assume_role_parent_session is parent


def test_a_botocore_parent_is_the_attribute_as_it_is(ambient: StrictCloud) -> None:
    parent = botocore.session.Session()

    assert rolecall.assume_role(parent, READER).assume_role_parent_session is parent


def test_the_parent_itself_stays_who_it_was(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    before = arn_of(parent)

    fetch(rolecall.assume_role(parent, READER))

    assert arn_of(parent) == before == "arn:aws:iam::123456789012:user/fake-user"


def test_the_credentials_come_from_the_sessions_credential_component(
    parent: boto3.Session,
) -> None:
    child = rolecall.assume_role(parent, READER)

    resolver = child._session.get_component("credential_provider")

    assert isinstance(resolver, CredentialResolver)
    assert resolver.load_credentials() is child.get_credentials()
    assert [provider.METHOD for provider in resolver.providers] == ["assume-role"]


def test_the_method_is_assume_role(parent: boto3.Session) -> None:
    assert rolecall.assume_role(parent, READER).get_credentials().method == "assume-role"


def test_the_account_is_the_roles(parent: boto3.Session) -> None:
    credentials = rolecall.assume_role(parent, READER).get_credentials()

    assert credentials.account_id == "210987654321"
    assert credentials.get_frozen_credentials().account_id == "210987654321"


def test_the_credentials_are_botocores_kind_and_always_the_same_object(
    parent: boto3.Session,
) -> None:
    child = rolecall.assume_role(parent, READER)

    assert isinstance(child.get_credentials(), RefreshableCredentials)
    assert child.get_credentials() is child.get_credentials()


def test_programs_may_read_the_expiry_as_they_do_of_botocores(parent: boto3.Session) -> None:
    credentials = rolecall.assume_role(parent, READER).get_credentials()
    credentials.get_frozen_credentials()

    assert credentials._expiry_time == credentials.expires_at
    assert not credentials.refresh_needed()


def test_two_sessions_of_one_role_are_two_sessions(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    one, two = (rolecall.assume_role(parent, READER) for _ in range(2))

    assert fetch(one).access_key != fetch(two).access_key
    assert strict_cloud.calls("AssumeRole") == 2


def test_a_deep_copy_is_the_session_itself(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, READER)

    assert copy.deepcopy({"session": child})["session"] is child


# ── assumed_role_session ─────────────────────────────────────────────────────────────────


def test_the_recipes_order_is_role_then_session(parent: boto3.Session) -> None:
    child = rolecall.assumed_role_session(READER, parent)

    assert child.assume_role_parent_session is parent
    assert "/Reader/" in arn_of(child)


def test_the_recipes_session_may_be_a_botocore_one(ambient: StrictCloud) -> None:
    child = rolecall.assumed_role_session(READER, base_session=botocore.session.Session())

    assert "/Reader/" in arn_of(child)


def test_the_recipes_session_is_the_default_one_if_none_is_given(ambient: StrictCloud) -> None:
    child = rolecall.assumed_role_session(READER)

    assert child.assume_role_parent_session is boto3.DEFAULT_SESSION


def test_the_recipe_takes_every_keyword_of_assume_role(parent: boto3.Session) -> None:
    child = rolecall.assumed_role_session(
        READER, parent, RoleSessionName="me", region_name="eu-west-1"
    )

    assert (name_of(child), child.region_name) == ("me", "eu-west-1")


# ── patch_boto3 ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
def patched() -> Iterator[Any]:
    """boto3 with `assume_role`, as long as the test runs."""
    rolecall.patch_boto3()
    yield boto3
    for owner in (boto3, boto3.Session):
        if hasattr(owner, "assume_role"):
            delattr(owner, "assume_role")


def test_patched_sessions_assume_roles(patched: Any, parent: Any) -> None:
    child = parent.assume_role(READER, RoleSessionName="me")

    assert arn_of(child) == "arn:aws:sts::210987654321:assumed-role/Reader/me"
    assert child.assume_role_parent_session is parent


def test_patched_boto3_assumes_roles_from_its_default_session(
    patched: Any, ambient: StrictCloud
) -> None:
    child = patched.assume_role(RoleArn=READER, RoleSessionName="me", region_name="eu-west-1")

    assert arn_of(child) == "arn:aws:sts::210987654321:assumed-role/Reader/me"
    assert child.region_name == "eu-west-1"
    assert child.assume_role_parent_session is boto3.DEFAULT_SESSION


def test_a_child_of_a_patched_session_assumes_roles(patched: Any, parent: Any) -> None:
    spoke = parent.assume_role(READER).assume_role(SPOKE, RoleSessionName="me")

    assert arn_of(spoke) == "arn:aws:sts::345678901234:assumed-role/Spoke/me"


def test_a_session_made_before_the_patch_assumes_roles(parent: Any, patched: Any) -> None:
    assert "/Reader/" in arn_of(parent.assume_role(READER))


def test_patching_twice_is_patching_once(patched: Any) -> None:
    before = boto3.assume_role, boto3.Session.assume_role  # type: ignore[attr-defined]

    rolecall.patch_boto3()

    assert before == (boto3.assume_role, boto3.Session.assume_role)  # type: ignore[attr-defined]


def test_the_patched_names_are_assume_role(patched: Any) -> None:
    assert patched.assume_role.__name__ == patched.Session.assume_role.__name__ == "assume_role"


# ── JSONFileCache ────────────────────────────────────────────────────────────────────────


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_path_of_a_file_cache_is_required() -> None:
    with pytest.raises(TypeError, match="dir_path"):
        rolecall.JSONFileCache()  # type: ignore[call-arg]


def test_the_path_of_a_file_cache_may_be_a_keyword(tmp_path: Path) -> None:
    cache = rolecall.JSONFileCache(dir_path=str(tmp_path / "cache"))

    cache["key"] = {"a": 1}

    assert cache["key"] == {"a": 1}


def test_a_tilde_in_the_path_of_a_file_cache_is_the_home(own_home: Path) -> None:
    cache = rolecall.JSONFileCache("~/roles")

    cache["key"] = {"a": 1}

    assert len(list((own_home / "roles").glob("*.json"))) == 1


def test_a_file_cache_is_its_owners_alone(tmp_path: Path, parent: boto3.Session) -> None:
    folder = tmp_path / "deep" / "cache"
    before = os.umask(0)
    try:
        fetch(rolecall.assume_role(parent, READER, cache=rolecall.JSONFileCache(folder)))
    finally:
        os.umask(before)

    (file,) = folder.iterdir()
    assert (mode_of(folder), mode_of(file)) == (0o700, 0o600)


def test_an_entry_of_a_file_cache_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Whoever has the old file open reads the old entry to its end."""
    cache = rolecall.JSONFileCache(tmp_path)
    cache["key"] = {"a": "old" * 1000}
    (file,) = tmp_path.iterdir()

    with file.open() as reader:
        head = reader.read(10)
        cache["key"] = {"b": "new"}
        rest = reader.read()

    assert (head + rest).endswith('oldold"}')
    assert cache["key"] == {"b": "new"}
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
