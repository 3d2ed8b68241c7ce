"""Debian's Redis, in place of that of a wheel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The tests are those of other folders, on another server.
sys.path.extend(str(Path(__file__).parent.parent / folder) for folder in ("stores", "sessions"))

from redis_rig import Certificates, RedisServer, debian_program
from redis_scene import (
    certificates,
    client,
    clock,
    nothing_leaks,
    open_redis,
    own_server,
    rival,
    server,
    shared_redis,
    source,
    store,
)

__all__ = [
    "certificates",
    "client",
    "clock",
    "nothing_leaks",
    "open_redis",
    "own_server",
    "rival",
    "server",
    "shared_redis",
    "source",
    "store",
]


@pytest.fixture(scope="session")
def redis_program() -> str:
    return debian_program()


@pytest.fixture
def tls_redis(
    redis_program: str, tmp_path: Path, certificates: Certificates
) -> Iterator[tuple[int, Certificates]]:
    """Return the port of a server that itself speaks TLS, and what CA it is of."""
    with RedisServer(tmp_path, program=redis_program, certificates=certificates) as server:
        yield server.port, certificates
