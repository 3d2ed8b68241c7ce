"""A script with the except clauses that boto3 programs have."""

import json

import boto3
from botocore.exceptions import ClientError, NoCredentialsError, ParamValidationError

import rolecall as aws_assume_role_lib

found = {}
session = boto3.Session()

refused = aws_assume_role_lib.assume_role(session, "arn:aws:iam::210987654321:role/Closed")
try:
    refused.client("s3").list_buckets()
except ClientError as error:
    found["refused"] = [error.response["Error"]["Code"], error.operation_name]

try:
    aws_assume_role_lib.assume_role(
        session, "arn:aws:iam::210987654321:role/Reader", DurationSeconds=5
    )
except ParamValidationError:
    found["invalid"] = "at the call"

unchecked = aws_assume_role_lib.assume_role(
    session, "arn:aws:iam::210987654321:role/Reader", DurationSeconds=5, validate=False
)
try:
    unchecked.client("s3").list_buckets()
except ParamValidationError:
    found["unchecked"] = "at the first use"

try:
    aws_assume_role_lib.assume_role(
        session, "arn:aws:iam::210987654321:role/Reader", PolicyArns="arn:aws:iam::aws:policy/A"
    )
except ParamValidationError:
    found["bare string"] = "at the call"

try:
    aws_assume_role_lib.assume_role(
        session, "arn:aws:iam::210987654321:role/Reader", additional_kwargs={"Wrong": 1}
    )
except ParamValidationError:
    found["unknown"] = "at the call"

nobody = boto3.Session(profile_name="nobody")
try:
    aws_assume_role_lib.assume_role(nobody, "arn:aws:iam::210987654321:role/Reader", validate=False)
except NoCredentialsError:
    found["nobody"] = "at the call"

print(json.dumps(found))
