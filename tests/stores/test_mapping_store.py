"""`MappingStore`: any cache of the user's own, however badly it behaves."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.credentials
import pytest

from rolecall.stores import MappingStore
from rolecall.stores.entry import from_document
from rolecall.testing.contracts import KEY, OTHER_KEY, credentials
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

BOTOCORES = {
    "Credentials": {
        "AccessKeyId": "ASIAFAKE000000000009",
        "SecretAccessKey": "fake-secret-9",
        "SessionToken": "fake-token-9",
        "Expiration": "2030-01-01T01:00:00UTC",
        "AccountId": "012345678901",
    },
    "AssumedRoleUser": {"Arn": "arn:aws:sts::012345678901:assumed-role/A/b"},
    "ResponseMetadata": {},
}


class Broken:
    """A cache that fails in one of its methods."""

    def __init__(self, fails: str) -> None:
        self.fails = fails
        self.inner: dict[str, Any] = {}

    def _maybe(self, name: str) -> None:
        if self.fails == name:
            raise RuntimeError(f"Value cannot be cached: {FAKE_SECRET} {FAKE_TOKEN}")

    def __contains__(self, key: object) -> bool:
        self._maybe("contains")
        return key in self.inner

    def __getitem__(self, key: str) -> Any:
        self._maybe("get")
        return self.inner[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._maybe("set")
        self.inner[key] = value


def test_entries_have_botocores_format() -> None:
    mapping: dict[str, Any] = {}

    MappingStore(mapping).put(KEY, credentials())

    inner = json.loads(json.dumps(mapping))[KEY]["Credentials"]
    assert inner["AccessKeyId"] == "ASIAFAKECONTRACT0001"
    assert inner["AccountId"] == "012345678901"
    assert datetime.fromisoformat(inner["Expiration"]) == credentials().expires_at


def test_an_entry_that_botocore_wrote_is_taken() -> None:
    got = MappingStore({KEY: BOTOCORES}).get(KEY)

    assert got is not None
    assert got.access_key == "ASIAFAKE000000000009"
    assert got.account_id == "012345678901"
    assert got.clock_offset == timedelta(0)


def test_botocores_own_file_cache_serves_as_a_store(tmp_path: Path) -> None:
    cache = botocore.credentials.JSONFileCache(str(tmp_path / "cache"))

    MappingStore(cache).put(KEY, credentials())

    assert credentials() == MappingStore(cache).get(KEY)


def ours(**changes: Any) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    MappingStore(mapping).put(KEY, credentials())
    mapping[KEY]["rolecall"].update(changes)
    return dict(mapping[KEY])


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        [],
        "text",
        {"Credentials": None},
        {"Credentials": {**BOTOCORES["Credentials"], "SessionToken": None}},
        {"Credentials": {**BOTOCORES["Credentials"], "Expiration": "tomorrow"}},
        {"Credentials": {**BOTOCORES["Credentials"], "AccessKeyId": 5}},
        {**BOTOCORES, "rolecall": None},
        ours(schema=2),
        ours(key=OTHER_KEY),
        ours(clock_offset_seconds="1"),
        ours(clock_offset_seconds=float("nan")),
        ours(clock_offset_seconds=float("inf")),
    ],
)
def test_an_entry_that_is_not_one_is_a_miss(entry: Any) -> None:
    assert MappingStore({KEY: entry}).get(KEY) is None
    assert from_document(entry, KEY) is None  # without the net that catches all


@pytest.mark.parametrize(
    ("fails", "kind"), [("contains", "read"), ("get", "read"), ("set", "written")]
)
def test_a_cache_that_fails_fails_nothing_and_is_told_of_once(
    fails: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Broken(fails)
    cache.inner[KEY] = BOTOCORES
    store = MappingStore(cache)

    with caplog.at_level(logging.DEBUG, "rolecall"):
        for _ in range(3):
            store.put(KEY, credentials())
            store.get(KEY)

    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert [f"the cache Broken cannot be {kind}: RuntimeError"] == [
        one.getMessage() for one in warnings
    ]
    assert FAKE_SECRET not in caplog.text
    assert FAKE_TOKEN not in caplog.text


def test_a_cache_without_delete_forgets_all_the_same() -> None:
    store = MappingStore(Broken(fails="nothing"))
    store.put(KEY, credentials())

    store.delete(KEY)

    assert store.get(KEY) is None
