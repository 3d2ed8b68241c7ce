"""The server enforces what the tests of rolecall against it rely on; plain boto3 only."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from seaweed import ACCOUNT, ALICE, AUDIENCE, MALLORY, Seaweed, User, role_arn

from rolecall.testing.oidc import OidcIssuer

ONCE = Config(retries={"total_max_attempts": 1})
BUCKET, KEY = "fake-bucket", "fake-object"

Keys = dict[str, Any]


@pytest.fixture
def client(seaweed: Seaweed) -> Callable[..., Any]:
    """Return a function that makes a client: of alice, of another user, or of a session."""

    def make(service: str, of: Keys | User = ALICE) -> Any:
        if isinstance(of, User):
            return seaweed.session(of).client(service, config=ONCE)
        session = seaweed.session_of(of["AccessKeyId"], of["SecretAccessKey"], of["SessionToken"])
        return session.client(service, config=ONCE)

    return make


@pytest.fixture
def assume(client: Callable[..., Any]) -> Callable[..., Keys]:
    """Return a function that assumes a role and gives its Credentials."""

    def make(name: str, of: Keys | User = ALICE, **keywords: Any) -> Keys:
        sts = client("sts", of)
        answer = sts.assume_role(RoleArn=role_arn(name), RoleSessionName="me", **keywords)
        keys: Keys = answer["Credentials"]
        return keys

    return make


@pytest.fixture
def assume_web(client: Callable[..., Any]) -> Callable[[str, str], Keys]:
    """Return a function that assumes a role with a web identity and gives its Credentials."""

    def make(name: str, token: str) -> Keys:
        answer = client("sts").assume_role_with_web_identity(
            RoleArn=role_arn(name), RoleSessionName="me", WebIdentityToken=token
        )
        keys: Keys = answer["Credentials"]
        return keys

    return make


def code(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> str | None:
    """Return the code with which *call* is refused; None: the refusal has none."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **keywords)
    found: str | None = caught.value.response.get("Error", {}).get("Code")
    return found


def test_sessions_die_within_seconds_though_hours_were_asked_for(
    seaweed: Seaweed,
    client: Callable[..., Any],
    assume: Callable[..., Keys],
    assume_web: Callable[..., Keys],
    web_token: str,
) -> None:
    keys = assume("Hub", DurationSeconds=43200)
    s3, sts = client("s3", keys), client("sts", keys)
    web = assume_web("Pod", web_token)
    web_s3 = client("s3", web)
    s3.get_object(Bucket=BUCKET, Key=KEY)
    web_s3.get_object(Bucket=BUCKET, Key=KEY)

    seaweed.let_expire(max(keys["Expiration"], web["Expiration"]))

    assert code(s3.get_object, Bucket=BUCKET, Key=KEY) == "InvalidAccessKeyId"
    assert code(web_s3.get_object, Bucket=BUCKET, Key=KEY) == "InvalidAccessKeyId"
    # AWS says ExpiredToken in all three; this STS sends an error without an Error.
    assert code(sts.assume_role, RoleArn=role_arn("Spoke"), RoleSessionName="me") is None


def test_the_keys_of_a_session_do_not_work_without_its_token(
    seaweed: Seaweed, assume: Callable[..., Keys]
) -> None:
    keys = assume("Hub")

    s3 = seaweed.session_of(keys["AccessKeyId"], keys["SecretAccessKey"], None).client(
        "s3", config=ONCE
    )

    assert code(s3.list_objects_v2, Bucket=BUCKET) == "InvalidAccessKeyId"


def test_a_wrong_secret_is_refused(seaweed: Seaweed) -> None:
    s3 = seaweed.session_of(ALICE.access_key, "fake-secret-of-nobody", None).client(
        "s3", config=ONCE
    )

    assert code(s3.list_objects_v2, Bucket=BUCKET) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("user", "role"),
    [(MALLORY, "Hub"), (ALICE, "Spoke"), (ALICE, "Rim"), (ALICE, "Pod"), (ALICE, "NoSuchRole")],
)
def test_a_role_refuses_whom_it_does_not_trust(
    assume: Callable[..., Keys], user: User, role: str
) -> None:
    assert code(assume, role, user) == "AccessDenied"


def test_a_chain_of_three_roles_can_be_walked_but_not_short_cut(
    client: Callable[..., Any], assume: Callable[..., Keys]
) -> None:
    hub = assume("Hub")
    spoke = assume("Spoke", hub)
    rim = assume("Rim", spoke)

    identity = client("sts", rim).get_caller_identity()

    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/Rim/me"
    assert client("s3", rim).get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"hello"
    assert code(assume, "Rim", hub) == "AccessDenied"
    assert code(assume, "Spoke", assume("Open", MALLORY)) == "AccessDenied"


def test_a_role_may_do_only_what_its_policies_allow(
    client: Callable[..., Any], assume: Callable[..., Keys]
) -> None:
    s3 = client("s3", assume("Nothing"))

    assert code(s3.list_objects_v2, Bucket=BUCKET) == "AccessDenied"


def test_a_session_policy_takes_rights_away(
    client: Callable[..., Any], assume: Callable[..., Keys]
) -> None:
    read = {
        "Effect": "Allow",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{BUCKET}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [read]})
    s3 = client("s3", assume("Hub", Policy=policy))

    s3.get_object(Bucket=BUCKET, Key=KEY)

    assert code(s3.put_object, Bucket=BUCKET, Key="other", Body=b"") == "AccessDenied"


def test_a_web_identity_may_use_the_role(
    client: Callable[..., Any], assume_web: Callable[..., Keys], web_token: str
) -> None:
    keys = assume_web("Pod", web_token)

    read = client("s3", keys).get_object(Bucket=BUCKET, Key=KEY)

    assert read["Body"].read() == b"hello"


def test_the_subject_of_a_web_identity_decides(
    issuer: OidcIssuer, assume_web: Callable[..., Keys]
) -> None:
    assume_web("AlicesPod", issuer.mint(subject="alice", audience=AUDIENCE))

    bob = issuer.mint(subject="bob", audience=AUDIENCE)
    assert code(assume_web, "AlicesPod", bob) == "AccessDenied"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"audience": "another-audience"}, "InvalidParameterValue"),
        ({"expires_in": timedelta(minutes=-1)}, "ExpiredTokenException"),
        ({"iss": "https://other.example.com"}, "AccessDenied"),
    ],
    ids=["audience", "expired", "issuer"],
)
def test_a_web_identity_with_a_wrong_claim_is_refused(
    issuer: OidcIssuer,
    assume_web: Callable[..., Keys],
    claims: dict[str, Any],
    expected: str,
) -> None:
    token = issuer.mint(**{"subject": "alice", "audience": AUDIENCE, **claims})

    assert code(assume_web, "Pod", token) == expected


def test_a_web_identity_whose_claims_were_changed_is_refused(
    issuer: OidcIssuer, assume_web: Callable[..., Keys]
) -> None:
    header, payload, signature = issuer.mint(subject="bob", audience=AUDIENCE).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "alice"}).encode())

    token = f"{header}.{forged.rstrip(b'=').decode()}.{signature}"

    assert code(assume_web, "AlicesPod", token) == "InvalidParameterValue"


def test_the_server_follows_a_rotation_of_the_issuers_key(
    issuer: OidcIssuer, assume_web: Callable[..., Keys], web_token: str
) -> None:
    assume_web("Pod", web_token)

    issuer.rotate()

    assume_web("Pod", issuer.mint(subject="alice", audience=AUDIENCE))
    assert issuer.requests.count("/jwks") >= 2


def test_web_identities_cannot_assume_roles_that_trust_users(
    assume_web: Callable[..., Keys], web_token: str
) -> None:
    assert code(assume_web, "Hub", web_token) == "AccessDenied"


def test_a_server_can_be_stopped_and_leaves_its_port(tmp_path: Any, issuer: OidcIssuer) -> None:
    server = Seaweed(tmp_path, issuer, timedelta(seconds=2))
    server.start()
    sts = server.session().client("sts", config=ONCE)
    sts.get_caller_identity()

    server.stop()

    with pytest.raises(Exception, match="Could not connect to the endpoint"):
        sts.get_caller_identity()
