"""Who shares a session through a real Secret Service, and who never does."""

from __future__ import annotations

import pytest
from desktop import Desktop
from test_shared_stores import (
    Opens,
    test_each_of_two_principals_shares_with_itself_and_never_with_the_other,
    test_what_a_session_has_refreshed_others_find,
    test_who_may_not_assume_a_role_is_not_handed_a_session_of_who_may,
    test_whoever_asks_for_something_else_gets_something_else,
    world,
)

from rolecall.stores import KeyringStore
from rolecall.testing import FakeClock, StrictCloud

__all__ = [
    "test_each_of_two_principals_shares_with_itself_and_never_with_the_other",
    "test_what_a_session_has_refreshed_others_find",
    "test_who_may_not_assume_a_role_is_not_handed_a_session_of_who_may",
    "test_whoever_asks_for_something_else_gets_something_else",
    "world",
]


@pytest.fixture
def cloud(fake_clock: FakeClock, strict_cloud: StrictCloud) -> StrictCloud:
    return strict_cloud


@pytest.fixture
def opens(desktop: Desktop) -> Opens:
    return KeyringStore
