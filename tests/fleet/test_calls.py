"""API calls by name, through all their pages, and what is wrong with one before it is made."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.response import StreamingBody

from rolecall.fleet import calls
from rolecall.fleet.calls import call, check_call, paginate
from rolecall.testing import StrictCloud

BUCKET = "fake-bucket"
NAMES = [f"key-{number}" for number in range(5)]
SPELLINGS = ["list_objects_v2", "ListObjectsV2", "list-objects-v2", "listObjectsV2"]


@pytest.fixture(scope="module")
def cloud() -> Iterator[StrictCloud]:
    with StrictCloud() as running:
        s3 = running.session().client("s3")
        s3.create_bucket(Bucket=BUCKET)
        for name in NAMES:
            s3.put_object(Bucket=BUCKET, Key=name, Body=f"é {name}".encode())
        s3.put_object(Bucket=BUCKET, Key="packed", Body=gzip.compress(b"packed"))
        yield running


@pytest.fixture(scope="module")
def session(cloud: StrictCloud) -> boto3.Session:
    return cloud.session()


@pytest.fixture(scope="module")
def s3(session: boto3.Session) -> Any:
    return session.client("s3")


@pytest.fixture(scope="module")
def offline() -> boto3.Session:
    """A session that can ask nobody: it has no keys and no region."""
    return boto3.Session()


# paginate


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_all_pages_are_gone_through_element_by_element(
    s3: Any, cloud: StrictCloud, spelling: str
) -> None:
    before = cloud.calls("ListObjectsV2")

    found = list(
        paginate(
            s3,
            spelling,
            "Contents[].Key",
            Bucket=BUCKET,
            Prefix="key-",
            PaginationConfig={"PageSize": 2},
        )
    )

    assert found == NAMES
    assert cloud.calls("ListObjectsV2") - before == 3


def test_without_a_query_pages_come_whole_but_for_their_metadata(s3: Any) -> None:
    config = {"PageSize": 4}

    pages = list(paginate(s3, "list_objects_v2", Bucket=BUCKET, PaginationConfig=config))

    assert [len(page["Contents"]) for page in pages] == [4, 2]
    assert all("ResponseMetadata" not in page for page in pages)


def test_an_operation_without_pages_gives_its_one_answer_the_same_way(s3: Any) -> None:
    assert list(paginate(s3, "get_bucket_versioning", Bucket=BUCKET)) == [{}]
    assert list(paginate(s3, "head_object", "ContentLength", Bucket=BUCKET, Key="key-1")) == [8]


def test_where_a_query_finds_nothing_nothing_comes(s3: Any) -> None:
    assert list(paginate(s3, "list_objects_v2", "Contents[]", Bucket=BUCKET, Prefix="no")) == []
    assert list(paginate(s3, "list_objects_v2", "Nothing.Here", Bucket=BUCKET)) == []


def test_a_query_that_finds_no_list_gives_what_it_finds(s3: Any) -> None:
    found = paginate(s3, "list_objects_v2", "length(Contents)", Bucket=BUCKET)

    assert list(found) == [6]


def test_a_wrong_name_and_a_wrong_query_are_told_together_and_at_the_call(s3: Any) -> None:
    with pytest.raises(ValueError, match="operation") as caught:
        paginate(s3, "list_object", "Contents[", Bucket=BUCKET)

    assert "s3 has no operation 'list_object': list_objects" in str(caught.value)
    assert "query 'Contents[' is no JMESPath" in str(caught.value)


def test_nothing_is_asked_before_somebody_reads(s3: Any, cloud: StrictCloud) -> None:
    before = cloud.calls()

    pages = paginate(s3, "list_objects_v2", Bucket=BUCKET)
    assert cloud.calls() == before
    next(pages)

    assert cloud.calls() == before + 1


def test_a_refusal_of_aws_comes_through_as_it_is(s3: Any) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        list(paginate(s3, "list_objects_v2", Bucket="no-such-bucket"))


def test_what_is_no_text_is_a_type_error(s3: Any) -> None:
    with pytest.raises(TypeError, match="operation"):
        paginate(s3, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="query"):
        paginate(s3, "list_buckets", 3)  # type: ignore[arg-type]


# call


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_call_joins_all_pages(session: boto3.Session, spelling: str) -> None:
    arguments = {"Bucket": BUCKET, "Prefix": "key-", "PaginationConfig": {"PageSize": 2}}

    answer = call(session, "s3", spelling, arguments)

    assert [one["Key"] for one in answer["Contents"]] == NAMES
    assert "ResponseMetadata" not in answer


def test_the_query_of_a_call_sees_the_whole_answer(session: boto3.Session) -> None:
    arguments = {"Bucket": BUCKET, "PaginationConfig": {"PageSize": 2}}

    assert call(session, "s3", "list_objects_v2", arguments, "length(Contents)") == 6
    assert call(session, "s3", "list_buckets", query="Buckets[].Name") == [BUCKET]
    assert call(session, "s3", "list_buckets", query="Nothing") is None


def test_a_call_without_pages_leaves_the_metadata_out(session: boto3.Session) -> None:
    answer = call(session, "sts", "get_caller_identity")

    assert sorted(answer) == ["Account", "Arn", "UserId"]


def test_a_body_is_read_as_text_or_else_as_bytes(session: boto3.Session) -> None:
    def body(key: str) -> Any:
        return call(session, "s3", "get_object", {"Bucket": BUCKET, "Key": key}, "Body")

    assert body("key-1") == "é key-1"
    assert gzip.decompress(body("packed")) == b"packed"


def test_a_body_that_is_too_large_is_refused_and_let_go() -> None:
    raw = io.BytesIO(b"x" * (calls.MOST_BODY_BYTES + 1))
    with pytest.raises(ValueError, match="Body has more than 16777216 bytes"):
        calls._read("Body", StreamingBody(raw, calls.MOST_BODY_BYTES + 1))

    assert raw.closed


def test_a_call_of_what_is_not_there_names_what_is_close(session: boto3.Session) -> None:
    with pytest.raises(ValueError, match=r"there is no service 's3api': s3\?"):
        call(session, "s3api", "list_buckets")
    with pytest.raises(ValueError, match="s3 has no operation 'list_bucket': list_buckets"):
        call(session, "s3", "list_bucket")
    with pytest.raises(ValueError, match="stream of events"):
        call(session, "s3", "select_object_content", {})


# check_call


@pytest.mark.parametrize(
    ("service", "operation", "query", "arguments"),
    [
        ("s3", "list_buckets", None, None),
        ("s3", "ListBuckets", "Buckets[].Name", {}),
        ("s3", "list-objects-v2", None, {"Bucket": "b", "PaginationConfig": {"PageSize": 2}}),
        ("iam", "get_account_summary", "SummaryMap", {}),
        ("sts", "get_caller_identity", None, None),
        # What botocore adds by itself, though the model says that it is required.
        ("glacier", "list_vaults", None, {}),
        ("athena", "start_query_execution", None, {"QueryString": "SELECT 1"}),
        ("fms", "put_policy", None, {"Policy": {
            "PolicyName": "p", "SecurityServicePolicyData": {"Type": "WAF"},
            "ResourceType": "t", "ExcludeResourceTags": False, "RemediationEnabled": False}}),
        ("sagemaker", "create_pipeline", None, {"PipelineName": "p", "RoleArn": "r" * 30}),
    ],
)  # fmt: skip
def test_a_call_that_can_be_made_passes(
    offline: boto3.Session,
    service: str,
    operation: str,
    query: str | None,
    arguments: dict[str, Any] | None,
) -> None:
    check_call(offline, service, operation, query, arguments)


def test_all_that_is_wrong_with_a_call_is_told_at_once(offline: boto3.Session) -> None:
    arguments = {"bucket": "b", "Prefix": 3, "PaginationConfig": 5}

    with pytest.raises(ValueError, match="JMESPath") as caught:
        check_call(offline, "s3", "list_objects_v2", "Contents[", arguments)

    problems = str(caught.value).split("; ")
    assert problems[0].startswith("query 'Contents[' is no JMESPath: ")
    assert problems[1] == "PaginationConfig is a mapping, got int"
    assert problems[2] == "ListObjectsV2 has no argument 'bucket': Bucket?"
    assert problems[3] == 'Missing required parameter in input: "Bucket"'
    assert problems[4].startswith("Invalid type for parameter Prefix")
    assert arguments == {"bucket": "b", "Prefix": 3, "PaginationConfig": 5}, "it was changed"


@pytest.mark.parametrize(
    ("service", "operation", "said"),
    [
        ("s3api", "list_buckets", "there is no service 's3api': s3?"),
        ("dynamdb", "list_tables", "there is no service 'dynamdb': dynamodb"),
        ("qqqqqqqq", "list", "there is no service 'qqqqqqqq'"),
        ("s3", "list_bukets", "s3 has no operation 'list_bukets': list_buckets"),
        ("s3", "ListBukets", "s3 has no operation 'ListBukets': list_buckets"),
        ("iam", "qqqqqqqq", "iam has no operation 'qqqqqqqq'"),
        ("s3", "select_object_content", "answers with a stream of events"),
        ("sts", "get_caller_identity", "GetCallerIdentity has no argument 'X'"),
    ],
)
def test_names_that_are_wrong_are_told_with_what_is_close(
    offline: boto3.Session, service: str, operation: str, said: str
) -> None:
    arguments = {"X": 1} if operation == "get_caller_identity" else None

    with pytest.raises(ValueError, match=r"no service|no operation|events|argument") as caught:
        check_call(offline, service, operation, arguments=arguments)

    assert said in str(caught.value)
    assert ("?" in str(caught.value)) is (": " in said)


def test_an_argument_in_other_letters_is_recognized(offline: boto3.Session) -> None:
    arguments = {"Bucket": "b", "Key": "k", "sse_customer_key_md5": "x"}

    with pytest.raises(ValueError, match="'sse_customer_key_md5': SSECustomerKeyMD5"):
        check_call(offline, "s3", "get_object", arguments=arguments)


def test_a_loader_of_models_will_do(offline: boto3.Session) -> None:
    check_call(Loader(), "s3", "list_buckets")
    with pytest.raises(ValueError, match="no operation"):
        check_call(Loader(), "s3", "list_bucket")


def test_a_value_of_the_wrong_type_that_looks_secret_is_not_shown(offline: boto3.Session) -> None:
    secret = "wFakeSecret0000000000000000000000000FAKE"

    with pytest.raises(ValueError, match="Invalid type") as caught:
        check_call(
            offline,
            "secretsmanager",
            "create_secret",
            arguments={"Name": "n", "SecretString": [secret]},
        )

    assert secret not in str(caught.value)
