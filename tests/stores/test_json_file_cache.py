"""`JSONFileCache`: the mapping that boto3 users know, with botocore's flaws left out."""

from __future__ import annotations

import json
import pickle
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import AssumeRoleCredentialFetcher, Credentials

from rolecall.stores import JSONFileCache
from rolecall.testing.source import FAKE_SECRET

WHEN = datetime(2030, 1, 1, tzinfo=timezone.utc)
RESPONSE = {
    "Credentials": {
        "AccessKeyId": "ASIAFAKE000000000001",
        "SecretAccessKey": "fake-secret-1",
        "SessionToken": "fake-token-1",
        "Expiration": WHEN,
    }
}


@pytest.fixture
def cache(tmp_path: Path) -> JSONFileCache:
    return JSONFileCache(tmp_path / "cache", environ={"HOME": str(tmp_path)})


def test_what_is_set_is_got_with_datetimes_as_text(cache: JSONFileCache) -> None:
    cache["key"] = RESPONSE

    assert cache["key"]["Credentials"]["Expiration"] == "2030-01-01T00:00:00+00:00"
    assert "key" in cache


@pytest.mark.parametrize("value", [{}, [], "text", 5, None, {"nested": {"list": [1, None]}}])
def test_any_json_value_can_be_kept(cache: JSONFileCache, value: Any) -> None:
    cache["key"] = value

    assert cache["key"] == value
    assert "key" in cache


def test_what_is_not_there_is_a_key_error(cache: JSONFileCache) -> None:
    assert "key" not in cache
    with pytest.raises(KeyError, match="key"):
        cache["key"]
    with pytest.raises(KeyError, match="key"):
        del cache["key"]


def test_what_is_deleted_is_gone(cache: JSONFileCache) -> None:
    cache["key"] = {}

    del cache["key"]

    assert "key" not in cache


def test_there_is_one_file_a_key_named_like_it(cache: JSONFileCache) -> None:
    cache["0123abcd"] = {"a": 1}

    assert json.loads((cache.store.path / "0123abcd.json").read_text()) == {"a": 1}


@pytest.mark.parametrize(
    "key", ["../../escaped", "/etc/escaped", "a/b", "nul\0byte", "", ".", "Capital", "é" * 300]
)
def test_a_key_that_is_no_file_name_stays_in_the_directory(cache: JSONFileCache, key: str) -> None:
    cache[key] = {"a": 1}

    assert cache[key] == {"a": 1}
    (only,) = cache.store.path.iterdir()
    assert only.name.startswith("sha256-")


def test_keys_that_differ_in_capitals_do_not_meet_on_any_system(cache: JSONFileCache) -> None:
    cache["Key"], cache["key"] = 1, 2

    names = {path.name.lower() for path in cache.store.path.iterdir()}
    assert len(names) == 2


def test_a_corrupt_file_counts_as_not_there(cache: JSONFileCache) -> None:
    cache["key"] = RESPONSE
    (cache.store.path / "key.json").write_text("{")

    assert "key" not in cache
    with pytest.raises(KeyError, match="key"):
        cache["key"]


def test_a_value_that_is_not_json_is_refused_without_showing_it(cache: JSONFileCache) -> None:
    with pytest.raises(ValueError, match="a value of type dict cannot be stored") as caught:
        cache["key"] = {"secret": FAKE_SECRET, "bad": object()}

    assert FAKE_SECRET not in str(caught.value)
    assert caught.value.__context__ is None
    assert "key" not in cache


def test_a_value_too_large_to_be_read_again_is_not_written(
    cache: JSONFileCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache["key"] = "x" * 70_000

    assert "key" not in cache
    assert "larger than 65536 bytes" in caplog.text


def test_botocore_itself_can_use_it(cache: JSONFileCache) -> None:
    class Client:
        calls = 0

        def assume_role(self, **_: Any) -> dict[str, Any]:
            Client.calls += 1
            return {**RESPONSE, "AssumedRoleUser": {"Arn": "arn:aws:sts::123456789012:a/b/c"}}

    def fetcher() -> AssumeRoleCredentialFetcher:
        source = Credentials("AKIAFAKE", "fake-secret")
        arn = "arn:aws:iam::123456789012:role/b"
        return AssumeRoleCredentialFetcher(lambda *_, **__: Client(), source, arn, cache=cache)

    first, second = fetcher().fetch_credentials(), fetcher().fetch_credentials()

    assert first["access_key"] == second["access_key"]
    assert Client.calls == 1


def test_a_directory_is_required() -> None:
    with pytest.raises(TypeError):
        JSONFileCache()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        JSONFileCache(None)  # type: ignore[arg-type]


def test_it_pickles_as_its_path(cache: JSONFileCache) -> None:
    again = pickle.loads(pickle.dumps(cache))

    assert isinstance(again, JSONFileCache)
    assert again.store.path == cache.store.path
