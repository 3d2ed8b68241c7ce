"""StrictCloud accepts what AWS accepts, and refuses the rest with AWS's own codes."""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from cloud_calls import HUB, assume, client, refusal

from rolecall.testing.clock import FakeClock
from rolecall.testing.cloud import StrictCloud

#: service, operation, the code and status of an expired session.
SERVICES = [
    ("sts", "get_caller_identity", "ExpiredToken", 403),
    ("sns", "list_topics", "ExpiredToken", 403),
    ("iam", "list_roles", "ExpiredToken", 403),
    ("s3", "list_buckets", "ExpiredToken", 400),
    ("route53", "list_hosted_zones", "ExpiredToken", 403),
    ("ec2", "describe_key_pairs", "RequestExpired", 400),
    ("dynamodb", "list_tables", "ExpiredTokenException", 400),
    ("sqs", "list_queues", "ExpiredTokenException", 400),
    ("lambda", "list_functions", "ExpiredTokenException", 403),
    ("logs", "describe_log_groups", "ExpiredTokenException", 400),
]


# Expiry


@pytest.mark.parametrize(("service", "operation", "code", "status"), SERVICES)
def test_a_session_works_until_the_instant_it_expires(
    cloud: StrictCloud, clock: FakeClock, service: str, operation: str, code: str, status: int
) -> None:
    call = getattr(client(cloud, service, assume(cloud)), operation)

    clock.tick(seconds=4.998)
    call()
    clock.tick(seconds=0.002)

    assert refusal(call) == (code, status)


def test_a_head_request_with_an_expired_session_gets_a_status_and_no_code(
    cloud: StrictCloud, clock: FakeClock
) -> None:
    client(cloud, "s3").create_bucket(Bucket="fake-bucket")
    s3 = client(cloud, "s3", assume(cloud))
    s3.head_bucket(Bucket="fake-bucket")

    clock.tick(seconds=5)

    assert refusal(s3.head_bucket, Bucket="fake-bucket") == ("400", 400)


def test_the_expiration_tells_the_capped_life(cloud: StrictCloud, clock: FakeClock) -> None:
    keys = assume(cloud, DurationSeconds=900)

    assert clock.now + timedelta(seconds=5) == keys["Expiration"]


@pytest.mark.parametrize(("asked", "lives"), [({}, 3600), ({"DurationSeconds": 900}, 900)])
def test_without_a_cap_a_session_lives_as_long_as_it_asked(
    cloud: StrictCloud, clock: FakeClock, asked: dict[str, int], lives: int
) -> None:
    cloud.lifetime = None
    keys = assume(cloud, **asked)
    sts = client(cloud, "sts", keys)

    clock.tick(seconds=lives - 1)
    sts.get_caller_identity()
    clock.tick(seconds=1)

    assert refusal(sts.get_caller_identity) == ("ExpiredToken", 403)


def test_long_term_keys_do_not_expire(cloud: StrictCloud, clock: FakeClock) -> None:
    clock.tick(days=3650)

    client(cloud, "sts").get_caller_identity()


def test_setting_the_wall_clock_moves_neither_aws_nor_its_sessions(
    cloud: StrictCloud, clock: FakeClock
) -> None:
    sts = client(cloud, "sts", assume(cloud))

    clock.jump(hours=5)
    sts.get_caller_identity()
    clock.jump(hours=-10)
    clock.tick(seconds=5)

    assert refusal(sts.get_caller_identity) == ("ExpiredToken", 403)


def test_a_revoked_key_is_rejected_as_expired(cloud: StrictCloud) -> None:
    revoked, other = assume(cloud), assume(cloud)

    cloud.revoke(revoked["AccessKeyId"])

    assert refusal(client(cloud, "sqs", revoked).list_queues) == ("ExpiredTokenException", 400)
    client(cloud, "sqs", other).list_queues()


def test_skew_is_seen_in_the_date_and_the_expiration_and_changes_no_life(
    cloud: StrictCloud, clock: FakeClock
) -> None:
    cloud.skew = timedelta(minutes=61)

    sts = client(cloud, "sts")
    answer = sts.assume_role(RoleArn=cloud.role("Reader"), RoleSessionName="me")
    keys = answer["Credentials"]

    assert answer["ResponseMetadata"]["HTTPHeaders"]["date"] == "Tue, 01 Jan 2030 01:01:00 GMT"
    assert clock.now + timedelta(minutes=61, seconds=5) == keys["Expiration"]
    clock.tick(seconds=4)
    client(cloud, "sts", keys).get_caller_identity()
    clock.tick(seconds=1)
    assert refusal(client(cloud, "sts", keys).get_caller_identity) == ("ExpiredToken", 403)


# Who may call at all


@pytest.mark.parametrize(
    ("service", "operation", "code", "status"),
    [
        ("sts", "get_caller_identity", "InvalidClientTokenId", 403),
        ("s3", "list_buckets", "InvalidAccessKeyId", 403),
        ("ec2", "describe_key_pairs", "AuthFailure", 401),
        ("dynamodb", "list_tables", "UnrecognizedClientException", 400),
        ("lambda", "list_functions", "UnrecognizedClientException", 403),
    ],
)
def test_an_unknown_key_is_refused(
    cloud: StrictCloud, service: str, operation: str, code: str, status: int
) -> None:
    stranger = {"AccessKeyId": "AKIAFAKESTRANGER0000", "SecretAccessKey": "fake-secret-stranger"}

    call = getattr(client(cloud, service, stranger), operation)

    assert refusal(call) == (code, status)


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidToken"),
    ],
)
def test_another_sessions_token_is_refused(
    cloud: StrictCloud, service: str, operation: str, code: str
) -> None:
    mixed = {**assume(cloud), "SessionToken": assume(cloud)["SessionToken"]}

    assert refusal(getattr(client(cloud, service, mixed), operation))[0] == code


def test_temporary_keys_without_their_token_are_unknown(cloud: StrictCloud) -> None:
    keys = {**assume(cloud), "SessionToken": None}

    assert refusal(client(cloud, "s3", keys).list_buckets) == ("InvalidAccessKeyId", 403)


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
        ("s3", "list_buckets", "SignatureDoesNotMatch"),
        ("dynamodb", "list_tables", "InvalidSignatureException"),
    ],
)
def test_a_signature_made_with_another_secret_is_refused(
    cloud: StrictCloud, service: str, operation: str, code: str
) -> None:
    keys = {**assume(cloud), "SecretAccessKey": "fake-secret-of-somebody-else"}

    assert refusal(getattr(client(cloud, service, keys), operation))[0] == code


@pytest.mark.parametrize("service", ["sts", "s3"])
def test_a_body_that_was_changed_after_signing_is_refused(cloud: StrictCloud, service: str) -> None:
    def change(request: Any, **_: Any) -> None:
        body = request.body.read() if hasattr(request.body, "read") else request.body.encode()
        request.body = body[:-1] + b"X"

    changed = client(cloud, service)
    if service == "s3":
        changed.create_bucket(Bucket="fake-bucket")
    changed.meta.events.register("before-send", change)
    call = {
        "sts": lambda: changed.assume_role(RoleArn=cloud.role("A"), RoleSessionName="me"),
        "s3": lambda: changed.put_object(Bucket="fake-bucket", Key="key", Body=b"body"),
    }[service]

    assert refusal(call) == ("SignatureDoesNotMatch", 403)


def test_a_request_without_a_signature_is_refused(cloud: StrictCloud) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{cloud.url}/fake-bucket", timeout=10)

    caught.value.close()
    assert caught.value.code == 403


@pytest.mark.parametrize("key", ["a b/ü%2F+c*~.txt", "x//y/", "a=b&c?d", "./dots/../e"])
def test_signatures_are_checked_for_any_object_name(cloud: StrictCloud, key: str) -> None:
    s3 = client(cloud, "s3", assume(cloud))
    s3.create_bucket(Bucket="fake-bucket")

    s3.put_object(Bucket="fake-bucket", Key=key, Body=b"hello", Metadata={"a_b": "1", "c-d": "2"})
    read = s3.get_object(Bucket="fake-bucket", Key=key)

    assert read["Body"].read() == b"hello"
    # moto before 5.2.5 calls the first a-b.
    assert sorted(read["Metadata"].values()) == ["1", "2"]


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_url_dies_with_the_session_that_made_it(
    cloud: StrictCloud, clock: FakeClock, version: str
) -> None:
    s3 = client(cloud, "s3", assume(cloud), config=Config(signature_version=version))
    client(cloud, "s3").create_bucket(Bucket="fake-bucket")
    client(cloud, "s3").put_object(Bucket="fake-bucket", Key="key", Body=b"hello")
    url = s3.generate_presigned_url(
        "get_object", Params={"Bucket": "fake-bucket", "Key": "key"}, ExpiresIn=3600
    )

    assert fetch(url) == (200, b"hello")
    assert fetch(url.replace("/key?", "/other?"))[0] == 403
    clock.tick(seconds=5)
    status, body = fetch(url)
    assert (status, b"<Code>ExpiredToken</Code>" in body) == (400, True)


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_url_is_good_no_longer_than_its_signer_said(
    cloud: StrictCloud, version: str
) -> None:
    s3 = client(cloud, "s3", config=Config(signature_version=version))

    url = s3.generate_presigned_url("list_buckets", ExpiresIn=-60)

    assert fetch(url)[0] == 403


def test_a_presigned_identity_request_is_answered(cloud: StrictCloud) -> None:
    """This is how EKS and Vault let a caller prove who it is."""
    sts = client(cloud, "sts", assume(cloud))

    status, body = fetch(sts.generate_presigned_url("get_caller_identity", HttpMethod="GET"))

    assert status == 200
    assert f"arn:aws:sts::{HUB}:assumed-role/Reader/me".encode() in body


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


# Threads


def test_making_a_session_writes_no_file_that_another_thread_may_be_reading(
    cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise AssertionError(f"{path.name} was written again")

    monkeypatch.setattr(Path, "write_text", refuse)

    client(cloud, "sts").get_caller_identity()
