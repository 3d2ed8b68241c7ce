"""The form of an entry: whatever is in it is a session that can be used, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall.credentials import Credentials
from rolecall.refresh import Refresher
from rolecall.stores import FileStore, MappingStore, Stored, cache_key, entry
from rolecall.stores.entry import SCHEMA, from_document, from_text, to_document, to_text
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.contracts import KEY, OTHER_KEY, credentials

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        [
            "", " ", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2030-01-01T01:00:00+23:59",
            "2030-01-01T00:30:00Z", "\ud800", "ASIAFAKE\r\nHost: evil", 10**400, 9.9e11, -9.9e11,
            31_622_400, -31_622_400,
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def whole() -> dict[str, Any]:
    """Return a good entry of half an hour ago."""
    clock = FakeClock()
    made = credentials(issued_at=clock.now - timedelta(minutes=30), clock_offset=timedelta(0))
    document = to_document(made, KEY, clock)
    document["Credentials"]["Version"] = 1
    return document


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every member of *value*, its own too."""
    if not isinstance(value, Mapping):
        return [path]
    return [path, *(one for key in value for one in places(value[key], (*path, key)))]


def spoiled(document: Any, path: tuple[str, ...], value: Any) -> Any:
    """Return *document* with *value* at *path*."""
    if not path:
        return value
    return {**document, path[0]: spoiled(document[path[0]], path[1:], value)}


PLACES = places(whole())


class Once:
    """A store that has one document, whatever it is."""

    def __init__(self, document: Any) -> None:
        self.document = document

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Any:
        return self.document

    def __setitem__(self, key: str, value: Any) -> None:
        self.document = value


@pytest.mark.parametrize("place", PLACES, ids=lambda path: ".".join(path) or "all of it")
@given(value=JSON)
@example(value=None)
@example(value=float("nan"))
@example(value=float("-inf"))
@example(value=True)
@example(value="9999-12-31T23:59:59Z")
@example(value="0001-01-01T00:00:00Z")
@example(value="2030-01-01T00:30:00Z")
@example(value=9.9e11)
@example(value=-31_622_400.0)
@example(value="\ud800")
@example(value="ASIAFAKE\r\nHost: evil")
def test_rubbish_in_any_place_gives_valid_credentials_or_none(
    place: tuple[str, ...], value: Any
) -> None:
    document = spoiled(whole(), place, value)

    assert_harmless(document)


@given(st.dictionaries(st.sampled_from([path for path in PLACES if len(path) > 1]), JSON))
@example(
    {
        ("Credentials", "Expiration"): "9999-12-31T23:59:59Z",
        ("rolecall", "clock_offset_seconds"): -31_000_000.0,
        ("rolecall", "anchor", "boot"): 5,
    }
)
def test_rubbish_in_several_places_does_neither(changes: dict[tuple[str, ...], Any]) -> None:
    document = whole()
    for place, value in changes.items():
        if _is_there(document, place):
            document = spoiled(document, place, value)

    assert_harmless(document)


def _is_there(document: Any, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True


def assert_harmless(document: Any) -> None:
    """Fail unless *document* is a miss, or else credentials that can be used."""
    found = from_document(document, KEY, FakeClock())

    if found is not None:
        assert_usable(found)
    # Nor does what comes out upset whoever reads it.
    clock = FakeClock()
    stored = Stored(FakeSource(clock), Once(document), KEY, clock=clock)
    got = Refresher(stored, clock=clock, name="it").get()
    assert got.expires_at is not None
    assert got.expires_at - got.clock_offset > clock.now


def assert_usable(found: Credentials) -> None:
    """Fail unless *found* is what a request can be signed with."""
    assert isinstance(found, Credentials)
    for text in (found.access_key, found.secret_key, found.token):
        assert isinstance(text, str)
        assert text
        assert text.isascii()  # it goes into a header
        assert text.isprintable()
    assert isinstance(found.expires_at, datetime)
    assert found.expires_at.tzinfo is timezone.utc
    assert found.account_id is None or len(found.account_id) == 12


@pytest.mark.parametrize("place", PLACES, ids=lambda path: ".".join(path) or "all of it")
def test_a_member_that_is_missing_is_a_miss_or_not_needed(place: tuple[str, ...]) -> None:
    document = json.loads(json.dumps(whole()))
    if place:
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        del inner[place[-1]]

    needed = {
        ("Credentials",),
        ("Credentials", "AccessKeyId"),
        ("Credentials", "SecretAccessKey"),
        ("Credentials", "SessionToken"),
        ("Credentials", "Expiration"),
        ("rolecall", "schema"),
        ("rolecall", "key"),
    }
    assert (from_document(document, KEY, FakeClock()) is None) == (place in needed)


# ── text ─────────────────────────────────────────────────────────────────────────────────


@given(st.binary() | st.text())
@example("[" * 100_000)
@example("9" * 5000)
@example('{"Credentials": ' + "9" * 4000 + "}")
@example("null")
@example("\ud800")
@example(b"\xff\xfe\x00")
@example("\ufeff{}")
def test_text_that_is_no_entry_is_a_miss(text: str | bytes) -> None:
    assert from_text(text, KEY) is None


def test_an_entry_that_is_cut_short_anywhere_is_a_miss() -> None:
    text = to_text(credentials(), KEY)

    for length in range(len(text)):
        assert from_text(text[:length], KEY) is None
        assert from_text(text[:length].encode(), KEY) is None
    assert credentials() == from_text(text, KEY)


@given(
    token=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    expires=st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1)),
    offset=st.floats(-3e7, 3e7),
    account=st.none() | st.from_regex("[0-9]{12}", fullmatch=True),
)
def test_what_became_text_comes_back_as_it_was(
    token: str, expires: datetime, offset: float, account: str | None
) -> None:
    clock = FakeClock()
    put = credentials(
        token=token,
        expires_at=expires.replace(tzinfo=timezone.utc),
        issued_at=expires.replace(tzinfo=timezone.utc) - timedelta(hours=1),
        clock_offset=timedelta(seconds=offset),
        account_id=account,
    )

    text = to_text(put, KEY, clock)

    assert text.isascii()
    assert "\n" not in text
    assert put == from_text(text, KEY, clock)


# ── whose it is ──────────────────────────────────────────────────────────────────────────


def test_an_entry_under_anothers_key_is_a_miss() -> None:
    assert from_text(to_text(credentials(), KEY), OTHER_KEY) is None


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, str(SCHEMA), None, [SCHEMA]], ids=repr)
def test_an_entry_of_another_schema_is_a_miss(schema: Any) -> None:
    document = spoiled(whole(), ("rolecall", "schema"), schema)

    assert from_document(document, KEY, FakeClock()) is None


def test_two_versions_of_rolecall_side_by_side_leave_each_others_entries_alone(
    tmp_path: Path,
) -> None:
    """The schema is in the key too: they do not take turns in writing over one another."""
    newest = spoiled(whole(), ("rolecall", "schema"), SCHEMA + 1)
    environ = {"HOME": str(tmp_path)}
    store = FileStore(tmp_path / "entries", environ=environ)
    theirs = _key_of_schema(SCHEMA + 1)
    ours = _key_of_schema(SCHEMA)
    assert ours == cache_key({"RoleArn": "fake"}, source="fake", partition="aws")
    store.write_document(theirs, newest)

    store.put(ours, credentials())

    assert theirs != ours
    assert newest == store.read_document(theirs)
    assert credentials() == store.get(ours)


def _key_of_schema(schema: int) -> str:
    """Return the key as a rolecall that writes *schema* reckons it, from its documented parts."""
    import hashlib

    parts = {
        "schema": schema,
        "operation": "AssumeRole",
        "request": {"RoleArn": "fake"},
        "source": "fake",
        "partition": "aws",
        "endpoint": None,
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_newer_entry_under_our_own_key_is_replaced_by_one_that_we_can_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody copied it there: keys of two schemas never meet by themselves."""
    store = FileStore(tmp_path / "entries", environ={"HOME": str(tmp_path)})
    store.write_document(KEY, spoiled(whole(), ("rolecall", "schema"), SCHEMA + 1))
    clock = FakeClock()
    source = FakeSource(clock)

    got = [Stored(source, store, KEY, clock=clock).get() for _ in range(2)]

    assert got[0] == got[1]
    assert source.calls == 1
    assert caplog.text == ""


# ── what others wrote ────────────────────────────────────────────────────────────────────


def test_an_entry_that_botocore_wrote_is_taken() -> None:
    document = {
        "Credentials": {
            "AccessKeyId": "ASIAFAKEBOTOCORE",
            "SecretAccessKey": "fake-secret",
            "SessionToken": "fake-token",
            "Expiration": "2030-01-01T01:00:00UTC",
        },
        "AssumedRoleUser": {
            "AssumedRoleId": "AROAFAKE:name",
            "Arn": "arn:aws:sts::123456789012:assumed-role/Hub/name",
        },
        "ResponseMetadata": {"HTTPStatusCode": 200},
    }

    found = from_text(json.dumps(document), KEY)

    assert found is not None
    assert found.access_key == "ASIAFAKEBOTOCORE"
    assert found.account_id == "123456789012"
    assert found.clock_offset == timedelta(0)


def test_an_entry_without_an_anchor_keeps_the_offset_it_notes() -> None:
    """As versions before 0.4 wrote them."""
    document = to_document(credentials(), KEY)
    del document["rolecall"]["anchor"]

    assert credentials() == from_document(document, KEY)


def test_a_mapping_that_gives_anything_but_an_entry_costs_nobody_their_call() -> None:
    clock = FakeClock()
    for document in (None, 5, [], {}, {"Credentials": {}}, {"Credentials": None}):
        source = FakeSource(clock)
        assert Stored(source, MappingStore(Once(document)), KEY, clock=clock).get()
        assert source.calls == 1
        assert entry.storable(source.make(1, clock.now))
