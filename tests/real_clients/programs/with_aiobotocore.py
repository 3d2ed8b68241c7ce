"""aiobotocore: put, read and list objects, with one client."""

from __future__ import annotations

import asyncio

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from pace import BUCKET, again_and_again_async


async def main() -> None:
    config = AioConfig(retries={"total_max_attempts": 1})
    async with get_session().create_client("s3", config=config) as s3:

        async def put_read_and_list() -> None:
            await s3.put_object(Bucket=BUCKET, Key="fake-object", Body=b"hello")
            got = await s3.get_object(Bucket=BUCKET, Key="fake-object")
            assert await got["Body"].read() == b"hello"
            assert (await s3.list_objects_v2(Bucket=BUCKET))["KeyCount"] == 1

        await again_and_again_async(put_read_and_list)


asyncio.run(main())
