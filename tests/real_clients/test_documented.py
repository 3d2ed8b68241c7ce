"""The documentation lists the clients that are run, and in which ways each gets credentials."""

from __future__ import annotations

import re
from pathlib import Path

from clients import CLIENTS, ENDPOINT, PROCESS

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "clients.md"
# Versions are those of the day it was written: what is run is the newest there is.
ROW = re.compile(
    r"^\| (?P<name>[^|]+) \| \d+\.[\d.]+ \| (?P<endpoint>[^|]+) \| (?P<process>[^|]+) \|", re.M
)


def test_the_documentation_lists_every_client_and_its_ways() -> None:
    rows = ROW.finditer(PAGE.read_text("utf-8"))

    listed = [(row["name"], {by for by in (ENDPOINT, PROCESS) if row[by] != "no"}) for row in rows]

    assert listed == [(client.name, set(client.by)) for client in CLIENTS]
