"""`assume_role`'s session, RoleArn and RoleSessionName: who assumes what, and under which name."""

from __future__ import annotations

import getpass
import socket
from datetime import datetime, timezone
from typing import Any

import boto3
import botocore.session
import pytest
from actors import READER, SPOKE, WRITER, arn_of, fetch, name_of, requests_of
from botocore.credentials import CredentialProvider, CredentialResolver, RefreshableCredentials
from botocore.exceptions import NoCredentialsError, ParamValidationError

import rolecall
from rolecall.testing import StrictCloud

# ── session ──────────────────────────────────────────────────────────────────────────────


def test_a_boto3_session_assumes_the_role(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, READER, RoleSessionName="me")

    assert arn_of(child) == "arn:aws:sts::210987654321:assumed-role/Reader/me"


def test_a_botocore_session_assumes_the_role(ambient: StrictCloud) -> None:
    parent = botocore.session.Session()

    child = rolecall.assume_role(parent, READER, RoleSessionName="me")

    assert arn_of(child) == "arn:aws:sts::210987654321:assumed-role/Reader/me"


def test_none_is_the_default_session(
    strict_cloud: StrictCloud, parent: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", parent)

    child = rolecall.assume_role(None, READER)

    assert child.assume_role_parent_session is parent
    fetch(child)
    assert strict_cloud.log[0].access_key == fetch(parent).access_key


def test_none_makes_the_default_session_where_there_is_none(ambient: StrictCloud) -> None:
    child = rolecall.assume_role(None, READER)

    assert child.assume_role_parent_session is boto3.DEFAULT_SESSION
    assert "/Reader/" in arn_of(child)


@pytest.mark.parametrize("stranger", ["a profile's name", 42, boto3], ids=str)
def test_anything_else_is_a_type_error(stranger: Any) -> None:
    with pytest.raises(TypeError, match="session"):
        rolecall.assume_role(stranger, READER)


def test_a_client_is_not_a_session(parent: boto3.Session) -> None:
    with pytest.raises(TypeError, match="session"):
        rolecall.assume_role(parent.client("sts"), READER)  # type: ignore[arg-type]


def test_no_call_is_made_before_the_session_is_used(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    child = rolecall.assume_role(parent, READER)
    child.client("s3")

    assert strict_cloud.calls() == 0


def test_one_call_is_made_when_it_is_used(strict_cloud: StrictCloud, parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, READER)

    client = child.client("s3")
    for _ in range(3):
        client.list_buckets()
    child.client("sqs").list_queues()

    assert strict_cloud.calls("AssumeRole") == 1


@pytest.mark.parametrize("validate", [True, False])
def test_a_session_without_credentials_is_refused_at_the_call(validate: bool) -> None:
    with pytest.raises(NoCredentialsError):
        rolecall.assume_role(boto3.Session(region_name="eu-west-1"), READER, validate=validate)


def test_a_botocore_session_without_credentials_is_refused_at_the_call() -> None:
    with pytest.raises(NoCredentialsError):
        rolecall.assume_role(botocore.session.Session(), READER)


def test_a_default_session_without_credentials_is_refused_at_the_call() -> None:
    with pytest.raises(NoCredentialsError):
        rolecall.assume_role(None, READER)


def test_a_parent_that_rotates_is_followed(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    hub = rolecall.assume_role(parent, READER)
    spoke = rolecall.assume_role(hub, SPOKE)
    fetch(spoke)
    before = fetch(hub).access_key

    hub.get_credentials().refresh()
    spoke.get_credentials().refresh()

    after = fetch(hub).access_key
    assert before != after
    assumed = [call.access_key for call in strict_cloud.log if call.operation == "AssumeRole"]
    assert assumed == [fetch(parent).access_key, before, fetch(parent).access_key, after]


def test_a_parent_that_botocore_refreshes_is_followed(strict_cloud: StrictCloud) -> None:
    keys = [strict_cloud.credentials(user=name) for name in ("before", "after")]

    def metadata(number: int) -> dict[str, Any]:
        return {
            "access_key": keys[number].access_key,
            "secret_key": keys[number].secret_key,
            "token": None,
            "expiry_time": "2999-01-01T00:00:00Z",
        }

    credentials = RefreshableCredentials.create_from_metadata(
        metadata(0), refresh_using=lambda: metadata(1), method="custom"
    )

    class Provider(CredentialProvider):
        METHOD = "custom"

        def load(self) -> RefreshableCredentials:
            return credentials

    core = botocore.session.Session()
    core.register_component("credential_provider", CredentialResolver([Provider()]))
    parent = boto3.Session(botocore_session=core, region_name="eu-west-1")
    child = rolecall.assume_role(
        parent, READER, sts_client_kwargs={"endpoint_url": strict_cloud.url}
    )
    fetch(child)

    credentials._expiry_time = datetime.now(timezone.utc)  # as tests of boto3 programs do
    child.get_credentials().refresh()

    assert [call.access_key for call in strict_cloud.log] == [key.access_key for key in keys]


def test_a_chain_assumes_each_role_with_the_one_before(parent: boto3.Session) -> None:
    hub = rolecall.assume_role(parent, READER, RoleSessionName="hub")
    spoke = rolecall.assume_role(hub, SPOKE, RoleSessionName="spoke")

    arns = [arn_of(session).partition("sts::")[2] for session in (spoke, hub)]
    assert arns == ["345678901234:assumed-role/Spoke/spoke", "210987654321:assumed-role/Reader/hub"]


# ── RoleArn ──────────────────────────────────────────────────────────────────────────────


def test_a_role_arn_is_required(parent: boto3.Session) -> None:
    with pytest.raises(TypeError, match="RoleArn"):
        rolecall.assume_role(parent)  # type: ignore[call-arg]


def test_the_role_arn_may_be_a_keyword(parent: boto3.Session) -> None:
    child = rolecall.assume_role(session=parent, RoleArn=WRITER, RoleSessionName="me")

    assert arn_of(child) == "arn:aws:sts::210987654321:assumed-role/Writer/me"


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "Reader",
        "arn:aws:iam::123456789012:user/alice",
        "arn:aws:sts::123456789012:assumed-role/Reader/me",
        "arn:aws:iam::12345:role/Reader",
        "arn:aws:iam::123456789012:role/",
        "arn:azure:iam::123456789012:role/Reader",
        None,
        42,
    ],
    ids=str,
)
def test_what_is_not_the_arn_of_a_role_is_refused_at_the_call(
    strict_cloud: StrictCloud, parent: boto3.Session, arn: Any
) -> None:
    with pytest.raises(ParamValidationError, match="RoleArn"):
        rolecall.assume_role(parent, arn)

    assert strict_cloud.calls() == 0


@pytest.mark.parametrize("validate", [True, False])
def test_a_role_arn_among_the_additional_arguments_never_wins(
    parent: boto3.Session, validate: bool
) -> None:
    child = rolecall.assume_role(
        parent,
        READER,
        RoleSessionName="me",
        additional_kwargs={"RoleArn": WRITER},
        validate=validate,
    )

    assert arn_of(child) == "arn:aws:sts::210987654321:assumed-role/Reader/me"


# ── RoleSessionName ──────────────────────────────────────────────────────────────────────


def test_the_name_is_the_one_given(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, READER, RoleSessionName="release-42")

    assert name_of(child) == "release-42"


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_name_the_source_identity_is_the_name(
    parent: boto3.Session, asked: list[dict[str, Any]], name: str | None
) -> None:
    child = rolecall.assume_role(parent, READER, RoleSessionName=name, SourceIdentity="alice")

    assert name_of(child) == "alice"
    assert asked[0]["SourceIdentity"] == "alice"


def test_a_name_that_is_given_wins_over_the_source_identity(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, READER, RoleSessionName="me", SourceIdentity="alice")

    assert name_of(child) == "me"


def test_the_source_identity_names_it_even_where_an_additional_argument_would(
    parent: boto3.Session,
) -> None:
    child = rolecall.assume_role(
        parent, READER, SourceIdentity="alice", additional_kwargs={"RoleSessionName": "me"}
    )

    assert name_of(child) == "alice"


def test_automatic_is_a_generated_name_even_with_a_source_identity(
    parent: boto3.Session, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "generated")

    child = rolecall.assume_role(
        parent,
        READER,
        RoleSessionName=rolecall.AUTOMATIC_ROLE_SESSION_NAME,
        SourceIdentity="alice",
    )

    assert name_of(child) == "generated"
    assert asked[0]["SourceIdentity"] == "alice"


def test_automatic_without_a_source_identity_is_as_no_name(
    parent: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "generated")

    child = rolecall.assume_role(
        parent, READER, RoleSessionName=rolecall.AUTOMATIC_ROLE_SESSION_NAME
    )

    assert name_of(child) == "generated"


def test_automatic_is_the_value_that_programs_know() -> None:
    """Programs keep it in their own configuration, as text."""
    assert rolecall.AUTOMATIC_ROLE_SESSION_NAME == "AUTOMATIC_ROLE_SESSION_NAME_!#$%^&*()"


def test_a_generated_name_stays_the_same_over_refreshes(
    parent: boto3.Session, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "billing")  # its sandbox's name is random
    child = rolecall.assume_role(parent, READER)

    for _ in range(3):
        child.get_credentials().refresh()

    assert len(asked) == 3
    assert len({request["RoleSessionName"] for request in asked}) == 1


def test_a_generated_name_is_made_once_for_a_session_even_if_the_environment_changes(
    parent: boto3.Session, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "first")
    child = rolecall.assume_role(parent, READER)
    child.get_credentials().refresh()

    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "second")
    child.get_credentials().refresh()

    assert [request["RoleSessionName"] for request in asked] == ["first", "first"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(
            {
                "AWS_LAMBDA_FUNCTION_NAME": "billing",
                "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[$LATEST]0123456789abcdef",
            },
            "billing.0123456789abcdef",
            id="Lambda",
        ),
        pytest.param(
            {"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/0123abcd"},
            "0123abcd",
            id="ECS",
        ),
        pytest.param(
            {
                "KUBERNETES_SERVICE_HOST": "10.0.0.1",
                "POD_NAMESPACE": "shop",
                "POD_NAME": "cart-7d4b-xk2p9",
            },
            "shop.cart-7d4b-xk2p9",
            id="EKS",
        ),
        pytest.param(
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_REPOSITORY": "octo/shop",
                "GITHUB_WORKFLOW": "release",
                "GITHUB_RUN_ID": "1234567890",
            },
            "octo_shop.release.1234567890",
            id="GitHub Actions",
        ),
        pytest.param(
            {"GITLAB_CI": "true", "CI_PROJECT_PATH": "octo/shop", "CI_JOB_ID": "4711"},
            "octo_shop.4711",
            id="GitLab CI",
        ),
        pytest.param({"AWS_ROLE_SESSION_NAME": "chosen"}, "chosen", id="AWS_ROLE_SESSION_NAME"),
        pytest.param({"AWS_ROLE_SESSION_NAME": "Zoë Müller/Köln"}, "Zoe_Muller_Koln", id="cleaned"),
        pytest.param({"AWS_ROLE_SESSION_NAME": "x" * 80}, "x" * 64, id="cut"),
        pytest.param(
            {"AWS_ROLE_SESSION_NAME": "chosen", "AWS_LAMBDA_FUNCTION_NAME": "billing"},
            "chosen",
            id="AWS_ROLE_SESSION_NAME in Lambda",
        ),
    ],
)
def test_the_default_name_says_where_the_program_runs(
    parent: boto3.Session,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    expected: str,
) -> None:
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)

    child = rolecall.assume_role(parent, READER)

    assert name_of(child) == expected


def test_elsewhere_the_default_name_is_user_at_host(
    parent: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "alice")  # what getpass.getuser() asks first
    assert getpass.getuser() == "alice"

    child = rolecall.assume_role(parent, READER)

    expected = rolecall.session_name({}, user="alice", host=socket.gethostname())
    assert name_of(child) == expected
    assert expected.startswith("alice@")


@pytest.mark.parametrize("name", ["", "x", "x" * 65, "bad name!", "octo/shop", "Zoë"])
def test_a_name_that_sts_would_refuse_is_refused_at_the_call(
    strict_cloud: StrictCloud, parent: boto3.Session, name: str
) -> None:
    with pytest.raises(ParamValidationError, match="RoleSessionName"):
        rolecall.assume_role(parent, READER, RoleSessionName=name)

    assert strict_cloud.calls() == 0


@pytest.mark.parametrize("name", ["me", "x" * 64, "_+=,.@-"])
def test_a_name_at_the_limit_is_sent(parent: boto3.Session, name: str) -> None:
    child = rolecall.assume_role(parent, READER, RoleSessionName=name)

    assert name_of(child) == name


def test_the_name_may_come_with_the_additional_arguments(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, READER, additional_kwargs={"RoleSessionName": "me"})

    assert name_of(child) == "me"


def test_each_hop_of_a_chain_signs_with_its_own_parent(parent: boto3.Session) -> None:
    hub = rolecall.assume_role(parent, READER)
    hub_asked = requests_of(hub)

    fetch(rolecall.assume_role(hub, SPOKE, RoleSessionName="spoke"))

    assert [request["RoleArn"] for request in hub_asked] == [SPOKE]
