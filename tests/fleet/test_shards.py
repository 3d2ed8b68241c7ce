"""Shards: every account is in exactly one, and only its own id decides in which."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.fleet.shards import in_shard, parse_shard

ACCOUNT_IDS = st.from_regex(r"[0-9]{12}", fullmatch=True).map(str)
MANY = [f"{hashlib.sha256(str(n).encode()).digest()[0] * 7919 + n:012d}" for n in range(4000)]


def shard_of(account_id: str, shards: int) -> list[int]:
    return [one for one in range(1, shards + 1) if in_shard(account_id, one, shards)]


# ── what may be written ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("1/1", (1, 1)),
        ("1/4", (1, 4)),
        ("04/04", (4, 4)),
        (" 2/3\n", (2, 3)),
        ((1, 4), (1, 4)),
        ([4, 4], (4, 4)),
    ],
)
def test_text_and_two_numbers_name_a_shard(given: Any, expected: Any) -> None:
    assert expected == parse_shard(given)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("0/4", ValueError, "counted from 1, so from 1/4 to 4/4, got 0/4"),
        ("5/4", ValueError, "counted from 1, so from 1/4 to 4/4, got 5/4"),
        ((0, 4), ValueError, "got 0/4"),
        ((-1, 4), ValueError, "got -1/4"),
        ("1/0", ValueError, "at least 1 of them, got 1/0"),
        ((1, -4), ValueError, "at least 1 of them, got 1/-4"),
        ("", ValueError, "must be like '1/4', got ''"),
        ("1 of 4", ValueError, "got '1 of 4'"),
        ("-1/4", ValueError, "must be like '1/4'"),
        ("1/4/2", ValueError, "must be like '1/4'"),
        ("٣/4", ValueError, "must be like '1/4'"),
        ("3/٤", ValueError, "must be like '1/4'"),
        ("1/" + "9" * 5000, ValueError, "must be like '1/4'"),
        (4, TypeError, "text such as '1/4' or two numbers, got 4"),
        ((1, 2, 3), TypeError, r"got \(1, 2, 3\)"),
        ((True, 4), TypeError, r"got \(True, 4\)"),
        ((1.0, 4), TypeError, r"got \(1.0, 4\)"),
        (("1", "4"), TypeError, "or two numbers"),
        (b"1/4", TypeError, "got bytes"),
    ],
)
def test_what_is_no_shard_is_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_shard(given)


@given(st.integers(1, 10**9 - 1), st.data())
def test_a_shard_reads_the_same_as_text_and_as_numbers(shards: int, data: st.DataObject) -> None:
    shard = data.draw(st.integers(1, shards))

    assert (shard, shards) == parse_shard((shard, shards)) == parse_shard(f"{shard}/{shards}")


# ── who is where ─────────────────────────────────────────────────────────────────────────


@given(ACCOUNT_IDS, st.integers(1, 40))
def test_every_account_is_in_exactly_one_shard(account_id: str, shards: int) -> None:
    assert len(shard_of(account_id, shards)) == 1


def test_an_account_is_where_it_has_always_been() -> None:
    """Machines with different versions of rolecall may share one run."""
    expected = {"000000000000": [4], "111122223333": [1], "123456789012": [3]}

    assert expected == {one: shard_of(one, 4) for one in expected}


@pytest.mark.parametrize("shards", [2, 4, 7])
def test_shards_are_about_equally_large(shards: int) -> None:
    sizes = [sum(in_shard(one, shard, shards) for one in MANY) for shard in range(1, shards + 1)]

    assert sum(sizes) == len(MANY)
    assert min(sizes) > 0.85 * len(MANY) / shards


def test_ids_that_are_neighbours_are_spread() -> None:
    """Accounts that were made together are often alike, and slow together."""
    neighbours = [f"{111122220000 + 4 * n:012d}" for n in range(400)]

    assert all(sum(in_shard(one, shard, 4) for one in neighbours) > 80 for shard in (1, 2, 3, 4))
