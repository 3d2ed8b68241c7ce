"""Handing a session on takes nothing from the program whose session it is."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from rolecall.credentials import Credentials
from rolecall.errors import MFARequired
from rolecall.refresh import Refresher
from rolecall.refresh.flight import attended
from rolecall.sessions.handing import HANDING_POLICY, Newer
from rolecall.testing import FakeClock, FakeSource


class Asking(FakeSource):
    """A source that asks a person."""

    interactive = True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def beside(function: Callable[[], object], *, person: bool = False) -> object:
    """Return what *function* returns or raises in a thread that may ask nobody but *person*."""
    found: list[object] = []

    def run() -> None:
        attended.set(person)
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    return found[0]


def test_where_nobody_can_be_asked_the_programs_own_refresher_is_left_alone(
    clock: FakeClock,
) -> None:
    """A failure noted there would keep the program itself from asking for a while."""
    source = Asking(clock)
    its = Refresher(source, clock=clock)

    error = beside(Newer(its, HANDING_POLICY).get)

    assert isinstance(error, MFARequired)
    assert (source.calls, its.state.failure) == (0, None)
    assert its.get().access_key == "ASIAFAKE000000000001"


def test_what_is_held_is_handed_on_again_where_nobody_can_be_asked(clock: FakeClock) -> None:
    source = Asking(clock)
    its = Refresher(source, clock=clock)
    newer = Newer(its, HANDING_POLICY)
    its.get()

    first, second = beside(newer.get), beside(newer.get)

    assert isinstance(first, Credentials)
    assert first == second
    assert first.access_key == "ASIAFAKE000000000001"
    assert (source.calls, its.state.failure) == (1, None)


@pytest.mark.parametrize("kind", [FakeSource, Asking])
def test_with_a_person_or_without_need_of_one_what_was_handed_on_is_renewed(
    clock: FakeClock, kind: type[FakeSource]
) -> None:
    source = kind(clock)
    newer = Newer(Refresher(source, clock=clock), HANDING_POLICY)

    found = [beside(newer.get, person=kind is Asking) for _ in range(3)]

    keys = [one.access_key for one in found if isinstance(one, Credentials)]
    assert keys == [f"ASIAFAKE{number:012d}" for number in (1, 2, 3)]
