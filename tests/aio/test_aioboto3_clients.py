"""aioboto3's clients, resources and transfers through several rotations."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import aioboto3
import pytest
from aiobotocore.session import AioSession
from boto3.s3.transfer import TransferConfig
from rotations import BUCKET, LIFETIME, ONCE, Rotations, rotations
from scenes import HUB, SPOKE, AioAssume, run

import rolecall
from rolecall.testing import FakeClock

__all__ = ["rotations"]

PART = 5 * 1024 * 1024
#: One request at a time, or a key could die on its way.
TRANSFER = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=1)


@pytest.fixture
def aioboto3_user(aio_user: AioSession) -> aioboto3.Session:
    return aioboto3.Session(botocore_session=aio_user)


def assumed(aio_assume: AioAssume, user: aioboto3.Session) -> Any:
    """A session made from aioboto3's own."""
    return aio_assume(HUB, user)


def wrapped(aio_assume: AioAssume, user: aioboto3.Session) -> Any:
    """aioboto3's own session around one of ours."""
    return aioboto3.Session(botocore_session=aio_assume(HUB))


KINDS = [assumed, wrapped]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def session(
    request: pytest.FixtureRequest,
    aio_assume: AioAssume,
    aioboto3_user: aioboto3.Session,
) -> aioboto3.Session:
    """A session of Hub, as a program may come by it."""
    made: aioboto3.Session = request.param(aio_assume, aioboto3_user)
    return made


class Upload:
    """What an upload is read from, as an asynchronous file is; it cannot be rewound."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        await asyncio.sleep(0)
        return self._data.read(size)


async def make_bucket(session: aioboto3.Session) -> None:
    async with session.client("s3", config=ONCE) as s3:
        await s3.create_bucket(Bucket=BUCKET)


def test_no_call_of_a_client_fails_through_rotations(
    session: aioboto3.Session, rotations: Rotations
) -> None:
    async def main() -> None:
        await make_bucket(session)
        async with session.client("s3", config=ONCE) as s3:
            for number in rotations.moments():
                await s3.put_object(Bucket=BUCKET, Key="it", Body=b"%d" % number)
                answer = await s3.get_object(Bucket=BUCKET, Key="it")
                assert await answer["Body"].read() == b"%d" % number

    run(main())

    rotations.check("s3")


# aiohttp tells aioboto3 that it sends parts as they are.
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
def test_transfers_that_take_several_lives_are_whole(
    session: aioboto3.Session, rotations: Rotations
) -> None:
    data = b"".join(bytes([number]) * PART for number in range(3)) + b"the end"

    async def main() -> bytes:
        await make_bucket(session)
        rotations.pass_with_each_request(session, LIFETIME)
        into = io.BytesIO()
        async with session.client("s3", config=ONCE) as s3:
            await s3.upload_fileobj(Upload(data), BUCKET, "it", Config=TRANSFER)
            await s3.download_fileobj(BUCKET, "it", into, Config=TRANSFER)
        return into.getvalue()

    assert run(main()) == data

    rotations.check("s3")


def test_a_bucket_is_listed_and_read_by_resources_through_rotations(
    session: aioboto3.Session, rotations: Rotations
) -> None:
    names = [f"{number:02}" for number in range(15)]

    async def main() -> list[str]:
        await make_bucket(session)
        rotations.pass_with_each_request(session)
        found = []
        async with session.resource("s3", config=ONCE) as s3:
            bucket = await s3.Bucket(BUCKET)
            for name in names:
                await bucket.put_object(Key=name, Body=name.encode())
            async for summary in bucket.objects.page_size(1):
                answer = await (await summary.Object()).get()
                assert await answer["Body"].read() == summary.key.encode()
                found.append(summary.key)
        return found

    assert run(main()) == names

    rotations.check("s3")


def test_a_table_is_written_by_its_batch_writer_through_rotations(
    session: aioboto3.Session, rotations: Rotations
) -> None:
    async def main() -> int:
        rotations.pass_with_each_request(session)
        async with session.resource("dynamodb", config=ONCE) as dynamodb:
            table = await dynamodb.create_table(
                TableName="fake-table",
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            async with table.batch_writer(flush_amount=1) as batch:
                for number in range(40):
                    await batch.put_item(Item={"id": f"{number}"})
            return int((await table.scan())["Count"])

    assert run(main()) == 40

    rotations.check("dynamodb")


def test_a_chain_of_two_roles_lives_through_rotations_of_both(
    session: aioboto3.Session, aio_assume: AioAssume, rotations: Rotations
) -> None:
    spoke = aio_assume(SPOKE, session)

    async def main() -> None:
        await make_bucket(spoke)
        async with spoke.client("s3", config=ONCE) as s3:
            for number in rotations.moments():
                await s3.put_object(Bucket=BUCKET, Key=f"{number}", Body=b"")

    run(main())

    rotations.check("s3", roles=2)
    assert rotations.accounts("s3") == {"210987654321"}


def test_a_chain_opens_a_session_that_aioboto3_takes(
    aioboto3_user: aioboto3.Session, fake_clock: FakeClock, rotations: Rotations
) -> None:
    chain = rolecall.RoleChain(rolecall.GivenSession(aioboto3_user), HUB, SPOKE)
    session = aioboto3.Session(botocore_session=chain.aio_session(clock=fake_clock))

    async def main() -> None:
        await make_bucket(session)
        async with session.resource("s3", config=ONCE) as s3:
            for number in rotations.moments():
                await (await s3.Object(BUCKET, f"{number}")).put(Body=b"")

    run(main())

    rotations.check("s3", roles=2)
    assert rotations.accounts("s3") == {"210987654321"}
