"""polars: write and scan a Parquet file.

Rust knows no ``credential_process``: told ``boto3``, polars has its credentials of that, through
a function of ours. Its own way asks boto3 for key, secret and token one by one, which may then be
of two sessions.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import boto3
import polars
from pace import BUCKET, URL, again_and_again

PATH = f"s3://{BUCKET}/fake.parquet"
# How long it holds what boto3 gave it, since boto3 does not tell how long that is good for.
TTL_SECONDS = 1
frame = polars.DataFrame({"number": [1, 2, 3]})


def of_boto3() -> Any:
    """Return a function that returns all of one session's credentials, and when to ask again."""
    found = boto3.Session().get_credentials()

    def credentials() -> tuple[dict[str, str], int]:
        held = found.get_frozen_credentials()
        return {
            "aws_access_key_id": held.access_key,
            "aws_secret_access_key": held.secret_key,
            "aws_session_token": held.token,
        }, int(time.time()) + TTL_SECONDS

    return credentials


OPTIONS: dict[str, Any] = {
    "storage_options": {"endpoint_url": URL, "allow_http": "true", "max_retries": 0},
    "credential_provider": of_boto3() if "boto3" in sys.argv else None,
}


def write_and_scan() -> None:
    frame.write_parquet(PATH, **OPTIONS)
    assert polars.scan_parquet(PATH, **OPTIONS).collect().equals(frame)


again_and_again(write_and_scan)
