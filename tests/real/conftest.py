"""The real server that the tests of this folder share: SeaweedFS, from PyPI."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from seaweed import AUDIENCE, Seaweed

from rolecall.testing.oidc import OidcIssuer

# Long enough for a few requests on a busy machine, short enough to be waited for.
LIFETIME = timedelta(seconds=4)


@pytest.fixture(scope="session")
def issuer() -> Iterator[OidcIssuer]:
    """The issuer of the web identities that `seaweed` accepts."""
    with OidcIssuer() as running:
        yield running


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory, issuer: OidcIssuer) -> Iterator[Seaweed]:
    """A server whose sessions live four seconds, with ``fake-object`` in ``fake-bucket``."""
    server = Seaweed(tmp_path_factory.mktemp("weed"), issuer, LIFETIME)
    server.start()
    try:
        s3 = server.session().client("s3")
        s3.create_bucket(Bucket="fake-bucket")
        # The first object takes seconds, since volumes are made for it: not in a test.
        s3.put_object(Bucket="fake-bucket", Key="fake-object", Body=b"hello")
        yield server
    finally:
        server.stop()


@pytest.fixture
def web_token(issuer: OidcIssuer) -> str:
    """A web identity token that the server accepts; its subject is alice."""
    return issuer.mint(subject="alice", audience=AUDIENCE)
