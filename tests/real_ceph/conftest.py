"""One cluster for all tests of this folder, with two accounts and some users."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import ACCOUNT, BODY, BUCKET, KEY, OTHER_ACCOUNT, Ceph, User


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
    """Return a user without an account that may make roles."""
    return ceph.user("admin", caps="roles=*;user-policy=*;oidc-provider=*")


@pytest.fixture(scope="session")
def caller(ceph: Ceph) -> User:
    """Return a user without an account that owns nothing; roles may trust it."""
    return ceph.user("caller")


@pytest.fixture(scope="session")
def keeper(ceph: Ceph) -> User:
    """Return a user that makes the roles of `ACCOUNT`."""
    return ceph.user("keeper", account=ACCOUNT, caps="roles=*;user-policy=*")


@pytest.fixture(scope="session")
def alice(ceph: Ceph) -> User:
    """Return a user of `ACCOUNT` with a bucket and an object in it.

    This gateway's role sessions keep the buckets of whoever assumes the role; what they may do
    with them is up to the role.
    """
    user = ceph.user("alice", account=ACCOUNT)
    s3 = ceph.session(user).client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=BODY)
    return user


@pytest.fixture(scope="session")
def mallory(ceph: Ceph) -> User:
    """Return a user of `ACCOUNT` whom no role trusts."""
    return ceph.user("mallory", account=ACCOUNT)


@pytest.fixture(scope="session")
def stranger(ceph: Ceph) -> User:
    """Return a user of `OTHER_ACCOUNT`."""
    return ceph.user("stranger", account=OTHER_ACCOUNT)
