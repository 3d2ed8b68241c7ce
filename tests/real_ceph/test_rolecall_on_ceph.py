"""rolecall against Ceph's gateway: real trust, real lengths of life, and errors unlike AWS's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from cluster import ACCOUNT, BODY, BUCKET, KEY, OTHER_ACCOUNT, UNCHECKED, Ceph, User, compact

import rolecall
from rolecall.refresh import Event

ALL_OF_S3 = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}],
}
READ_ONLY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{BUCKET}/*"]}
    ],
}
NOTHING_IN_S3 = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}],
}

#: The shortest life that the gateway gives, and what it takes to ask for it: rolecall knows AWS's
#: 900 s, and so does botocore.
FLEETING: dict[str, Any] = {
    "DurationSeconds": 2,
    "validate": False,
    "sts_client_kwargs": {"config": UNCHECKED},
}
ONCE = Config(retries={"total_max_attempts": 1})
#: A request takes milliseconds, a life two seconds: so many requests are far more than enough.
MOST_REQUESTS = 60_000

RoleMaker = Callable[..., str]


@pytest.fixture
def role(ceph: Ceph, keeper: User, alice: User) -> RoleMaker:
    """Return a function that makes a role of `ACCOUNT`; by default alice may do all with it."""

    def role(
        name: str, trusts: str = alice.arn, policy: dict[str, Any] = ALL_OF_S3, **arguments: Any
    ) -> str:
        return ceph.role(keeper, name, trusts=trusts, policy=policy, **arguments)

    return role


def read(session: Any) -> bytes:
    body: bytes = (
        session.client("s3", config=ONCE).get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    )
    return body


def read_through(session: rolecall.RoleSession, rotations: int, threads: int) -> int:
    """Read from *threads* threads until the keys have changed so often; return the reads made."""
    s3 = session.client("s3", config=ONCE)
    credentials = session.get_credentials()
    keys: set[str] = set()

    def read_on(_: int) -> int:
        for number in range(MOST_REQUESTS):
            assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == BODY
            keys.add(credentials.access_key)
            if len(keys) > rotations:
                return number + 1
        raise AssertionError(f"{len(keys)} keys after {MOST_REQUESTS} reads")

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(read_on, range(threads)))


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


# ── lives of two seconds ─────────────────────────────────────────────────────────────────────


def test_no_read_fails_through_rotations_under_load(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    events: list[Event] = []
    session = rolecall.assume_role(
        ceph.session(alice), role("Loaded"), on_event=events.append, **FLEETING
    )

    reads = read_through(session, rotations=4, threads=8)

    assert reads >= 8
    assert set(kinds(events)) == {"refreshed"}
    # One STS call a rotation, for all eight threads. One more may be under way at the end.
    assert len(events) in {5, 6}


def test_keys_copied_out_of_a_session_die_while_the_session_lives_on(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    session = rolecall.assume_role(ceph.session(alice), role("Copied"), **FLEETING)
    credentials = session.get_credentials()
    keys = credentials.get_frozen_credentials()
    copy = ceph.session_of(keys.access_key, keys.secret_key, keys.token)
    assert read(copy) == BODY

    ceph.let_expire(credentials.expires_at)

    with pytest.raises(ClientError, match="AccessDenied"):
        read(copy)
    assert read(session) == BODY


def test_a_session_that_lay_idle_past_its_expiry_reads_at_once(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    events: list[Event] = []
    session = rolecall.assume_role(
        ceph.session(alice), role("Idle"), on_event=events.append, **FLEETING
    )
    ceph.let_expire(session.get_credentials().expires_at)
    assert session.get_credentials().state == "expired"

    assert read(session) == BODY

    assert kinds(events) == ["refreshed", "refreshed"]


def test_two_seconds_are_refused_by_rolecall_and_then_by_botocore(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    arn = role("Checked")
    with pytest.raises(rolecall.InvalidChain, match="DurationSeconds"):
        rolecall.assume_role(ceph.session(alice), arn, DurationSeconds=2)
    session = rolecall.assume_role(ceph.session(alice), arn, DurationSeconds=2, validate=False)

    with pytest.raises(rolecall.FetchError, match="DurationSeconds") as caught:
        read(session)

    assert isinstance(caught.value, ParamValidationError)
    assert not caught.value.retryable


# ── chains ───────────────────────────────────────────────────────────────────────────────────


def test_a_chain_of_two_lives_through_rotations_of_both_hops(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    events: list[Event] = []
    hub_arn = role("Hub")
    spoke_arn = role("Spoke", trusts=hub_arn)
    hub = rolecall.assume_role(ceph.session(alice), hub_arn, on_event=events.append, **FLEETING)
    spoke = rolecall.assume_role(hub, spoke_arn, on_event=events.append, **FLEETING)

    read_through(spoke, rotations=3, threads=4)

    assert set(kinds(events)) == {"refreshed"}
    names = [event.name for event in events]
    assert names.count(f"hop 1: {spoke_arn}") >= 4
    assert names.count(hub_arn) >= 2


def test_a_session_keeps_its_name_through_its_rotations(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    # The trust policy names one session of the hub: with another name the spoke would be shut.
    hub_arn = role("NamedHub")
    named = hub_arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/fake-name"
    spoke_arn = role("NamedSpoke", trusts=named)
    hub = rolecall.assume_role(ceph.session(alice), hub_arn, RoleSessionName="fake-name")
    spoke = rolecall.assume_role(hub, spoke_arn)
    before = hub.get_credentials().access_key
    assert read(spoke) == BODY

    hub.get_credentials().refresh()
    spoke.get_credentials().refresh()

    assert hub.get_credentials().access_key != before
    assert read(spoke) == BODY


# ── refusals ─────────────────────────────────────────────────────────────────────────────────


def test_a_role_that_does_not_trust_the_caller_is_denied(
    ceph: Ceph, mallory: User, role: RoleMaker
) -> None:
    arn = role("Distrusting2")
    session = rolecall.assume_role(ceph.session(mallory), arn)

    with pytest.raises(rolecall.AccessDenied) as caught:
        read(session)

    assert isinstance(caught.value, ClientError)
    assert f"{arn}: " in str(caught.value)
    assert "trust policy" in caught.value.hint
    assert not caught.value.retryable


def test_whoever_reads_the_error_element_finds_one_though_the_gateway_sends_none(
    ceph: Ceph, mallory: User, role: RoleMaker
) -> None:
    arn = role("Elementless")
    with pytest.raises(ClientError) as raw:
        ceph.client(ceph.session(mallory), "sts").assume_role(RoleArn=arn, RoleSessionName="raw")
    assert "Error" not in raw.value.response

    with pytest.raises(ClientError) as caught:
        read(rolecall.assume_role(ceph.session(mallory), arn))

    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_refusal_in_the_middle_of_a_chain_names_its_hop(
    ceph: Ceph, alice: User, mallory: User, role: RoleMaker
) -> None:
    hub_arn = role("OpenHub")
    shut_arn = role("ShutSpoke", trusts=mallory.arn)
    hub = rolecall.assume_role(ceph.session(alice), hub_arn)
    spoke = rolecall.assume_role(hub, shut_arn)

    with pytest.raises(rolecall.AccessDenied) as caught:
        read(spoke)

    assert f"hop 1: {shut_arn}" in str(caught.value)
    assert read(hub) == BODY


def test_keys_that_nobody_knows_are_denied_and_not_shown(ceph: Ceph, role: RoleMaker) -> None:
    nobody = ceph.session_of("AKIAFAKENOBODY000000", "fake-secret-of-nobody", None)

    with pytest.raises(rolecall.AccessDenied) as caught:
        read(rolecall.assume_role(nobody, role("Unknowing")))

    assert "fake-secret-of-nobody" not in repr(caught.value) + str(caught.value.response)


def test_a_role_that_is_not_there_is_a_clear_error(ceph: Ceph, alice: User) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/Nowhere"

    with pytest.raises(rolecall.FetchError) as caught:
        read(rolecall.assume_role(ceph.session(alice), arn))

    assert isinstance(caught.value, ClientError)
    assert f"{arn}: " in str(caught.value)
    assert caught.value.context["status"] == 404


def test_a_source_that_expired_is_denied_and_not_shown(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    hub_arn = role("BriefHub")
    spoke_arn = role("BriefSpoke", trusts=hub_arn)
    hub = rolecall.assume_role(ceph.session(alice), hub_arn, **FLEETING).get_credentials()
    keys = hub.get_frozen_credentials()
    frozen = ceph.session_of(keys.access_key, keys.secret_key, keys.token)
    ceph.let_expire(hub.expires_at)

    # Where AWS says ExpiredToken this gateway says the same as to a stranger.
    with pytest.raises(rolecall.AccessDenied) as caught:
        read(rolecall.assume_role(frozen, spoke_arn))

    assert spoke_arn in str(caught.value)
    assert keys.secret_key not in repr(caught.value) + str(caught.value.response)
    assert keys.token not in repr(caught.value) + str(caught.value.response)


def test_trust_taken_away_ends_a_session_at_its_expiry_and_trust_given_back_mends_it(
    ceph: Ceph, keeper: User, alice: User, mallory: User, role: RoleMaker
) -> None:
    events: list[Event] = []
    session = rolecall.assume_role(
        ceph.session(alice), role("Fickle"), on_event=events.append, **FLEETING
    )
    credentials = session.get_credentials()
    expires_at = credentials.expires_at
    ceph.trust(keeper, "Fickle", trusts=mallory.arn)

    with pytest.raises(rolecall.AccessDenied):
        credentials.refresh()
    assert read(session) == BODY  # what it holds is still good
    ceph.let_expire(expires_at)
    with pytest.raises(rolecall.AccessDenied):
        read(session)
    ceph.trust(keeper, "Fickle", trusts=alice.arn)
    credentials.refresh()
    assert read(session) == BODY

    assert kinds(events)[0] == kinds(events)[-1] == "refreshed"
    assert set(kinds(events)[1:-1]) == {"refresh_failed"}


# ── MaxSessionDuration, session policies ─────────────────────────────────────────────────────


def test_a_session_lives_as_long_as_the_role_allows(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    arn = role("Lasting", MaxSessionDuration=7200)

    session = rolecall.assume_role(ceph.session(alice), arn, DurationSeconds=7200)

    remaining = session.get_credentials().remaining
    assert timedelta(seconds=7140) < remaining <= timedelta(seconds=7200)


def test_more_than_the_role_allows_is_refused_with_the_role_named(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    arn = role("Modest", MaxSessionDuration=3600)

    with pytest.raises(rolecall.FetchError) as caught:
        read(rolecall.assume_role(ceph.session(alice), arn, DurationSeconds=3601))

    assert isinstance(caught.value, ClientError)
    assert f"{arn}: STS says InvalidArgument" in str(caught.value)
    assert not caught.value.retryable


def test_a_session_policy_takes_rights_away(ceph: Ceph, alice: User, role: RoleMaker) -> None:
    session = rolecall.assume_role(ceph.session(alice), role("Narrowed"), Policy=compact(READ_ONLY))

    assert read(session) == BODY
    with pytest.raises(ClientError, match="AccessDenied"):
        session.client("s3").put_object(Bucket=BUCKET, Key="other", Body=b"no")


def test_a_session_policy_gives_no_rights(ceph: Ceph, alice: User, role: RoleMaker) -> None:
    arn = role("Powerless", policy=NOTHING_IN_S3)

    with pytest.raises(ClientError, match="AccessDenied"):
        read(rolecall.assume_role(ceph.session(alice), arn, Policy=compact(READ_ONLY)))


def test_a_session_keeps_its_policy_through_its_rotations(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    session = rolecall.assume_role(
        ceph.session(alice), role("StillNarrowed"), Policy=compact(READ_ONLY), **FLEETING
    )

    read_through(session, rotations=2, threads=2)

    with pytest.raises(ClientError, match="AccessDenied"):
        session.client("s3").put_object(Bucket=BUCKET, Key="other", Body=b"no")


def test_a_policy_that_the_gateway_cannot_read_is_a_clear_error(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    arn = role("Misread")
    # It reads no JSON with a blank in it: pass it text without any.
    blank = compact(READ_ONLY).replace(":[", ": [")

    with pytest.raises(rolecall.FetchError) as caught:
        read(rolecall.assume_role(ceph.session(alice), arn, Policy=blank))

    assert isinstance(caught.value, ClientError)
    assert f"{arn}: STS says MalformedPolicyDocument" in str(caught.value)
    assert not caught.value.retryable


# ── a role that is deleted ───────────────────────────────────────────────────────────────────


def test_a_deleted_role_denies_its_live_session_and_no_key_is_replaced_for_that(
    ceph: Ceph, keeper: User, alice: User, role: RoleMaker
) -> None:
    events: list[Event] = []
    session = rolecall.assume_role(ceph.session(alice), role("Doomed"), on_event=events.append)
    assert read(session) == BODY
    key = session.get_credentials().access_key
    ceph.delete_role(keeper, "Doomed")

    with pytest.raises(ClientError, match="AccessDenied") as caught:
        read(session)

    # The service's own word: AccessDenied says nothing of the key, and asking STS mends nothing.
    assert not isinstance(caught.value, rolecall.RolecallError)
    assert session.get_credentials().access_key == key
    assert session.get_credentials().state == "fresh"
    assert kinds(events) == ["refreshed"]


def test_a_deleted_role_is_told_when_its_session_would_have_been_renewed(
    ceph: Ceph, keeper: User, alice: User, role: RoleMaker
) -> None:
    arn = role("DoomedSoon")
    session = rolecall.assume_role(ceph.session(alice), arn, **FLEETING)
    assert read(session) == BODY
    expires_at = session.get_credentials().expires_at
    ceph.delete_role(keeper, "DoomedSoon")
    ceph.let_expire(expires_at)

    with pytest.raises(rolecall.FetchError) as caught:
        read(session)

    assert f"{arn}: " in str(caught.value)
    assert caught.value.context["status"] == 404


def test_a_session_reads_again_once_its_role_is_made_again_and_its_keys_are_renewed(
    ceph: Ceph, keeper: User, alice: User, role: RoleMaker
) -> None:
    session = rolecall.assume_role(ceph.session(alice), role("Phoenix"))
    assert read(session) == BODY
    ceph.delete_role(keeper, "Phoenix")
    role("Phoenix")
    with pytest.raises(ClientError, match="AccessDenied"):
        read(session)  # its keys are of the role that is gone, for all that the names are the same

    session.get_credentials().refresh()

    assert read(session) == BODY


# ── accounts ─────────────────────────────────────────────────────────────────────────────────


def test_a_role_lets_in_the_user_of_another_account_whom_it_trusts(
    ceph: Ceph, stranger: User, role: RoleMaker
) -> None:
    arn = role("Hospitable", trusts=stranger.arn)

    session = rolecall.assume_role(ceph.session(stranger), arn)

    session.client("s3").list_buckets()
    assert stranger.account == OTHER_ACCOUNT
    assert session.get_credentials().account_id == ACCOUNT


def test_a_role_that_trusts_another_account_keeps_out_its_own(
    ceph: Ceph, alice: User, stranger: User, role: RoleMaker
) -> None:
    arn = role("Outgoing", trusts=stranger.arn)

    with pytest.raises(rolecall.AccessDenied, match=arn):
        read(rolecall.assume_role(ceph.session(alice), arn))


def test_a_role_without_an_account_is_refused_unless_validation_is_off(
    ceph: Ceph, admin: User, caller: User
) -> None:
    arn = ceph.role(admin, "Accountless", trusts=caller.arn, policy=ALL_OF_S3)
    assert arn == "arn:aws:iam:::role/Accountless"
    with pytest.raises(rolecall.InvalidChain, match="RoleArn"):
        rolecall.assume_role(ceph.session(caller), arn)

    session = rolecall.assume_role(ceph.session(caller), arn, validate=False)

    session.client("s3").list_buckets()
    assert session.get_credentials().account_id is None


def test_whoami_on_a_server_that_cannot_say_is_a_clear_error(
    ceph: Ceph, alice: User, role: RoleMaker
) -> None:
    session = rolecall.assume_role(ceph.session(alice), role("Nameless"))

    with pytest.raises(rolecall.FetchError, match="GetCallerIdentity: STS says M") as caught:
        session.get_credentials().whoami()

    assert isinstance(caught.value, ClientError)
    assert caught.value.context["code"] == "MethodNotAllowed"
    assert caught.value.hint == "this server does not have the operation"
    assert not caught.value.retryable
    assert read(session) == BODY
