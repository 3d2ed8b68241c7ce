"""Outcomes can be gone through, once where they are a stream, and become records."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from datetime import timezone
from typing import Any, NamedTuple

import pytest
from found_outcomes import EPOCH, failed, found

from rolecall.fleet.results.outcomes import Outcome, Outcomes


def stream(count: int = 2) -> Iterator[Outcome]:
    for number in range(count):
        yield found(number, account=f"{number:012d}")


# Going through


def test_a_list_of_outcomes_can_be_gone_through_again_and_again() -> None:
    outcomes = Outcomes([found(1), found(2)])

    assert list(outcomes) == list(outcomes) == [found(1), found(2)]
    assert len(outcomes.to_records()) == 2


def test_a_stream_that_was_gone_through_says_so_instead_of_being_empty() -> None:
    outcomes = Outcomes(stream())
    assert outcomes.to_records()

    with pytest.raises(RuntimeError, match="gone through already"):
        outcomes.to_records()


def test_a_stream_is_not_read_before_somebody_asks() -> None:
    read: list[int] = []

    def telling() -> Iterator[Outcome]:
        read.append(1)
        yield found(1)

    outcomes = Outcomes(telling())
    assert read == []

    first = next(iter(outcomes))

    assert (first, read) == (found(1), [1])


def test_a_stream_ends_when_its_reader_leaves_the_loop() -> None:
    """A run is to start nothing more once nobody listens."""
    ended: list[bool] = []

    def telling() -> Iterator[Outcome]:
        try:
            yield from stream(10)
        finally:
            ended.append(True)

    outcomes = Outcomes(telling())

    for _ in outcomes:
        break

    assert ended == [True]


def test_outcomes_that_were_read_are_not_kept() -> None:
    value = Value()
    seen = weakref.ref(value)

    def holding(value: Any) -> Iterator[Outcome]:
        yield found(value)

    iterator = iter(Outcomes(holding(value)))
    del value
    next(iterator)
    assert list(iterator) == []

    assert seen() is None


class Value:
    """Something that can be seen going."""


class Pair(NamedTuple):
    """One thing, though it is a tuple."""

    name: str
    size: int


# Records


def test_a_record_is_flat_and_keeps_values_as_they_are() -> None:
    value = {"Buckets": ["a"], "n": {1, 2}}

    (record,) = Outcomes([found(value)]).to_records()

    assert record == {
        "account": "012345678901",
        "account_name": "team-a",
        "ou_path": "/prod/eu",
        "region": "eu-west-1",
        "role": "arn:aws:iam::012345678901:role/Auditor",
        "ok": True,
        "value": {"Buckets": ["a"], "n": {1, 2}},
        "error_kind": None,
        "error_type": None,
        "error_code": None,
        "error_message": None,
        "started": EPOCH,
        "elapsed_seconds": 1.5,
        "attempts": 1,
    }
    assert record["value"] is value
    assert record["started"].tzinfo is timezone.utc


def test_a_failed_target_has_a_record_without_a_value() -> None:
    (record,) = Outcomes([failed(code="AccessDenied", message="no")]).to_records()

    assert record["ok"] is False
    assert record["value"] is None
    assert record["error_kind"] == "access_denied"
    assert record["error_type"] == "ClientError"
    assert record["error_code"] == "AccessDenied"
    assert record["error_message"] == "no"


# Rows


def cells(*outcomes: Outcome) -> list[dict[str, Any]]:
    """Return what rows have of their values, and whose they are."""
    return [
        {name: cell for name, cell in one.items() if name == "ok" or name.startswith("value")}
        for one in Outcomes(outcomes).to_records(rows=True)
    ]


def test_each_element_of_a_list_has_a_row_and_each_key_of_a_mapping_a_column() -> None:
    assert cells(found([{"Name": "a", "Size": 1}, {"Name": "b"}])) == [
        {"ok": True, "value": None, "value.Name": "a", "value.Size": 1},
        {"ok": True, "value": None, "value.Name": "b"},
    ]


def test_elements_that_are_no_mappings_are_the_value_of_their_row() -> None:
    assert cells(found(["a", ("b", 1)])) == [
        {"ok": True, "value": "a"},
        {"ok": True, "value": ("b", 1)},
    ]


def test_a_value_that_is_one_mapping_is_one_row() -> None:
    assert cells(found({"Name": "a"})) == [{"ok": True, "value": None, "value.Name": "a"}]


def test_a_value_that_is_no_list_is_one_row() -> None:
    assert cells(found("text")) == [{"ok": True, "value": "text"}]
    assert cells(found(None)) == [{"ok": True, "value": None}]
    assert cells(found(Pair("a", 1))) == [{"ok": True, "value": Pair("a", 1)}]


def test_an_empty_list_has_no_row_and_a_failed_target_has_one() -> None:
    assert cells(found([]), failed()) == [{"ok": False, "value": None}]
