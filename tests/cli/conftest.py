"""Fixtures for the tests of the command line: a cloud for a file of tests, a desk for each test.

A real process costs half a second, so tests ask a desk for one where processes are the point
(``desk.run``, ``desk.start``), and run the command in this process elsewhere (``rolecall``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Desk, Ended

from rolecall.testing import StrictCloud


@pytest.fixture(scope="module")
def cloud() -> Iterator[StrictCloud]:
    """A strict cloud for all tests of a file, in real time; its sessions live an hour."""
    with StrictCloud() as running:
        yield running


@pytest.fixture(autouse=True)
def no_fault_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """End what a test made the cloud do wrong before the next test."""
    yield
    if "cloud" in request.fixturenames:
        request.getfixturevalue("cloud").recover()


@pytest.fixture
def desk(cloud: StrictCloud, tmp_path: Path) -> Desk:
    """A new home with the profiles ``hub`` (a user), ``reader`` and ``deploy`` (roles)."""
    home = tmp_path / "home"
    home.mkdir()
    return Desk(cloud, home)


@pytest.fixture
def rolecall(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The command, run in this process with the desk's environment: ``rolecall("whoami")``."""

    def rolecall(*words: str) -> Ended:
        return desk.here(capsys.readouterr, *words)

    return rolecall
