"""The Redis of these tests: that of a wheel, so that Python packages alone can run them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
from bad_servers import Proxy
from redis_rig import Certificates, RedisServer, wheel_program
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
    return wheel_program()


@pytest.fixture
def tls_redis(
    server: RedisServer, certificates: Certificates
) -> Iterator[tuple[int, Certificates]]:
    """Return the port of a server that speaks TLS, and what CA it is of.

    The server of the wheel does not, so a proxy does it for it.
    """
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.certificate, certificates.key)
    with Proxy(server.port, tls=tls) as proxy:
        yield proxy.port, certificates
