"""botocore's own look-up of credentials is not safe to run twice at once; ours is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from rolecall.sources.origin import load_credentials
from rolecall.sources.upstream import botocore_session

ROLE = "arn:aws:iam::123456789012:role/Hub"


@pytest.fixture
def busy() -> Iterator[None]:
    """Let threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy")
def test_sixteen_threads_load_a_fresh_profile_once(own_home: Path) -> None:
    """Without the lock most of them get `InfiniteLoopConfigError`."""
    (own_home / ".aws").mkdir()
    (own_home / ".aws" / "config").write_text(
        f"[profile hub]\nrole_arn = {ROLE}\nsource_profile = base\nregion = us-east-1\n"
        "[profile base]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = fake-secret\n"
    )
    for _ in range(5):
        session = botocore_session(boto3.Session(profile_name="hub"))
        start = threading.Barrier(16)

        def load(_: int, session: object = session, start: threading.Barrier = start) -> int:
            start.wait(20)
            return id(load_credentials(session))  # type: ignore[arg-type]

        with ThreadPoolExecutor(16) as pool:
            assert len(set(pool.map(load, range(16), timeout=20))) == 1
