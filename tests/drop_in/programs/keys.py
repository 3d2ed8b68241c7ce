"""A wrapper that hands the keys of a role to other programs, and looks at their expiry."""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import boto3

import rolecall as aws_assume_role_lib

session = aws_assume_role_lib.assume_role(
    boto3.Session(),
    "arn:aws:iam::210987654321:role/Reader",
    RoleSessionName="wrapper",
    DurationSeconds=timedelta(hours=2),
    PolicyArns=["arn:aws:iam::aws:policy/ReadOnlyAccess"],
    Policy={"Version": "2012-10-17", "Statement": []},
)
credentials = session.get_credentials()
frozen = credentials.get_frozen_credentials()
left = credentials._expiry_time - datetime.now(timezone.utc)

program = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
environ = dict(
    os.environ,
    AWS_ACCESS_KEY_ID=frozen.access_key,
    AWS_SECRET_ACCESS_KEY=frozen.secret_key,
    AWS_SESSION_TOKEN=frozen.token,
)
done = subprocess.run(
    [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
)
print(
    json.dumps(
        {
            "method": credentials.method,
            "half hours left": round(left / timedelta(minutes=30)),
            "refresh needed": credentials.refresh_needed(),
            "who": done.stdout.strip(),
        }
    )
)
