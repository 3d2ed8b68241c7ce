"""How often a 900 s session asks STS, whatever the request rate."""

from __future__ import annotations

import time
from typing import Any

from ..benchmark import Ask, Benchmark, Measure, Value, exactly
from ..libraries import open_role, warm_up

_ROLE = "arn:aws:iam::123456789012:role/Reader"

BENCHMARK = Benchmark(
    title="STS calls of a 900 s session",
    about="150 calls: SQS, S3 and DynamoDB take turns. botocore's refresh windows are fixed at 15 "
    "and 10 minutes, so a session of 15 minutes is refreshed at every use of its keys, which is "
    "twice for a call of DynamoDB; the peers use botocore's code. rolecall's windows scale with "
    "the lifetime.",
    measures=(
        Measure(
            key="sts",
            title="STS calls",
            unit="calls",
            target=exactly(1),
            compared=True,
        ),
        Measure(key="cpu", title="CPU of an API call", unit="ms", compared=True),
    ),
    size={"calls": 150},
    quick={"calls": 6},
)


def measure(library: str, ask: Ask, *, calls: int) -> dict[str, Value]:
    """Return how many STS calls the API calls made, and what one cost."""
    parent = warm_up(library)
    parent.client("dynamodb").create_table(
        TableName="fake-table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    session = open_role(library, parent, _ROLE, seconds=900)
    sqs, s3, dynamodb = (session.client(service) for service in ("sqs", "s3", "dynamodb"))

    def lookup() -> Any:
        return dynamodb.get_item(TableName="fake-table", Key={"id": {"S": "fake"}})

    began = time.process_time()
    for number in range(calls):
        (sqs.list_queues, s3.list_buckets, lookup)[number % 3]()
    spent = time.process_time() - began
    return {"sts": ask("sts"), "cpu": spent / calls * 1e3}
