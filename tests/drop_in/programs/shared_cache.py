"""A command that is run again and again, and keeps its role session in a folder."""

import json
import os

import boto3

import rolecall as aws_assume_role_lib

FOLDER = os.path.expanduser("~/role-sessions")


def run_once() -> str:
    cache = aws_assume_role_lib.JSONFileCache(FOLDER)
    session = aws_assume_role_lib.assume_role(
        boto3.Session(),
        "arn:aws:iam::210987654321:role/Reader",
        RoleSessionName="cached",
        cache=cache,
    )
    return session.get_credentials().get_frozen_credentials().access_key


keys = {run_once() for _ in range(3)}
files = os.listdir(FOLDER)
print(json.dumps({"keys": len(keys), "files": [name[-5:] for name in files]}))
