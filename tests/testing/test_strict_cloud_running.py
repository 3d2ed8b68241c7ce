"""StrictCloud starts and stops cleanly, tells what happened, and leaks nothing."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from botocore.config import Config
from cloud_calls import HUB, assume, client, refusal

from rolecall.testing.clock import FakeClock
from rolecall.testing.cloud import StrictCloud

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
