"""One cluster for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import Ceph, User


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """Start a cluster for all tests, about a second."""
    cluster = Ceph(tmp_path_factory.mktemp("ceph"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def admin(ceph: Ceph) -> User:
    """Return a user that may make roles."""
    return ceph.user("admin", caps="roles=*;user-policy=*;oidc-provider=*")


@pytest.fixture(scope="session")
def caller(ceph: Ceph) -> User:
    """Return a user that owns nothing; roles may trust it."""
    return ceph.user("caller")
