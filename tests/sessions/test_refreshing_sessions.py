"""Sessions over a cloud whose credentials really expire: what a program sees."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from scenes import HUB, SPOKE, Assume, settle

import rolecall
from rolecall import RefreshPolicy
from rolecall.refresh import Event
from rolecall.sessions.face import freeze
from rolecall.sources.clients import sts_client
from rolecall.sources.upstream import botocore_session
from rolecall.testing import FakeClock, StrictCloud


def test_one_sts_call_serves_150_calls_of_a_fifteen_minute_session(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """botocore makes an STS call for each of them, two for DynamoDB."""
    session = assume(DurationSeconds=900)
    s3, sqs, dynamodb = (session.client(name) for name in ("s3", "sqs", "dynamodb"))

    for _ in range(50):
        s3.list_buckets()
        sqs.list_queues()
        dynamodb.list_tables()
        fake_clock.tick(seconds=1)

    assert cloud.calls("AssumeRole") == 1


def test_a_client_lives_through_many_rotations(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = assume(DurationSeconds=900)
    s3 = session.client("s3")
    keys = set()

    for _ in range(100):
        s3.list_buckets()
        settle(session)
        keys.add(session.get_credentials().access_key)
        fake_clock.tick(minutes=5)

    assert len(keys) >= 30
    assert cloud.calls("AssumeRole") == len(keys)


def test_making_a_session_makes_no_call(assume: Assume, cloud: StrictCloud) -> None:
    assume(session=assume(), RoleArn=SPOKE)

    assert cloud.calls() == 0


def test_a_chain_is_followed_through_rotations_of_every_hop(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    hub = assume()
    spoke = assume(SPOKE, session=hub, DurationSeconds=900)
    sts = spoke.client("sts")

    for _ in range(60):
        arn = sts.get_caller_identity()["Arn"]
        assert arn.startswith("arn:aws:sts::210987654321:assumed-role/Spoke/")
        settle(spoke)
        settle(hub)
        fake_clock.tick(minutes=5)


@pytest.mark.parametrize("fault", ["refusing", "failing", "throttling", "resetting", "HTML"])
def test_no_call_fails_before_expiry_while_sts_is_ill(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock, fault: str
) -> None:
    quick = {"config": Config(retries={"total_max_attempts": 1})}
    session = assume(DurationSeconds=900, sts_client_kwargs=quick)
    sqs = session.client("sqs")
    sqs.list_queues()
    make_ill(cloud, fault)

    for _ in range(29 * 4 + 3):
        fake_clock.tick(seconds=7.5)
        sqs.list_queues()
        settle(session)

    assert 3 <= cloud.calls("AssumeRole") <= 40
    fake_clock.tick(seconds=10)
    with pytest.raises(rolecall.FetchError):
        sqs.list_queues()
    cloud.recover()
    fake_clock.tick(seconds=5)
    sqs.list_queues()


def make_ill(cloud: StrictCloud, fault: str) -> None:
    match fault:
        case "refusing":
            cloud.fail("AssumeRole", code="AccessDenied", status=403)
        case "failing":
            cloud.fail("AssumeRole", code="InternalFailure", status=500)
        case "throttling":
            cloud.fail("AssumeRole", code="Throttling", status=400)
        case "resetting":
            cloud.reset_connections("AssumeRole")
        case "HTML":
            cloud.fail("AssumeRole", body="<html>Sign in to the hotel's network</html>", status=200)
        case _:
            raise ValueError(fault)


def test_calls_go_on_while_sts_hangs(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = assume(DurationSeconds=900)
    s3 = session.client("s3")
    s3.list_buckets()
    fake_clock.tick(minutes=12)

    with cloud.hold("AssumeRole") as gate, ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: s3.list_buckets(), range(32), timeout=30))
        gate.wait_for_arrival()

        assert len(answers) == 32
    settle(session)
    assert cloud.calls("AssumeRole") == 2


def test_fifty_threads_on_expired_credentials_share_one_refusal(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = assume()
    credentials = session.get_credentials()
    credentials.get_frozen_credentials()
    fake_clock.tick(hours=2)

    with cloud.hold("AssumeRole") as gate, ThreadPoolExecutor(50) as pool:
        cloud.fail("AssumeRole", code="AccessDenied", status=403)
        reads = [pool.submit(credentials.get_frozen_credentials) for _ in range(50)]
        gate.wait_for_arrival()
        gate.open()
        errors = [read.exception(timeout=30) for read in reads]

    assert cloud.calls("AssumeRole") == 2
    assert all(isinstance(error, ClientError) for error in errors)
    assert all(isinstance(error, rolecall.AccessDenied) for error in errors)


@pytest.mark.parametrize("minutes", [-61, 61])
def test_a_clock_that_is_an_hour_off_costs_neither_calls_nor_failures(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock, minutes: int
) -> None:
    """The life of a session is reckoned from AWS's own Date header."""
    cloud.skew = timedelta(minutes=minutes)
    session = assume(DurationSeconds=900)
    s3 = session.client("s3")

    for _ in range(2 * 60 * 2 + 1):
        s3.list_buckets()
        settle(session)
        fake_clock.tick(seconds=30)

    assert cloud.calls("AssumeRole") <= 1 + timedelta(hours=2) / timedelta(minutes=10)


@pytest.mark.parametrize("minutes", [-61, 61])
def test_a_clock_that_is_set_costs_at_most_a_call(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock, minutes: int
) -> None:
    session = assume()
    s3 = session.client("s3")
    s3.list_buckets()

    fake_clock.jump(minutes=minutes)
    for _ in range(2 * 60):
        s3.list_buckets()
        settle(session)
        fake_clock.tick(seconds=30)

    assert cloud.calls("AssumeRole") <= 3


def test_a_laptop_that_slept_goes_on_at_once(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = assume()
    s3 = session.client("s3")
    s3.list_buckets()

    fake_clock.tick(hours=9)

    s3.list_buckets()
    assert cloud.calls("AssumeRole") == 2


# ── hubs ─────────────────────────────────────────────────────────────────────────────────


def test_a_hub_is_assumed_once_for_twenty_spokes_and_no_call_sees_another_account(
    cloud: StrictCloud, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    chain = rolecall.RoleChain(rolecall.Ambient(), rolecall.Role(HUB, session_name="hub"))
    accounts = [f"{number:012d}" for number in range(1, 21)]
    spokes = {
        account: (chain + f"arn:aws:iam::{account}:role/Spoke").session(clock=fake_clock)
        for account in accounts
    }
    clients = {account: session.client("sts") for account, session in spokes.items()}

    hours = 6
    for _ in range(hours * 12):
        for account, sts in clients.items():
            assert sts.get_caller_identity()["Account"] == account
        for session in spokes.values():
            settle(session)
        fake_clock.tick(minutes=5)

    into_hub = sum(
        call.operation == "AssumeRole" and call.access_key.startswith("AKIA") for call in cloud.log
    )
    lifetime, ahead = timedelta(hours=1), timedelta(minutes=20)
    assert into_hub <= 1 + timedelta(hours=hours) / (lifetime - ahead)


# ── a service rejects the key ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("service", ["s3", "sqs", "dynamodb", "sts"])
def test_a_call_whose_key_was_revoked_is_retried_once_with_a_new_one(
    assume: Assume, cloud: StrictCloud, events: list[Event], service: str
) -> None:
    session = assume()
    client = session.client(service)
    call = {
        "s3": "list_buckets",
        "sqs": "list_queues",
        "dynamodb": "list_tables",
        "sts": "get_caller_identity",
    }[service]
    getattr(client, call)()
    cloud.revoke(session.get_credentials().access_key)

    getattr(client, call)()

    assert cloud.calls("AssumeRole") == 2
    assert [event.kind for event in events] == ["refreshed", "invalidated", "refreshed"]


def test_ec2s_request_expired_is_believed_of_an_old_key_only(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = assume()
    ec2 = session.client("ec2", config=Config(retries={"total_max_attempts": 1}))
    ec2.describe_regions()
    cloud.revoke(session.get_credentials().access_key)

    with pytest.raises(ClientError, match="RequestExpired"):
        ec2.describe_regions()
    assert cloud.calls("AssumeRole") == 1

    fake_clock.tick(minutes=31)
    ec2.describe_regions()
    assert cloud.calls("AssumeRole") == 2


def test_a_revoked_hub_is_replaced_under_its_spoke(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """ExpiredToken from AssumeRole means that the source expired: it is refreshed, then retried."""
    hub = assume()
    spoke = assume(SPOKE, session=hub, DurationSeconds=900)
    spoke.client("sts").get_caller_identity()
    cloud.revoke(hub.get_credentials().access_key)
    fake_clock.tick(minutes=16)

    assert spoke.client("sts").get_caller_identity()["Account"] == "210987654321"


def test_a_role_that_is_revoked_again_and_again_does_not_storm_sts(
    assume: Assume, cloud: StrictCloud
) -> None:
    session = assume()
    cloud.fail("ListBuckets", code="ExpiredToken", status=400)
    s3 = session.client("s3", config=Config(retries={"total_max_attempts": 1}))

    for _ in range(30):
        with pytest.raises(ClientError, match="ExpiredToken"):
            s3.list_buckets()

    assert cloud.calls("AssumeRole") <= 3


def test_a_call_is_retried_once_and_no_more(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = assume()
    s3 = session.client("s3", config=Config(retries={"total_max_attempts": 1}))
    s3.meta.events.register("before-send.s3", lambda **_: fake_clock.tick(minutes=1))
    cloud.fail("ListBuckets", code="ExpiredToken", status=400)

    with pytest.raises(ClientError, match="ExpiredToken"):
        s3.list_buckets()

    assert cloud.calls("ListBuckets") == 2


def test_access_denied_never_replaces_a_key(assume: Assume, cloud: StrictCloud) -> None:
    session = assume()
    cloud.fail("ListBuckets", code="AccessDenied", status=403)

    with pytest.raises(ClientError, match="AccessDenied"):
        session.client("s3").list_buckets()
    assert cloud.calls("AssumeRole") == 1


def test_a_client_with_keys_of_its_own_is_left_alone(
    assume: Assume, cloud: StrictCloud, events: list[Event]
) -> None:
    session = assume()
    session.client("sts").get_caller_identity()
    theirs = assume("arn:aws:iam::123456789012:role/Other").get_credentials()
    keys = theirs.get_frozen_credentials()
    sts = session.client(
        "sts",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
    )
    cloud.revoke(keys.access_key)

    with pytest.raises(ClientError, match="ExpiredToken"):
        sts.get_caller_identity()
    assert "invalidated" not in [event.kind for event in events]
    assert cloud.calls("GetCallerIdentity") == 2, "it was not sent twice, either"


class OneWay(BytesIO):
    """A body that rewinds until it is on its way, as for its hash, and not after."""

    sent = False

    def seek(self, offset: int, whence: int = 0) -> int:
        if self.sent:
            raise OSError("this stream does not rewind")
        return super().seek(offset, whence)


def test_a_body_that_cannot_be_rewound_gives_the_services_own_error(
    assume: Assume, cloud: StrictCloud
) -> None:
    session = assume()
    s3 = session.client(
        "s3",
        config=Config(
            request_checksum_calculation="when_required", retries={"total_max_attempts": 1}
        ),
    )
    s3.create_bucket(Bucket="bucket")
    cloud.revoke(session.get_credentials().access_key)

    body = OneWay(b"once")
    s3.meta.events.register("before-send.s3", lambda **_: setattr(body, "sent", True))

    with pytest.raises(ClientError, match="ExpiredToken"):
        s3.put_object(Bucket="bucket", Key="key", Body=body)
    assert cloud.calls("PutObject") == 1


def test_a_body_that_rewinds_is_sent_again_whole(assume: Assume, cloud: StrictCloud) -> None:
    session = assume()
    s3 = session.client("s3")
    s3.create_bucket(Bucket="bucket")
    cloud.revoke(session.get_credentials().access_key)

    s3.put_object(Bucket="bucket", Key="key", Body=BytesIO(b"all of it"))

    assert s3.get_object(Bucket="bucket", Key="key")["Body"].read() == b"all of it"


# ── what credentials know ────────────────────────────────────────────────────────────────


def test_credentials_know_themselves(assume: Assume, fake_clock: FakeClock) -> None:
    credentials = assume(RoleSessionName="me").get_credentials()

    assert credentials.state == "empty"
    assert credentials.expires_at == fake_clock.now + timedelta(hours=1)
    assert credentials.state == "fresh"
    fake_clock.tick(minutes=45)
    assert credentials.remaining == timedelta(minutes=15)
    assert credentials.state == "stale"
    identity = credentials.whoami()
    assert str(identity) == "arn:aws:sts::123456789012:assumed-role/Hub/me"
    assert identity.account == credentials.account_id == "123456789012"
    assert credentials.method == "assume-role"


def test_ensure_valid_for_refreshes_only_where_it_must(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    credentials = assume().get_credentials()
    credentials.ensure_valid_for(minutes=30)
    fake_clock.tick(minutes=35)
    credentials.ensure_valid_for(timedelta(minutes=20))
    assert cloud.calls("AssumeRole") == 1

    credentials.ensure_valid_for(minutes=30)

    assert cloud.calls("AssumeRole") == 2
    assert credentials.remaining == timedelta(hours=1)


def test_ensure_valid_for_longer_than_a_session_lives_is_refused(assume: Assume) -> None:
    with pytest.raises(rolecall.ConfigError, match="longer DurationSeconds"):
        assume().get_credentials().ensure_valid_for(hours=2)


def test_a_presigned_url_that_outlives_its_credentials_is_warned_about(
    assume: Assume, fake_clock: FakeClock
) -> None:
    session = assume()
    s3 = session.client("s3")
    params = {"Bucket": "bucket", "Key": "key"}

    s3.generate_presigned_url("get_object", Params=params, ExpiresIn=3000)
    fake_clock.tick(minutes=30)
    with pytest.warns(UserWarning, match="valid for 0:50:00, but its credentials expire in 0:30"):
        s3.generate_presigned_url("get_object", Params=params, ExpiresIn=3000)
    with pytest.warns(UserWarning, match="1:00:00"):
        s3.generate_presigned_url("get_object", params)
    with pytest.warns(UserWarning, match="presigned"):
        s3.generate_presigned_post("bucket", "key", None, None, 3000)
    session.get_credentials().ensure_valid_for(minutes=50)
    s3.generate_presigned_url("get_object", Params=params, ExpiresIn=3000)


def test_others_may_read_and_tests_may_set_the_expiry_as_they_do_on_botocores(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    credentials = assume().get_credentials()
    assert credentials._expiry_time is None
    assert credentials.refresh_needed()
    credentials.get_frozen_credentials()

    assert credentials._expiry_time == fake_clock.now + timedelta(hours=1)
    assert credentials._seconds_remaining() == pytest.approx(3600)
    assert not credentials.refresh_needed()
    assert credentials.refresh_needed(refresh_in=3700)
    assert credentials._advisory_refresh_timeout == pytest.approx(1200, rel=0.21)
    assert credentials._mandatory_refresh_timeout == pytest.approx(60)
    credentials._expiry_time = fake_clock.now - timedelta(seconds=1)
    assert credentials._expiry_time == fake_clock.now - timedelta(seconds=1)
    assert credentials._is_expired()
    credentials.get_frozen_credentials()
    assert cloud.calls("AssumeRole") == 2


def test_all_of_one_signature_is_of_one_set(assume: Assume, fake_clock: FakeClock) -> None:
    credentials = assume().get_credentials()
    one = credentials.get_frozen_credentials()
    fake_clock.tick(hours=2)
    other = credentials.get_frozen_credentials()

    assert one is not other
    assert one.access_key != other.access_key
    assert one.token != other.token
    assert credentials.get_frozen_credentials() is other


def test_a_rotation_in_the_middle_of_a_read_mixes_no_sets(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread reads the old set and is overtaken, before it notes what it froze."""
    credentials = assume().get_credentials()
    overtaken: list[object] = []

    def freeze_slowly(held: rolecall.Credentials) -> object:
        if not overtaken:
            overtaken.append(held)
            credentials.refresh()
            credentials.get_frozen_credentials()
        return freeze(held)

    monkeypatch.setattr("rolecall.sessions.face.freeze", freeze_slowly)
    old = credentials.get_frozen_credentials()
    new = credentials.get_frozen_credentials()

    assert old.access_key == overtaken[0].access_key  # type: ignore[attr-defined]
    assert new.access_key == credentials.access_key != old.access_key
    assert new.secret_key == credentials.secret_key


def test_keys_are_set_as_a_whole_or_not_at_all(assume: Assume) -> None:
    credentials = assume().get_credentials()

    with pytest.raises(AttributeError):
        credentials.access_key = "ASIAFAKE"


# ── environment and policy ───────────────────────────────────────────────────────────────


def test_the_environment_steers_the_windows(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLECALL_AHEAD", "60")
    session = assume(refresh_policy=RefreshPolicy(ahead=timedelta(minutes=25)))
    sts = session.client("sts")
    sts.get_caller_identity()
    fake_clock.tick(minutes=58)
    sts.get_caller_identity()
    settle(session)
    assert cloud.calls("AssumeRole") == 1

    fake_clock.tick(minutes=1.5)
    sts.get_caller_identity()
    settle(session)
    assert cloud.calls("AssumeRole") == 2


def test_the_aws_sdk_policy_serves_expired_credentials(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = assume(refresh_policy=RefreshPolicy.aws_sdk())
    frozen = session.get_credentials().get_frozen_credentials()
    cloud.fail("AssumeRole", code="InternalFailure", status=500)
    fake_clock.tick(hours=2)

    assert session.get_credentials().get_frozen_credentials() == frozen


# ── sharing and forking ──────────────────────────────────────────────────────────────────


def test_one_sts_client_serves_all_children_of_a_session(
    assume: Assume, user: boto3.Session, cloud: StrictCloud
) -> None:
    for number in range(5):
        assume(f"arn:aws:iam::123456789012:role/Role{number}").get_credentials().access_key  # noqa: B018

    client = sts_client(botocore_session(user), {})
    assert sts_client(botocore_session(user), {}) is client
    assert cloud.calls("AssumeRole") == 5


def test_a_forked_child_does_not_talk_on_its_parents_connection(
    assume: Assume,
    user: boto3.Session,
    cloud: StrictCloud,
    fake_clock: FakeClock,
    fork: Callable[..., Any],
) -> None:
    session = assume()
    session.get_credentials().get_frozen_credentials()
    credentials = session.get_credentials()
    parents = sts_client(botocore_session(user))
    fake_clock.tick(hours=2)

    def talks_on_its_own() -> bool:
        fetched = bool(credentials.get_frozen_credentials().access_key)
        return fetched and sts_client(botocore_session(user)) is not parents

    child = fork(talks_on_its_own)
    credentials.get_frozen_credentials()

    assert child.said_yes()
    assert cloud.calls("AssumeRole") == 3


def test_a_child_forked_while_credentials_are_looked_up_is_not_held_up(
    assume: Assume, cloud: StrictCloud, own_home: Path, fork: Callable[..., Any]
) -> None:
    """A look-up may run a program or ask the network, and takes as long as that takes."""
    fifo = own_home / "answer"
    os.mkfifo(fifo)
    (own_home / ".aws").mkdir()
    (own_home / ".aws" / "config").write_text(
        f"[profile slow]\ncredential_process = cat {fifo}\nregion = us-east-1\n"
    )
    slow = boto3.Session(profile_name="slow")

    def look_up() -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011 - the program says nothing
            assume(session=slow)

    looker = threading.Thread(target=look_up)
    looker.start()
    writer = os.open(fifo, os.O_WRONLY)  # returns once the program reads: the lock is held
    try:
        child = fork(lambda: assume().get_credentials().access_key)

        assert child.said_yes()
        assert assume().get_credentials().access_key, "another session is not held up either"
        assert looker.is_alive()
    finally:
        os.close(writer)
        looker.join(20)


def test_sessions_share_the_loader_and_its_path_does_not_grow(
    assume: Assume, user: boto3.Session
) -> None:
    sessions = [assume() for _ in range(20)]
    loaders = {id(session._session.get_component("data_loader")) for session in sessions}
    paths = user._session.get_component("data_loader").search_paths

    assert len(loaders) == 1
    assert len(paths) == len(set(paths))
    assert "ec2" in sessions[0].get_available_resources()
