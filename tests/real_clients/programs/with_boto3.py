"""boto3: put, read and list objects, with one client."""

from __future__ import annotations

import boto3
from botocore.config import Config
from pace import BUCKET, again_and_again

# No retries: one would hide a call that was refused.
s3 = boto3.client("s3", config=Config(retries={"total_max_attempts": 1}))


def put_read_and_list() -> None:
    s3.put_object(Bucket=BUCKET, Key="fake-object", Body=b"hello")
    assert s3.get_object(Bucket=BUCKET, Key="fake-object")["Body"].read() == b"hello"
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1


again_and_again(put_read_and_list)
