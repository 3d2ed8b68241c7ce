"""A script that adds assume_role to boto3 itself."""

import json

import boto3

import rolecall as aws_assume_role_lib

aws_assume_role_lib.patch_boto3()

ARN = "arn:aws:iam::210987654321:role/Reader"

default = boto3.assume_role(ARN, RoleSessionName="from-default")
session = boto3.Session(region_name="eu-west-1")
child = session.assume_role(RoleArn=ARN, RoleSessionName="from-session")

print(
    json.dumps(
        {
            "default": default.client("sts").get_caller_identity()["Arn"],
            "child": child.client("sts").get_caller_identity()["Arn"],
            "region": child.region_name,
            "parent": child.assume_role_parent_session is session,
            "buckets": child.client("s3").list_buckets()["Buckets"],
        }
    )
)
