"""The cluster enforces what the tests beside this one rely on: seen with plain boto3."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cluster import Ceph, User

ALL_OF_S3 = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}],
}
A_LIFE_SECONDS = 2


def assumed(ceph: Ceph, user: User, arn: str, **arguments: Any) -> tuple[boto3.Session, datetime]:
    sts = ceph.client(ceph.session(user), "sts")
    keys = sts.assume_role(RoleArn=arn, RoleSessionName="rig", **arguments)["Credentials"]
    session = ceph.session_of(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    return session, keys["Expiration"]


def test_a_role_lets_in_whom_it_trusts(ceph: Ceph, admin: User, caller: User) -> None:
    arn = ceph.role(admin, "Trusting", trusts=caller.arn, policy=ALL_OF_S3)

    session, _ = assumed(ceph, caller, arn)

    ceph.client(session, "s3").list_buckets()


def test_a_role_keeps_out_whom_it_does_not_trust(ceph: Ceph, admin: User, caller: User) -> None:
    arn = ceph.role(admin, "Distrusting", trusts=admin.arn, policy=ALL_OF_S3)

    with pytest.raises(ClientError) as refused:
        assumed(ceph, caller, arn)

    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_credentials_end_after_their_two_seconds(ceph: Ceph, admin: User, caller: User) -> None:
    arn = ceph.role(admin, "Fleeting", trusts=caller.arn, policy=ALL_OF_S3)
    session, expiration = assumed(ceph, caller, arn, DurationSeconds=A_LIFE_SECONDS)
    s3 = ceph.client(session, "s3")
    s3.list_buckets()

    ceph.let_expire(expiration)

    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_buckets()
