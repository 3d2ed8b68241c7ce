"""What is said to a person who waits."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from rolecall.cli import notices
from rolecall.refresh import Refresher
from rolecall.testing import FakeClock, FakeSource, Gate


class Screen(io.StringIO):
    """Standard error at a terminal, or not; opens a gate with the first word."""

    def __init__(self, gate: Gate, *, terminal: bool) -> None:
        super().__init__()
        self._gate = gate
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        written = super().write(text)
        self._gate.open()
        return written


@pytest.fixture
def slow(fake_clock: FakeClock) -> Iterator[tuple[Refresher, Gate]]:
    source = FakeSource(fake_clock)
    source.before = gate = Gate()
    with gate:
        yield Refresher(source, clock=fake_clock, name="fake-role"), gate


def test_a_person_is_told_what_is_waited_for(
    slow: tuple[Refresher, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    refresher, gate = slow
    monkeypatch.setattr(notices, "WONDER_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", screen := Screen(gate, terminal=True))

    notices.fetched(refresher)  # which goes on when something is said

    assert "rolecall: waiting for fake-role" in screen.getvalue()


def test_who_gets_an_answer_at_once_is_told_nothing(
    slow: tuple[Refresher, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    refresher, gate = slow
    gate.open()
    monkeypatch.setattr(sys, "stderr", screen := Screen(gate, terminal=True))

    notices.fetched(refresher)

    assert screen.getvalue() == ""
