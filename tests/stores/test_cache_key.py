"""`cache_key`: the same question has one key, and no two questions share one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.stores import cache_key

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*"}]}
REQUEST: dict[str, Any] = {
    "RoleArn": "arn:aws:iam::123456789012:role/Reader",
    "RoleSessionName": "alice",
    "DurationSeconds": 900,
    "ExternalId": "an-id",
    "Policy": json.dumps(POLICY),
    "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/A"}, {"arn": "arn:aws:iam::aws:policy/B"}],
    "SerialNumber": "arn:aws:iam::123456789012:mfa/alice",
    "SourceIdentity": "alice",
    "Tags": [{"Key": "team", "Value": "data"}, {"Key": "cost", "Value": "1"}],
    "TransitiveTagKeys": ["team", "cost"],
}


def key(changes: Any = (), **keywords: Any) -> str:
    said: dict[str, Any] = {"source": "AKIAFAKEALICE", "partition": "aws", **keywords}
    return cache_key({**REQUEST, **dict(changes)}, **said)


def test_a_key_is_a_sha256_in_hexadecimal() -> None:
    assert len(key()) == 64
    assert int(key(), 16) >= 0


@pytest.mark.parametrize(
    "changes",
    [
        {"TokenCode": "123456"},
        {"Policy": json.dumps(POLICY, indent=4, sort_keys=True)},
        {"Policy": POLICY},
        {"PolicyArns": list(reversed(REQUEST["PolicyArns"]))},
        {"PolicyArns": ["arn:aws:iam::aws:policy/B", "arn:aws:iam::aws:policy/A"]},
        {"Tags": list(reversed(REQUEST["Tags"]))},
        {"Tags": {"team": "data", "cost": "1"}},
        {"TransitiveTagKeys": ("cost", "team")},
        {"ProvidedContexts": None},
    ],
    ids=str,
)
def test_what_means_the_same_has_the_same_key(changes: dict[str, Any]) -> None:
    assert key() == key(changes)


@given(st.permutations(list(REQUEST)))
def test_the_order_of_the_arguments_does_not_matter(names: list[str]) -> None:
    shuffled = {name: REQUEST[name] for name in names}

    assert key() == cache_key(shuffled, source="AKIAFAKEALICE", partition="aws")


@pytest.mark.parametrize("name", sorted(REQUEST))
def test_every_argument_counts(name: str) -> None:
    assert key() != key({name: None})
    assert key() != key({name: 901 if name == "DurationSeconds" else "[]"})


@pytest.mark.parametrize(
    "keywords",
    [
        {"source": "AKIAFAKEMALLORY"},
        {"partition": "aws-cn"},
        {"endpoint": "http://127.0.0.1:4566"},
        {"operation": "GetSessionToken"},
        {"generated_session_name": True},
    ],
    ids=str,
)
def test_who_asks_whom_counts(keywords: dict[str, Any]) -> None:
    assert key() != key(**keywords)


def test_a_generated_session_name_does_not_count() -> None:
    assert key({"RoleSessionName": "alice-1"}, generated_session_name=True) == key(
        {"RoleSessionName": "alice-2"}, generated_session_name=True
    )


def test_a_key_is_the_same_in_every_version_and_process() -> None:
    """Changed on purpose only, with SCHEMA: or an upgrade asks everybody for an MFA code."""
    pinned = "381b66c5dea849c3e6435c753d4fa759e56d7842b1e8f0714e6401ad9cc4c42b"

    assert pinned == key()


def test_without_a_source_there_is_no_key() -> None:
    """It would be the same for Alice and Mallory."""
    with pytest.raises(ValueError, match="who assumes the role"):
        key(source="")


def test_arguments_that_differ_in_where_a_value_stands_have_different_keys() -> None:
    assert key({"Tags": {"a": "b"}}) != key({"Tags": {"b": "a"}})
    assert key({"ExternalId": "x", "SourceIdentity": "y"}) != key(
        {"ExternalId": "y", "SourceIdentity": "x"}
    )
