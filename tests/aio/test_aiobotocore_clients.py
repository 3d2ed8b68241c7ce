"""aiobotocore's clients through several rotations of sessions that live four seconds."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError
from rotations import BUCKET, MOMENTS, ONCE, Rotations, rotations
from scenes import HUB, SPOKE, AioAssume, client, keys_of, run

import rolecall
from rolecall.testing import FakeClock, StrictCloud

__all__ = ["rotations"]

#: S3 takes no smaller part, but for the last one.
PART = b"p" * (5 * 1024 * 1024)

Job = Callable[[int], Awaitable[None]]


# ── jobs: one request or two at a time ───────────────────────────────────────────────────


async def s3_job(s3: Any) -> Job:
    await s3.create_bucket(Bucket=BUCKET)

    async def job(number: int) -> None:
        await s3.put_object(Bucket=BUCKET, Key=f"{number}", Body=b"%d" % number)
        answer = await s3.get_object(Bucket=BUCKET, Key=f"{number}")
        assert b"%d" % number == await answer["Body"].read()

    return job


async def dynamodb_job(dynamodb: Any) -> Job:
    await dynamodb.create_table(
        TableName="fake-table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    async def job(number: int) -> None:
        item = {"id": {"S": f"{number}"}}
        await dynamodb.put_item(TableName="fake-table", Item=item)
        assert item == (await dynamodb.get_item(TableName="fake-table", Key=item))["Item"]

    return job


async def sqs_job(sqs: Any) -> Job:
    url = (await sqs.create_queue(QueueName="fake-queue"))["QueueUrl"]

    async def job(number: int) -> None:
        await sqs.send_message(QueueUrl=url, MessageBody=f"{number}")
        received = (await sqs.receive_message(QueueUrl=url))["Messages"]
        assert [f"{number}"] == [message["Body"] for message in received]
        await sqs.delete_message(QueueUrl=url, ReceiptHandle=received[0]["ReceiptHandle"])

    return job


JOBS = {"s3": s3_job, "dynamodb": dynamodb_job, "sqs": sqs_job}


@asynccontextmanager
async def opened_s3(session: Any) -> AsyncIterator[Any]:
    """Give an S3 client of *session*, and a bucket."""
    async with client(session, "s3", config=ONCE) as s3:
        await s3.create_bucket(Bucket=BUCKET)
        yield s3


# ── one call after the other ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("service", JOBS)
def test_no_call_of_a_client_fails_through_rotations(
    service: str, aio_assume: AioAssume, rotations: Rotations
) -> None:
    async def main() -> None:
        async with client(aio_assume(), service, config=ONCE) as opened:
            job = await JOBS[service](opened)
            for number in rotations.moments():
                await job(number)

    run(main())

    rotations.check(service)


def test_clients_of_three_services_side_by_side_share_the_keys_of_each_life(
    aio_assume: AioAssume, rotations: Rotations
) -> None:
    session = aio_assume()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            jobs = []
            for service, made in JOBS.items():
                opened = await stack.enter_async_context(client(session, service, config=ONCE))
                jobs.append(await made(opened))
            for number in rotations.moments():
                await asyncio.gather(*(job(number) for job in jobs))

    run(main())

    for service in JOBS:
        rotations.check(service)


def test_eight_tasks_at_a_time_live_through_rotations(
    aio_assume: AioAssume, rotations: Rotations
) -> None:
    async def main() -> None:
        async with opened_s3(aio_assume()) as s3:
            for number in rotations.moments():
                puts = [
                    s3.put_object(Bucket=BUCKET, Key=f"{task}", Body=b"%d" % number)
                    for task in range(8)
                ]
                await asyncio.gather(*puts)

    run(main())

    rotations.check("s3")


def test_a_client_for_each_life_in_an_event_loop_of_its_own_needs_one_call_of_sts_each(
    aio_assume: AioAssume, rotations: Rotations, cloud: StrictCloud
) -> None:
    session = aio_assume()

    async def main() -> None:
        async with client(session, "sqs", config=ONCE) as sqs:
            await sqs.list_queues()

    for _ in range(4):
        run(main())
        rotations.end_a_life()

    rotations.check("sqs")
    assert cloud.calls("AssumeRole") == 4


def test_a_chain_from_its_own_aio_session_lives_through_rotations_of_both_hops(
    aio_user: AioSession, fake_clock: FakeClock, rotations: Rotations
) -> None:
    chain = rolecall.RoleChain(rolecall.GivenSession(aio_user), HUB, SPOKE)
    session = chain.aio_session(clock=fake_clock)

    async def main() -> None:
        async with opened_s3(session) as s3:
            for number in rotations.moments():
                await s3.put_object(Bucket=BUCKET, Key=f"{number}", Body=b"")

    run(main())

    rotations.check("s3", roles=2)
    assert {"210987654321"} == rotations.accounts("s3")


# ── what takes longer than a life ────────────────────────────────────────────────────────


def test_a_listing_of_many_pages_outlives_its_keys(
    aio_assume: AioAssume, rotations: Rotations
) -> None:
    session = aio_assume()
    names = [f"{number:02}" for number in range(MOMENTS)]

    async def main() -> list[str]:
        async with opened_s3(session) as s3:
            for name in names:
                await s3.put_object(Bucket=BUCKET, Key=name, Body=b"")
        rotations.pass_with_each_request(session)
        async with client(session, "s3", config=ONCE) as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=BUCKET, PaginationConfig={"PageSize": 1}
            )
            return [item["Key"] async for page in pages for item in page["Contents"]]

    assert names == run(main())

    rotations.check("s3")


def test_an_upload_in_parts_outlives_its_keys(aio_assume: AioAssume, rotations: Rotations) -> None:
    async def main() -> bytes:
        async with opened_s3(aio_assume()) as s3:
            target = {"Bucket": BUCKET, "Key": "parts"}
            upload = (await s3.create_multipart_upload(**target))["UploadId"]
            done = []
            for number in (1, 2, 3):
                rotations.end_a_life()
                part = await s3.upload_part(
                    **target, UploadId=upload, PartNumber=number, Body=io.BytesIO(PART)
                )
                done.append({"PartNumber": number, "ETag": part["ETag"]})
            rotations.end_a_life()
            await s3.complete_multipart_upload(
                **target, UploadId=upload, MultipartUpload={"Parts": done}
            )
            body: bytes = await (await s3.get_object(**target))["Body"].read()
            return body

    assert run(main()) == 3 * PART

    rotations.check("s3")


def test_a_body_is_read_to_its_end_though_its_keys_die_meanwhile(
    aio_assume: AioAssume, rotations: Rotations
) -> None:
    async def main() -> bytes:
        async with opened_s3(aio_assume()) as s3:
            await s3.put_object(Bucket=BUCKET, Key="long", Body=PART)
            answer = await s3.get_object(Bucket=BUCKET, Key="long")
            read = []
            async for chunk in answer["Body"].iter_chunks(len(PART) // 3):
                read.append(chunk)
                rotations.end_a_life()
                # Others go on with new keys.
                await s3.head_object(Bucket=BUCKET, Key="long")
            return b"".join(read)

    assert run(main()) == PART

    rotations.check("s3")


# ── keys that a service rejects before their time ────────────────────────────────────────


@pytest.mark.parametrize("kind", ["bytes", "memory", "file"])
def test_an_upload_is_sent_again_from_its_start_with_new_keys(
    kind: str, aio_assume: AioAssume, cloud: StrictCloud, tmp_path: Path
) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"hello")

    async def main() -> bytes:
        session = aio_assume()
        async with opened_s3(session) as s3:
            cloud.revoke((await keys_of(session)).access_key)
            with file.open("rb") as on_disk:
                bodies = {"bytes": b"hello", "memory": io.BytesIO(b"hello"), "file": on_disk}
                await s3.put_object(Bucket=BUCKET, Key="body", Body=bodies[kind])
            answer = await s3.get_object(Bucket=BUCKET, Key="body")
            read: bytes = await answer["Body"].read()
            return read

    assert run(main()) == b"hello"

    puts = [call.code for call in cloud.log if call.operation == "PutObject"]
    assert puts == ["ExpiredToken", None]


class AsyncFile:
    """What an asynchronous stream looks like to aiobotocore."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


class RewindableAsyncFile(AsyncFile):
    """One that can be rewound, if only somebody awaited it: aiobotocore does not."""

    async def seek(self, offset: int, whence: int = 0) -> int:
        return self._data.seek(offset, whence)


def _as_over_tls(params: Any, **_: Any) -> None:
    # With a checksum after the body, the only way in which aiobotocore takes such a body at all.
    params["context"]["checksum"]["request_algorithm"]["in"] = "trailer"


@pytest.mark.parametrize("kind", [AsyncFile, RewindableAsyncFile])
def test_an_upload_that_cannot_be_rewound_gets_the_services_own_error(
    kind: Callable[[bytes], AsyncFile], aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    """Sent again as it is, it would be an empty object with a checksum that is right."""

    async def main() -> bytes:
        session = aio_assume()
        session.register("before-call.s3.PutObject", _as_over_tls)
        async with opened_s3(session) as s3:
            await s3.put_object(Bucket=BUCKET, Key="body", Body=kind(b"before"))
            cloud.revoke((await keys_of(session)).access_key)
            with pytest.raises(ClientError, match="ExpiredToken"):
                await s3.put_object(Bucket=BUCKET, Key="body", Body=kind(b"hello"))
            await (await session.get_credentials()).refresh()
            read: bytes = await (await s3.get_object(Bucket=BUCKET, Key="body"))["Body"].read()
            return read

    assert run(main()) == b"before"

    puts = [call.code for call in cloud.log if call.operation == "PutObject"]
    assert puts == [None, "ExpiredToken"]
