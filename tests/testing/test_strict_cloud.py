"""StrictCloud accepts what AWS accepts, and refuses the rest with AWS's own codes."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rolecall.testing.clock import FakeClock
from rolecall.testing.cloud import StrictCloud

HUB, SPOKE = "123456789012", "210987654321"
ONCE = Config(retries={"total_max_attempts": 1})
# botocore would refuse the arguments before the cloud sees them.
UNCHECKED = Config(parameter_validation=False)

#: service, operation, then the code and status for expired, unknown and wrongly signed.
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
    ("cloudwatch", "list_metrics", "ExpiredTokenException", 400),
]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cloud(clock: FakeClock) -> Iterator[StrictCloud]:
    with StrictCloud(lifetime=timedelta(seconds=5), clock=clock) as running:
        yield running


def assume(cloud: StrictCloud, arn: str | None = None, **keywords: Any) -> dict[str, Any]:
    """Return the Credentials of a new session of a user."""
    sts = cloud.session().client("sts", config=ONCE)
    answer = sts.assume_role(
        RoleArn=arn or cloud.role("Reader"), RoleSessionName="me", **keywords
    )
    found: dict[str, Any] = answer["Credentials"]
    return found


def client(cloud: StrictCloud, service: str, keys: dict[str, Any] | None = None, **more: Any) -> Any:
    """Return a client of a user, or of the session that *keys* belong to."""
    if keys is None:
        return cloud.session().client(service, config=more.get("config", ONCE))
    return boto3.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys.get("SessionToken"), "us-east-1"
    ).client(service, endpoint_url=cloud.url, config=more.get("config", ONCE))


def refusal(call: Any, **keywords: Any) -> tuple[str, int]:
    """Return code and status with which *call* is refused."""
    with pytest.raises(ClientError) as caught:
        call(**keywords)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


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
    [("sts", "get_caller_identity", "InvalidClientTokenId"), ("s3", "list_buckets", "InvalidToken")],
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
def test_a_body_that_was_changed_after_signing_is_refused(
    cloud: StrictCloud, service: str
) -> None:
    def change(request: Any, **_: Any) -> None:
        body = request.body.read() if hasattr(request.body, "read") else request.body
        request.body = bytes(body)[:-1] + b"X"

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
    assert read["Metadata"] == {"a_b": "1", "c-d": "2"}


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


# Identity and state


def test_a_user_is_who_the_session_says(cloud: StrictCloud) -> None:
    identity = cloud.session(user="alice", account=SPOKE).client("sts").get_caller_identity()

    assert identity["Arn"] == f"arn:aws:iam::{SPOKE}:user/alice"
    assert identity["Account"] == SPOKE


def test_a_role_session_has_the_roles_identity(cloud: StrictCloud) -> None:
    arn = cloud.role("Deployer", account=SPOKE, path="/teams/")

    identity = client(cloud, "sts", assume(cloud, arn)).get_caller_identity()

    role = client(cloud, "iam", assume(cloud, arn)).get_role(RoleName="Deployer")["Role"]
    assert arn == role["Arn"] == f"arn:aws:iam::{SPOKE}:role/teams/Deployer"
    assert identity["Arn"] == f"arn:aws:sts::{SPOKE}:assumed-role/Deployer/me"
    assert identity["UserId"] == f"{role['RoleId']}:me"


def test_a_role_of_another_partition_keeps_its_partition(cloud: StrictCloud) -> None:
    keys = assume(cloud, "arn:aws-cn:iam::210987654321:role/Reader")

    identity = client(cloud, "sts", keys).get_caller_identity()

    assert identity["Arn"] == "arn:aws-cn:sts::210987654321:assumed-role/Reader/me"


def test_each_account_has_its_own_state(cloud: StrictCloud) -> None:
    spoke = client(cloud, "sqs", assume(cloud, cloud.role("Deployer", account=SPOKE)))

    url = spoke.create_queue(QueueName="fake-queue")["QueueUrl"]

    assert SPOKE in url
    assert [url] == spoke.list_queues()["QueueUrls"]
    assert "QueueUrls" not in client(cloud, "sqs").list_queues()


def test_a_client_cannot_choose_the_account_that_answers(cloud: StrictCloud) -> None:
    def spoof(request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = SPOKE

    sqs = client(cloud, "sqs")
    sqs.meta.events.register("before-sign", spoof)

    assert HUB in sqs.create_queue(QueueName="fake-queue")["QueueUrl"]


def test_keys_made_through_iam_work_until_they_are_deactivated(cloud: StrictCloud) -> None:
    iam = client(cloud, "iam")
    iam.create_user(UserName="carol")
    keys = iam.create_access_key(UserName="carol")["AccessKey"]
    carol = client(cloud, "sts", keys)

    assert carol.get_caller_identity()["Arn"].endswith(":user/carol")
    iam.update_access_key(UserName="carol", AccessKeyId=keys["AccessKeyId"], Status="Inactive")
    assert refusal(carol.get_caller_identity) == ("InvalidClientTokenId", 403)


def test_creating_a_role_again_changes_it(cloud: StrictCloud) -> None:
    first = cloud.role("Reader")

    again = cloud.role("Reader", max_duration=timedelta(hours=1))

    assert first == again
    sts = client(cloud, "sts")
    assert refusal(
        sts.assume_role, RoleArn=again, RoleSessionName="me", DurationSeconds=3601
    ) == ("ValidationError", 400)


# What happened


def test_calls_are_counted_by_operation_and_service(cloud: StrictCloud) -> None:
    keys = assume(cloud)
    client(cloud, "s3", keys).list_buckets()
    refusal(client(cloud, "s3").delete_bucket, Bucket="no-such-bucket")

    assert cloud.calls("AssumeRole") == cloud.calls("sts:AssumeRole") == 1
    assert cloud.calls("s3:AssumeRole") == 0
    assert cloud.calls() == 3
    assert [(call.service, call.operation, call.status, call.code) for call in cloud.log] == [
        ("sts", "AssumeRole", 200, None),
        ("s3", "ListBuckets", 200, None),
        ("s3", "DeleteBucket", 404, "NoSuchBucket"),
    ]
    assert (cloud.log[1].access_key, cloud.log[1].account) == (keys["AccessKeyId"], HUB)


def test_calls_of_many_threads_are_all_counted(cloud: StrictCloud) -> None:
    sts = client(cloud, "sts", config=Config(max_pool_connections=16))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: sts.get_caller_identity(), range(200)))

    assert cloud.calls("GetCallerIdentity") == len(cloud.log) == 200


def test_neither_values_nor_logs_show_a_secret(
    cloud: StrictCloud, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="rolecall")
    keys = assume(cloud)
    clock.tick(seconds=5)
    refusal(client(cloud, "sts", keys).get_caller_identity)
    cloud.reset_connections("*")
    with pytest.raises(Exception, match="Connection was closed"):
        client(cloud, "s3", keys).list_buckets()

    shown = f"{cloud!r} {cloud.log!r} {caplog.text} {cloud.credentials()!r}"

    assert keys["AccessKeyId"] in shown
    assert not re.search("fake-(secret|token)-", shown)


# Starting, stopping, and what surrounds it


def test_only_one_cloud_at_a_time_may_hold_motos_state(cloud: StrictCloud) -> None:
    with pytest.raises(RuntimeError, match="another StrictCloud is running in this process"):
        StrictCloud().start()

    client(cloud, "sts").get_caller_identity()


def test_a_cloud_starts_without_the_state_of_the_one_before() -> None:
    with StrictCloud() as first:
        client(first, "s3").create_bucket(Bucket="fake-bucket")
        old = first.credentials()
        assert client(first, "s3").list_buckets()["Buckets"]

    with StrictCloud() as second:
        assert client(second, "s3").list_buckets()["Buckets"] == []
        keys = {"AccessKeyId": old.access_key, "SecretAccessKey": old.secret_key}
        assert refusal(client(second, "sts", keys).get_caller_identity)[0] == "InvalidClientTokenId"


def test_stopping_leaves_no_thread_and_waits_for_no_idle_client() -> None:
    before = set(threading.enumerate())
    with StrictCloud() as cloud:
        idle = http.client.HTTPConnection("127.0.0.1", int(cloud.url.rpartition(":")[2]))
        idle.request("GET", "/")
        idle.getresponse().read()
        assert len(threading.enumerate()) > len(before)

    assert set(threading.enumerate()) == before
    idle.close()


def test_connections_are_kept_alive(cloud: StrictCloud) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(cloud.url.rpartition(":")[2]))
    connection.connect()
    socket = connection.sock

    for _ in range(3):
        connection.request("GET", "/")
        connection.getresponse().read()

    assert connection.sock is socket
    connection.close()


def test_a_cloud_that_is_not_running_says_so() -> None:
    cloud = StrictCloud()

    with pytest.raises(RuntimeError, match="use it in a with block"):
        cloud.session()
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = cloud.url
    cloud.stop()


def test_a_lifetime_must_be_positive() -> None:
    with pytest.raises(ValueError, match="lifetime must be positive, got 0:00:00"):
        StrictCloud(lifetime=timedelta(0))


def test_motos_own_account_variable_is_set_aside_and_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999999999999")

    with StrictCloud() as cloud:
        url = client(cloud, "sqs").create_queue(QueueName="fake-queue")["QueueUrl"]

    assert HUB in url
    assert os.environ["MOTO_ACCOUNT_ID"] == "999999999999"


@pytest.mark.parametrize("library", ["moto.server", "cheroot.wsgi"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ImportError, match=r"pip install 'rolecall\[testing\]'"):
        StrictCloud()


def test_importing_it_loads_neither_moto_nor_boto3() -> None:
    program = (
        "import sys; from rolecall.testing import StrictCloud; "
        "print([name for name in ('moto', 'boto3', 'botocore', 'cheroot') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"


def test_its_environment_makes_another_program_a_user_of_it(cloud: StrictCloud) -> None:
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "AWS_SESSION_TOKEN": "fake-token-of-a-developer", **cloud.environ()},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.strip() == f"arn:aws:iam::{HUB}:user/fake-user"


def test_a_program_that_forgets_to_stop_it_can_still_end() -> None:
    program = "from rolecall.testing import StrictCloud; StrictCloud().start()"

    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
