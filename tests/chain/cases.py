"""The vector files beside this module: cases an operator can add without knowing Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

HUB = "arn:aws:iam::111111111111:role/Hub"
SPOKE = "arn:aws:iam::222222222222:role/team/Spoke"
READER = "arn:aws:iam::123456789012:role/Reader"


def vectors(name: str) -> list[Any]:
    """Return the cases of a vector file as parameters, each named by its ``docs`` line."""
    text = (Path(__file__).parent / "vectors" / f"{name}.json").read_text(encoding="utf-8")
    return [pytest.param(case, id=case["docs"]) for case in json.loads(text)]
