"""A service whose threads share one role session."""

import json
from concurrent.futures import ThreadPoolExecutor

import boto3

import rolecall as aws_assume_role_lib

session = aws_assume_role_lib.assume_role(
    boto3.Session(),
    "arn:aws:iam::210987654321:role/Reader",
    DurationSeconds=900,
)
clients = [session.client(name) for name in ("s3", "sqs", "dynamodb")]


def work(number: int) -> int:
    clients[0].list_buckets()
    clients[1].list_queues()
    return clients[2].list_tables()["ResponseMetadata"]["HTTPStatusCode"]


with ThreadPoolExecutor(8) as pool:
    print(json.dumps({"done": sum(status == 200 for status in pool.map(work, range(16)))}))
