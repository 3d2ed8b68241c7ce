"""A tool that names its sessions after the person behind them."""

import json

import boto3

import rolecall as aws_assume_role_lib
from rolecall import AUTOMATIC_ROLE_SESSION_NAME

ARN = "arn:aws:iam::210987654321:role/Reader"
session = boto3.Session()


def name(**keywords) -> str:
    child = aws_assume_role_lib.assume_role(session, ARN, **keywords)
    return child.client("sts").get_caller_identity()["Arn"].split("/")[-1]


automatic = name(RoleSessionName=AUTOMATIC_ROLE_SESSION_NAME, SourceIdentity="alice")
print(
    json.dumps(
        {
            "identity": name(SourceIdentity="alice"),
            "empty": name(SourceIdentity="alice", RoleSessionName=""),
            "both": name(SourceIdentity="alice", RoleSessionName="release"),
            "automatic is alice": automatic == "alice",
            "automatic is long": len(automatic) > 1,
        }
    )
)
