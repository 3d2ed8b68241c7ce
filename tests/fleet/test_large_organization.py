"""An organization of 5,000 accounts: selecting and caching are right, and take seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from organizations import PAGE, OrganizationsServer, World, as_known, world

from rolecall.fleet.accounts.organization import Organization

ACCOUNTS = 5_000

#: On a machine that is busy with other tests, too. Alone it is a tenth.
SECONDS = 20.0


@pytest.fixture(scope="module")
def large() -> World:
    return world(ACCOUNTS, stages=4, areas=4, teams=4)


@pytest.fixture(scope="module")
def server(large: World) -> Iterator[OrganizationsServer]:
    with OrganizationsServer(large) as server:
        yield server


@pytest.mark.parametrize("fields", [("State",), ("State", "Paths")])
def test_units_states_and_tags_of_5000_accounts_are_selected_in_seconds(
    large: World, server: OrganizationsServer, tmp_path: Path, fields: tuple[str, ...]
) -> None:
    server.reset()
    server.fields = as_known(*fields)
    session = server.session()
    wanted: dict[str, Any] = {
        "ous": ["/prod/eu", "/stage"],
        "exclude_ous": ["prod-eu-1", "/stage/us", "/stage/eu", "/stage/ap"],
        "tags": {"env": "prod"},
    }
    eu, stage = large.unit("/prod/eu"), large.unit("/stage")
    excluded = {
        large.unit(path) for path in ("/prod/eu/prod-eu-1", "/stage/us", "/stage/eu", "/stage/ap")
    }
    expected = [
        one.id
        for one in large.members
        if one.state == "ACTIVE"
        and one.id != large.management
        and {eu, stage} & set(large.way(one.parent))
        and not excluded & set(large.way(one.parent))
        and one.tags.get("env") == "prod"
    ]

    began = time.monotonic()
    first = Organization(session, cache="1h", cache_folder=tmp_path).select(**wanted)
    pages = server.calls["ListAccounts"]
    server.calls.clear()
    again = Organization(session, cache="1h", cache_folder=tmp_path).select(**wanted)
    took = time.monotonic() - began

    assert len(expected) > 50
    assert sorted(expected) == [one.id for one in first]
    assert first == again
    assert pages == ACCOUNTS // PAGE
    assert not server.calls
    assert took < SECONDS
