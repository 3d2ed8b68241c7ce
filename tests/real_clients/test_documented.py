"""The documentation lists the clients that are run, and by what each gets its credentials."""

from __future__ import annotations

import re
from pathlib import Path

from clients import CLIENTS, ENDPOINT, PROCESS

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "clients.md"
ROW = re.compile(r"^\| (?P<name>[^|]+) \| [\d.]+ \| (?P<endpoint>[^|]+) \| (?P<process>[^|]+) \|")


def test_the_documentation_lists_every_client_and_what_it_can() -> None:
    rows = [match for line in PAGE.read_text("utf-8").splitlines() if (match := ROW.match(line))]

    listed = {row["name"]: {by for by in (ENDPOINT, PROCESS) if row[by] != "no"} for row in rows}

    assert listed == {client.name: set(client.by) for client in CLIENTS}
