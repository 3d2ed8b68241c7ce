"""REST requests are called by the names that the API gives their operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cloud_calls import client

from rolecall.testing.cloud import StrictCloud

OBJECT = {"Bucket": "fake-bucket", "Key": "a/b c"}
PART = {"UploadId": "fake-upload", "PartNumber": 1}


@pytest.mark.parametrize(
    ("service", "call", "operation"),
    [
        ("s3", lambda s3: s3.list_buckets(), "ListBuckets"),
        ("s3", lambda s3: s3.create_bucket(Bucket="fake-bucket"), "CreateBucket"),
        ("s3", lambda s3: s3.list_objects(Bucket="fake-bucket"), "ListObjects"),
        ("s3", lambda s3: s3.list_objects_v2(Bucket="fake-bucket"), "ListObjectsV2"),
        ("s3", lambda s3: s3.get_bucket_acl(Bucket="fake-bucket"), "GetBucketAcl"),
        ("s3", lambda s3: s3.head_bucket(Bucket="fake-bucket"), "HeadBucket"),
        ("s3", lambda s3: s3.get_object(**OBJECT), "GetObject"),
        ("s3", lambda s3: s3.head_object(**OBJECT), "HeadObject"),
        ("s3", lambda s3: s3.put_object(**OBJECT), "PutObject"),
        ("s3", lambda s3: s3.copy_object(**OBJECT, CopySource="other/key"), "CopyObject"),
        ("s3", lambda s3: s3.delete_object(**OBJECT), "DeleteObject"),
        ("s3", lambda s3: s3.upload_part(**OBJECT, **PART, Body=b""), "UploadPart"),
        ("s3", lambda s3: s3.list_parts(**OBJECT, UploadId="fake"), "ListParts"),
        ("s3", lambda s3: s3.create_multipart_upload(**OBJECT), "CreateMultipartUpload"),
        ("lambda", lambda one: one.list_functions(), "ListFunctions"),
        ("lambda", lambda one: one.get_function(FunctionName="fake"), "GetFunction"),
        ("lambda", lambda one: one.invoke(FunctionName="fake"), "Invoke"),
        ("route53", lambda one: one.get_hosted_zone(Id="Z0FAKE"), "GetHostedZone"),
    ],
)
def test_an_operation_is_known_by_its_request(
    cloud: StrictCloud, service: str, call: Callable[[Any], Any], operation: str
) -> None:
    cloud.fail("*", code="FakeCode", status=400)

    with pytest.raises(Exception, match=r"FakeCode|\(400\)"):
        call(client(cloud, service))

    # botocore itself asks more of a bucket that refuses.
    assert operation == cloud.log[0].operation
