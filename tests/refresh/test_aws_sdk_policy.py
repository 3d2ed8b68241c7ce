"""AWS's 2026 cross-SDK refresh behaviour in our own words, by every driver."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from drivers import Readers

from rolecall import AccessDenied, Credentials, RefreshPolicy
from rolecall.errors import FetchError, Unreachable
from rolecall.testing import FakeClock, FakeSource, vectors

ReadersOf = Callable[..., Readers]

#: Of one hour: when the credentials are how old.
AGES = {
    "valid": timedelta(minutes=10),
    "advisory": timedelta(minutes=50),
    "mandatory": timedelta(minutes=59, seconds=30),
    "expired": timedelta(minutes=60, seconds=1),
}


@pytest.fixture
def sdk(readers_of: ReadersOf) -> ReadersOf:
    def sdk(chance: float = 0.4, **keywords: object) -> Readers:
        policy = RefreshPolicy.aws_sdk(**keywords)  # type: ignore[arg-type]
        return readers_of(policy=policy, rng=lambda: chance)

    return sdk


@pytest.fixture
def aged(sdk: ReadersOf, clock: FakeClock) -> Callable[[str], tuple[Readers, Credentials]]:
    def aged(age: str) -> tuple[Readers, Credentials]:
        readers = sdk()
        held = readers.get()
        clock.tick(AGES[age])
        return readers, held

    return aged


Aged = Callable[[str], tuple[Readers, Credentials]]


def test_valid_credentials_are_served_without_asking(aged: Aged, source: FakeSource) -> None:
    readers, held = aged("valid")

    assert readers.get() is held
    assert source.calls == 1


@pytest.mark.parametrize("age", ["advisory", "mandatory", "expired"])
def test_whoever_finds_a_refresh_due_gets_the_new_credentials(aged: Aged, age: str) -> None:
    readers, held = aged(age)

    assert readers.get() is not held


@pytest.mark.parametrize("age", ["advisory", "mandatory", "expired"])
def test_after_a_failure_the_cached_ones_are_served_and_the_source_left_alone(
    aged: Aged, clock: FakeClock, source: FakeSource, age: str
) -> None:
    readers, held = aged(age)
    source.error = Unreachable("down")

    assert readers.get() is held
    clock.tick(seconds=419)
    assert readers.get() is held
    assert source.calls == 2
    source.error = None
    clock.tick(seconds=2)
    assert readers.get() is not held


@pytest.mark.parametrize("age", ["advisory", "mandatory"])
def test_a_stale_answer_counts_as_a_failure(aged: Aged, source: FakeSource, age: str) -> None:
    readers, held = aged(age)
    source.lifetime = timedelta(seconds=-1)

    assert [readers.get(), readers.get()] == [held, held]
    assert source.calls == 2


def test_with_nothing_cached_the_error_is_raised_and_the_next_call_tries_again(
    sdk: ReadersOf, source: FakeSource
) -> None:
    readers = sdk()
    source.error = Unreachable("down")
    with pytest.raises(Unreachable):
        readers.get()
    source.error = None

    assert readers.get()


@pytest.mark.parametrize("age", ["advisory", "mandatory", "expired"])
def test_an_error_that_retrying_cannot_mend_is_raised_at_once_and_remembered(
    aged: Aged, clock: FakeClock, source: FakeSource, age: str
) -> None:
    readers, held = aged(age)
    source.error = AccessDenied("no")

    for _ in range(5):
        with pytest.raises(AccessDenied):
            readers.get()
    assert source.calls == 2
    source.error = None
    clock.tick(seconds=5.1)
    assert readers.get() is not held


def test_the_window_follows_each_new_lifetime(
    sdk: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    source.lifetime = timedelta(hours=6)
    readers = sdk()
    readers.get()
    clock.tick(hours=5, minutes=1)
    source.lifetime = timedelta(minutes=10)
    readers.get()
    clock.tick(minutes=4, seconds=59)
    readers.get()
    assert source.calls == 2
    clock.tick(seconds=2)
    readers.get()

    assert source.calls == 3


def test_a_configured_window_wins(sdk: ReadersOf, clock: FakeClock, source: FakeSource) -> None:
    source.lifetime = timedelta(hours=6)
    readers = sdk(ahead=timedelta(minutes=30))
    readers.get()
    clock.tick(hours=5, minutes=29)
    readers.get()
    assert source.calls == 1
    clock.tick(minutes=2)
    readers.get()

    assert source.calls == 2


def test_a_rejected_key_is_refreshed_and_served_on_if_that_fails(
    aged: Aged, source: FakeSource
) -> None:
    readers, held = aged("valid")
    source.error = Unreachable("down")

    assert readers.refresher.invalidate(held.access_key)
    assert readers.get() is held
    assert source.calls == 2


def test_a_rejection_does_not_end_the_pause(
    aged: Aged, clock: FakeClock, source: FakeSource
) -> None:
    readers, held = aged("expired")
    source.error = Unreachable("down")
    readers.get()
    clock.tick(seconds=60)
    readers.refresher.invalidate(held.access_key)
    source.error = None

    assert readers.get() is held
    assert source.calls == 2
    clock.tick(seconds=425)
    assert readers.get() is not held


def test_the_rejection_of_an_older_key_changes_nothing(aged: Aged, source: FakeSource) -> None:
    readers, held = aged("valid")

    assert not readers.refresher.invalidate("ASIAFAKEOLDER0000000")
    assert readers.get() is held
    assert source.calls == 1


# ── the runner of vector files ───────────────────────────────────────────────────────────

CASES = [
    {
        "documentation": "Whoever comes first gets credentials.",
        "given": {"cachedCredentials": "none"},
        "steps": [
            {
                "type": "getCredentials",
                "response": "freshCredentials",
                "lifetimeSeconds": 600,
                "expected": {"result": "newCredentials", "advisoryWindowSeconds": 300},
            }
        ],
    },
    {
        "documentation": "A pause of 333 s ends after 333 s.",
        "given": {"cachedCredentials": "expired", "refreshBackoffSeconds": 333},
        "steps": [
            {"type": "getCredentials", "response": "error", "expected": {"sourceContacted": True}},
            {"type": "advanceTime", "seconds": 332},
            {"type": "getCredentials", "expected": {"rateLimited": True}},
            {"type": "advanceTime", "seconds": 2},
            {
                "type": "getCredentials",
                "response": "freshCredentials",
                "expected": {"result": "newCredentials", "rateLimited": False},
            },
        ],
    },
]

WRONG = {
    "documentation": "A case that asks for what is not so.",
    "given": {"cachedCredentials": "valid"},
    "steps": [
        {"type": "getCredentials", "expected": {"result": "newCredentials"}},
        {"type": "sing"},
    ],
}


def test_a_vector_file_is_run_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(CASES))

    assert vectors.main([str(file)]) == 0
    assert capsys.readouterr().out == "2 passed, 0 failed\n"


def test_a_vector_that_does_not_hold_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cases.json"
    file.write_text(json.dumps([*CASES, WRONG]))

    assert vectors.main([str(file)]) == 1
    out = capsys.readouterr().out
    assert "FAILED A case that asks for what is not so." in out
    assert "step 1: result: expected newCredentials, got cachedCredentials" in out
    assert "step 2: unknown type 'sing'" in out
    assert out.endswith("2 passed, 1 failed\n")


@pytest.mark.parametrize("content", [None, "not json"])
def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    file = tmp_path / "cases.json"
    if content is not None:
        file.write_text(content)

    assert vectors.main([str(file)]) == 2
    assert "cases.json" in capsys.readouterr().err


def test_the_error_classes_of_the_runner_are_told_apart() -> None:
    assert issubclass(vectors.Recoverable, FetchError)
    assert vectors.Recoverable("").retryable
    assert not vectors.NonRecoverable("").retryable
