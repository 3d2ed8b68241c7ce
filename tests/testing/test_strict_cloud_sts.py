"""StrictCloud's STS keeps AWS's limits, and each session is who it says it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cloud_calls import HUB, SPOKE, UNCHECKED, assume, client, refusal

from rolecall.testing.clock import FakeClock
from rolecall.testing.cloud import StrictCloud

# Identity and state


def test_a_user_is_who_the_session_says(cloud: StrictCloud) -> None:
    identity = cloud.session(user="alice", account=SPOKE).client("sts").get_caller_identity()

    assert identity["Arn"] == f"arn:aws:iam::{SPOKE}:user/alice"
    assert identity["Account"] == SPOKE


def test_a_role_session_has_the_roles_identity(cloud: StrictCloud) -> None:
    arn = cloud.role("Deployer", account=SPOKE, path="/teams/")

    identity = client(cloud, "sts", assume(cloud, arn)).get_caller_identity()

    role = client(cloud, "iam", assume(cloud, arn)).get_role(RoleName="Deployer")["Role"]
    assert arn == role["Arn"] == f"arn:aws:iam::{SPOKE}:role/teams/Deployer"
    assert identity["Arn"] == f"arn:aws:sts::{SPOKE}:assumed-role/Deployer/me"
    assert identity["UserId"] == f"{role['RoleId']}:me"


def test_a_role_of_another_partition_keeps_its_partition(cloud: StrictCloud) -> None:
    keys = assume(cloud, "arn:aws-cn:iam::210987654321:role/Reader")

    identity = client(cloud, "sts", keys).get_caller_identity()

    assert identity["Arn"] == "arn:aws-cn:sts::210987654321:assumed-role/Reader/me"


def test_each_account_has_its_own_state(cloud: StrictCloud) -> None:
    spoke = client(cloud, "sqs", assume(cloud, cloud.role("Deployer", account=SPOKE)))

    url = spoke.create_queue(QueueName="fake-queue")["QueueUrl"]

    assert SPOKE in url
    assert [url] == spoke.list_queues()["QueueUrls"]
    assert "QueueUrls" not in client(cloud, "sqs").list_queues()


def test_a_client_cannot_choose_the_account_that_answers(cloud: StrictCloud) -> None:
    def spoof(request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = SPOKE

    sqs = client(cloud, "sqs")
    sqs.meta.events.register("before-sign", spoof)

    assert HUB in sqs.create_queue(QueueName="fake-queue")["QueueUrl"]


def test_keys_made_through_iam_work_until_they_are_deactivated(cloud: StrictCloud) -> None:
    iam = client(cloud, "iam")
    iam.create_user(UserName="carol")
    keys = iam.create_access_key(UserName="carol")["AccessKey"]
    carol = client(cloud, "sts", keys)

    assert carol.get_caller_identity()["Arn"].endswith(":user/carol")
    iam.update_access_key(UserName="carol", AccessKeyId=keys["AccessKeyId"], Status="Inactive")
    assert refusal(carol.get_caller_identity) == ("InvalidClientTokenId", 403)


def test_creating_a_role_again_changes_it(cloud: StrictCloud) -> None:
    first = cloud.role("Reader")

    again = cloud.role("Reader", max_duration=timedelta(hours=1))

    assert first == again
    sts = client(cloud, "sts")
    assert refusal(sts.assume_role, RoleArn=again, RoleSessionName="me", DurationSeconds=3601) == (
        "ValidationError",
        400,
    )


# Limits


@pytest.mark.parametrize("seconds", [899, 43201])
def test_durations_outside_the_limits_are_refused(cloud: StrictCloud, seconds: int) -> None:
    sts = client(cloud, "sts", config=UNCHECKED)

    assert refusal(
        sts.assume_role,
        RoleArn=cloud.role("Reader"),
        RoleSessionName="me",
        DurationSeconds=seconds,
    ) == ("ValidationError", 400)


def test_all_problems_are_reported_at_once(cloud: StrictCloud) -> None:
    sts = client(cloud, "sts", config=UNCHECKED)

    with pytest.raises(ClientError, match="3 validation errors detected") as caught:
        sts.assume_role(RoleArn="short", RoleSessionName="bad name!", DurationSeconds=1)

    for field in ("roleArn", "roleSessionName", "durationSeconds"):
        assert f"at '{field}' failed" in str(caught.value)


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::123456789012:user/alice",
        "arn:aws:sts::123456789012:assumed-role/Reader/me",
        "arn:aws:iam::12345678901:role/Reader",
    ],
)
def test_only_roles_can_be_assumed(cloud: StrictCloud, arn: str) -> None:
    sts = client(cloud, "sts")

    assert refusal(sts.assume_role, RoleArn=arn, RoleSessionName="me") == ("ValidationError", 400)


def test_chained_sessions_last_an_hour_at_most(cloud: StrictCloud) -> None:
    chained = client(cloud, "sts", assume(cloud, DurationSeconds=43200))
    arn = cloud.role("Deployer", account=SPOKE)

    chained.assume_role(RoleArn=arn, RoleSessionName="me", DurationSeconds=3600)

    assert refusal(
        chained.assume_role, RoleArn=arn, RoleSessionName="me", DurationSeconds=3601
    ) == ("ValidationError", 400)


def test_sessions_last_no_longer_than_the_role_allows(cloud: StrictCloud) -> None:
    arn = cloud.role("Reader", max_duration=timedelta(hours=2))

    assume(cloud, arn, DurationSeconds=7200)

    assert refusal(assume, cloud=cloud, arn=arn, DurationSeconds=7201) == ("ValidationError", 400)


@pytest.mark.parametrize(
    ("policy", "code"),
    [("{", "MalformedPolicyDocument"), (f'"{"x" * 2100}"', "PackedPolicyTooLarge")],
)
def test_session_policies_must_be_json_and_short(
    cloud: StrictCloud, policy: str, code: str
) -> None:
    assert refusal(assume, cloud=cloud, Policy=policy) == (code, 400)


# Trust


def test_a_role_without_a_trust_policy_trusts_everybody(cloud: StrictCloud) -> None:
    assume(cloud, "arn:aws:iam::210987654321:role/never-created")


@pytest.mark.parametrize(
    "principal",
    [
        HUB,
        f"arn:aws:iam::{HUB}:root",
        f"arn:aws:iam::{HUB}:role/Hub",
        f"arn:aws:sts::{HUB}:assumed-role/Hub/me",
        "*",
    ],
)
def test_a_trusted_caller_may_assume_the_role(cloud: StrictCloud, principal: str) -> None:
    hub = client(cloud, "sts", assume(cloud, cloud.role("Hub")))
    spoke = cloud.role("Spoke", account=SPOKE)
    cloud.trust(spoke, [principal])

    hub.assume_role(RoleArn=spoke, RoleSessionName="me")


@pytest.mark.parametrize("principals", [[], [SPOKE], [f"arn:aws:iam::{HUB}:role/Other"]])
def test_a_caller_who_is_not_trusted_is_refused(cloud: StrictCloud, principals: list[str]) -> None:
    arn = cloud.role("Reader")
    cloud.trust(arn, principals)

    with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole") as caught:
        assume(cloud, arn)

    assert caught.value.response["Error"]["Code"] == "AccessDenied"


def test_the_external_id_must_match_where_one_is_asked_for(cloud: StrictCloud) -> None:
    arn = cloud.role("Reader")
    cloud.trust(arn, external_id="fake-external-id")

    assume(cloud, arn, ExternalId="fake-external-id")

    assert refusal(assume, cloud=cloud, arn=arn) == ("AccessDenied", 403)
    assert refusal(assume, cloud=cloud, arn=arn, ExternalId="other") == ("AccessDenied", 403)


SERIAL = f"arn:aws:iam::{HUB}:mfa/fake-user"


def test_an_mfa_code_is_accepted_once(cloud: StrictCloud) -> None:
    arn = cloud.role("Admin")
    cloud.trust(arn, mfa=True)
    code = {"SerialNumber": SERIAL, "TokenCode": "123456"}

    assume(cloud, arn, **code)

    assert refusal(assume, cloud=cloud, arn=arn, **code) == ("AccessDenied", 403)
    assert refusal(assume, cloud=cloud, arn=arn) == ("AccessDenied", 403)


def test_only_the_codes_of_a_known_device_are_accepted(cloud: StrictCloud) -> None:
    cloud.mfa_codes(SERIAL, "111111", "222222")

    assume(cloud, SerialNumber=SERIAL, TokenCode="222222")

    wrong = {"SerialNumber": SERIAL, "TokenCode": "333333"}
    assert refusal(assume, cloud=cloud, **wrong) == ("AccessDenied", 403)


def test_a_session_made_with_mfa_may_assume_what_asks_for_mfa(cloud: StrictCloud) -> None:
    arn = cloud.role("Admin")
    cloud.trust(arn, mfa=True)
    sts = client(cloud, "sts")

    keys = sts.get_session_token(SerialNumber=SERIAL, TokenCode="123456")["Credentials"]
    plain = sts.get_session_token()["Credentials"]

    client(cloud, "sts", keys).assume_role(RoleArn=arn, RoleSessionName="me")
    refused = client(cloud, "sts", plain).assume_role
    assert refusal(refused, RoleArn=arn, RoleSessionName="me") == ("AccessDenied", 403)


# The other ways to a session


def test_a_user_session_is_the_user_expires_and_is_no_chaining(
    cloud: StrictCloud, clock: FakeClock
) -> None:
    keys = client(cloud, "sts").get_session_token(DurationSeconds=900)["Credentials"]
    sts = client(cloud, "sts", keys)

    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{HUB}:user/fake-user"
    sts.assume_role(RoleArn=cloud.role("A"), RoleSessionName="me", DurationSeconds=43200)
    clock.tick(seconds=5)
    assert refusal(sts.get_caller_identity) == ("ExpiredToken", 403)


@pytest.mark.parametrize(
    ("operation", "keywords"),
    [("get_session_token", {}), ("get_federation_token", {"Name": "bob"})],
)
def test_sessions_cannot_make_user_sessions(
    cloud: StrictCloud, operation: str, keywords: dict[str, Any]
) -> None:
    call = getattr(client(cloud, "sts", assume(cloud)), operation)

    assert refusal(call, **keywords) == ("AccessDenied", 403)


def test_a_federated_user_is_who_was_named(cloud: StrictCloud) -> None:
    keys = client(cloud, "sts").get_federation_token(Name="bob")["Credentials"]

    identity = client(cloud, "sts", keys).get_caller_identity()

    assert identity["Arn"] == f"arn:aws:sts::{HUB}:federated-user/bob"


def test_a_web_identity_needs_no_keys(cloud: StrictCloud, clock: FakeClock) -> None:
    token = cloud.web_identity_token(subject="fake-pod", audience="fake-audience")
    arn = cloud.role("Pod", account=SPOKE)

    answer = web_identity(cloud, arn, token)

    identity = client(cloud, "sts", answer["Credentials"]).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{SPOKE}:assumed-role/Pod/me"
    assert answer["SubjectFromWebIdentityToken"] == "fake-pod"
    assert answer["Audience"] == "fake-audience"
    assert answer["Provider"] == "https://issuer.example.com"
    assert cloud.log[0].access_key is None


def test_an_expired_web_identity_token_is_refused(cloud: StrictCloud, clock: FakeClock) -> None:
    arn = cloud.role("Pod")
    token = cloud.web_identity_token(expires_in=timedelta(minutes=5))
    web_identity(cloud, arn, token)

    clock.tick(minutes=5)

    assert refusal(web_identity, cloud=cloud, arn=arn, token=token) == (
        "ExpiredTokenException",
        400,
    )


@pytest.mark.parametrize("token", ["fake-token", "a.b.c", "e30.e30.e30", "e30.MQ.e30"])
def test_what_is_not_a_web_identity_token_is_refused(cloud: StrictCloud, token: str) -> None:
    refused = refusal(web_identity, cloud=cloud, arn=cloud.role("Pod"), token=token)

    assert refused == ("InvalidIdentityToken", 400)


def test_web_identities_of_another_issuer_are_refused(cloud: StrictCloud) -> None:
    arn = cloud.role("Pod")
    cloud.trust(arn, ["https://issuer.example.com"])

    web_identity(cloud, arn, cloud.web_identity_token())

    foreign = cloud.web_identity_token(issuer="https://other.example.com")
    assert refusal(web_identity, cloud=cloud, arn=arn, token=foreign) == ("AccessDenied", 403)


def web_identity(cloud: StrictCloud, arn: str, token: str) -> dict[str, Any]:
    sts = client(cloud, "sts")
    answer: dict[str, Any] = sts.assume_role_with_web_identity(
        RoleArn=arn, RoleSessionName="me", WebIdentityToken=token
    )
    return answer
