"""obstore, which is Rust's object_store: put, read and list objects, with one store.

Rust knows no ``credential_process``: told ``boto3``, obstore has its credentials of that.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store
from pace import BUCKET, URL, again_and_again

# How long it holds what boto3 gave it, since boto3 does not tell it how long that is good for.
TTL = timedelta(seconds=1)

store = S3Store(
    BUCKET,
    endpoint=URL,
    virtual_hosted_style_request=False,
    client_options={"allow_http": True},
    retry_config={"max_retries": 0},
    credential_provider=Boto3CredentialProvider(ttl=TTL) if "boto3" in sys.argv else None,
)


def put_read_and_list() -> None:
    store.put("fake-object", b"hello")
    assert bytes(store.get("fake-object").bytes()) == b"hello"
    assert [one["path"] for one in store.list().collect()] == ["fake-object"]


again_and_again(put_read_and_list)
