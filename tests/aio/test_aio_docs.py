"""The documentation of asyncio sessions runs, and names all there is."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

# How pages are read and run is written there.
sys.path.append(str(Path(__file__).parent.parent))

import rolecall.aio
from test_docs import PAGES, REFERENCE, name_of, run, script_of

MARKS = ["<!-- run with aiobotocore -->"]
with suppress(PackageNotFoundError):
    if int(version("aioboto3").partition(".")[0]) >= 15:  # older ones know no newer aiobotocore
        MARKS.append("<!-- run with aioboto3 -->")


@pytest.mark.parametrize("page", [p for p in PAGES if script_of(p, *MARKS)], ids=name_of)
def test_the_documentation_of_asyncio_runs(page: Path, tmp_path: Path, own_home: Path) -> None:
    run(page, script_of(page, *MARKS), tmp_path, own_home)


def test_the_readme_and_the_guide_are_run() -> None:
    run_here = {name_of(page) for page in PAGES if script_of(page, *MARKS)}

    assert {"README.md", "docs/how-to/asyncio.md"} <= run_here


def test_each_public_name_of_asyncio_is_in_the_reference() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in REFERENCE.rglob("*.md"))
    explained = set(re.findall(r"`(?:rolecall\.aio\.)?(\w+)(?:\([^`]*\))?`", text))

    assert [name for name in rolecall.aio.__all__ if name not in explained] == []
