"""rolecall against a server that really enforces: trust, session policies, expiry, web identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from seaweed import ALICE, AUDIENCE, MALLORY, Seaweed, User, role_arn

import rolecall
from rolecall.refresh import Event
from rolecall.testing.oidc import OidcIssuer

BUCKET, KEY = "fake-bucket", "fake-object"
ONCE = Config(retries={"total_max_attempts": 1})
#: A request takes milliseconds, a life four seconds: so many requests are far more than enough.
MOST_REQUESTS = 60_000


@pytest.fixture
def sessions(seaweed: Seaweed) -> Callable[..., rolecall.RoleSession]:
    """Return a function that assumes roles one from the other, from a user."""

    def sessions(*roles: str, user: User = ALICE, **keywords: Any) -> rolecall.RoleSession:
        session: Any = seaweed.session(user)
        for name in roles:
            session = rolecall.assume_role(session, role_arn(name), **keywords)
        return session

    return sessions


def read(session: rolecall.RoleSession) -> bytes:
    body: bytes = session.client("s3").get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    return body


def read_through(session: rolecall.RoleSession, rotations: int, threads: int = 1) -> int:
    """Read from *threads* threads until the keys have changed so often; return the reads made."""
    s3 = session.client("s3", config=ONCE)
    credentials = session.get_credentials()
    keys: set[str] = set()

    def read_on(_: int) -> int:
        for number in range(MOST_REQUESTS):
            s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
            keys.add(credentials.access_key)
            if len(keys) > rotations:
                return number + 1
        raise AssertionError(f"{len(keys)} keys after {MOST_REQUESTS} reads")

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(read_on, range(threads)))


def test_no_read_fails_through_rotations_under_load(
    sessions: Callable[..., rolecall.RoleSession],
) -> None:
    events: list[Event] = []
    session = sessions("Hub", on_event=events.append)

    reads = read_through(session, rotations=3, threads=8)

    assert reads >= 8
    assert {event.kind for event in events} == {"refreshed"}
    assert len(events) == 4


def test_a_chain_of_three_lives_through_rotations_of_every_hop(
    sessions: Callable[..., rolecall.RoleSession],
) -> None:
    session = sessions("Hub", "Spoke", "Rim")

    read_through(session, rotations=2, threads=2)

    hubs = session.assume_role_parent_session.assume_role_parent_session
    assert hubs.chain.roles[-1].arn == role_arn("Hub")
    assert hubs.get_credentials().state != "empty"


@pytest.mark.parametrize(
    ("roles", "user"), [(("Hub",), MALLORY), (("Spoke",), ALICE), (("Hub", "Rim"), ALICE)]
)
def test_a_role_that_does_not_trust_the_caller_is_denied(
    sessions: Callable[..., rolecall.RoleSession], roles: tuple[str, ...], user: User
) -> None:
    with pytest.raises(rolecall.AccessDenied) as caught:
        read(sessions(*roles, user=user))

    assert isinstance(caught.value, ClientError)
    hop = f"hop {len(roles) - 1}: " if len(roles) > 1 else ""
    assert str(caught.value).startswith(f"{hop}{role_arn(roles[-1])}: ")
    assert "trust policy" in caught.value.hint


def test_a_session_policy_takes_rights_away(
    sessions: Callable[..., rolecall.RoleSession],
) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
        ],
    }
    session = sessions("Hub", Policy=policy)

    assert read(session) == b"hello"
    with pytest.raises(ClientError, match="AccessDenied"):
        session.client("s3").put_object(Bucket=BUCKET, Key="other", Body=b"no")


def test_a_source_that_expired_is_told(
    seaweed: Seaweed, sessions: Callable[..., rolecall.RoleSession]
) -> None:
    hub = sessions("Hub").get_credentials()
    keys = hub.get_frozen_credentials()
    frozen = seaweed.session_of(keys.access_key, keys.secret_key, keys.token)
    seaweed.let_expire(hub.expires_at)

    with pytest.raises(rolecall.FetchError) as caught:
        read(rolecall.assume_role(frozen, role_arn("Spoke")))

    # This server answers without an Error element, where AWS says ExpiredToken.
    assert role_arn("Spoke") in str(caught.value)
    assert keys.secret_key not in str(caught.value)


@pytest.fixture
def pod(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., rolecall.RoleSession]:
    """Return a function that opens a web identity session the way a pod has it."""

    def pod(token: str, role: str = "Pod") -> rolecall.RoleSession:
        file = tmp_path / "token"
        file.write_text(token + "\n")
        monkeypatch.setenv("AWS_ROLE_ARN", role_arn(role))
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
        monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        session: rolecall.RoleSession = rolecall.RoleChain(rolecall.WebIdentity()).session()
        return session

    return pod


def test_a_pod_reads_through_rotations_with_tokens_that_are_renewed(
    pod: Callable[..., rolecall.RoleSession],
    issuer: OidcIssuer,
    tmp_path: Path,
) -> None:
    session = pod(issuer.mint(subject="alice", audience=AUDIENCE), "AlicesPod")
    assert read(session) == b"hello"
    (tmp_path / "token").write_text(issuer.mint(subject="alice", audience=AUDIENCE))

    read_through(session, rotations=2, threads=2)


def other_issuers_token() -> str:
    with OidcIssuer() as other:
        return other.mint(subject="alice", audience=AUDIENCE)


@pytest.mark.parametrize(
    ("role", "claims"),
    [
        ("Pod", {"subject": "alice", "audience": "somebody-else"}),
        ("AlicesPod", {"subject": "mallory", "audience": AUDIENCE}),
        ("Pod", None),
    ],
    ids=["audience", "subject", "issuer"],
)
def test_a_token_that_is_not_for_this_role_is_refused_and_not_shown(
    pod: Callable[..., rolecall.RoleSession],
    issuer: OidcIssuer,
    role: str,
    claims: dict[str, str] | None,
) -> None:
    token = other_issuers_token() if claims is None else issuer.mint(**claims)  # type: ignore[arg-type]

    with pytest.raises(rolecall.FetchError) as caught:
        read(pod(token, role))

    assert isinstance(caught.value, ClientError)
    assert token not in json.dumps(caught.value.response, default=str) + str(caught.value)
