"""Bad input and faults: one clear error of ours, botocore's too where botocore raises one today,
nothing good lost, and no secret anywhere."""

from __future__ import annotations

import base64
import gc
import json
import logging
import pickle
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    InfiniteLoopConfigError,
    InvalidConfigError,
    NoCredentialsError,
    ParamValidationError,
    ProfileNotFound,
    ReadTimeoutError,
)
from scenes import HUB, SPOKE, Assume, settle

import rolecall
from rolecall.refresh import Event
from rolecall.sources.redaction import redact_logs
from rolecall.sources.sts import expiry_of_jwt
from rolecall.testing import FakeClock, Gate, StrictCloud

QUICK = {"config": Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=1)}
MFA = "arn:aws:iam::123456789012:mfa/me"

#: How every secret key and token of a strict cloud begins, and those this module makes up.
SECRETS = re.compile(r"fake-(?:secret|token)-[0-9a-z]{4,}|ZmFrZS1zZWNyZX|ZmFrZS10b2tlb")


class Ears:
    """Everything a program could have let slip: logs of every logger, events, errors, warnings."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.handler = logging.Handler(logging.DEBUG)
        self.handler.emit = self._emit  # type: ignore[method-assign]
        self.formatter = logging.Formatter("%(name)s %(message)s")

    def _emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.formatter.format(record))

    def hear(self, thing: object) -> None:
        """Take in *thing*: its text, repr and pickle, and all that an exception drags along."""
        self.heard += [str(thing), repr(thing)]
        if isinstance(thing, BaseException):
            self.heard.append("".join(traceback.format_exception(thing)))
            seen: list[Any] = [thing]
            while seen:
                error = seen.pop()
                self.heard += [repr(error), repr(getattr(error, "__dict__", ""))]
                seen += [e for e in (error.__cause__, error.__context__) if e is not None]
        try:
            self.heard.append(pickle.dumps(thing).decode("latin-1"))
        except Exception as error:  # what does not pickle tells nothing
            self.heard.append(str(error))

    def assert_no_secret(self) -> None:
        text = "\n".join(self.heard)
        found = SECRETS.search(text)
        assert found is None, text[max(0, found.start() - 600) : found.end() + 40]


@pytest.fixture(autouse=True)
def ears() -> Iterator[Ears]:
    """Listen to every logger at DEBUG, botocore's included, and at the end look for secrets.

    In every test of this module, so that no fault is left out.
    """
    redact_logs()  # as the first session made would; fixtures talk to the cloud before there is one
    ears = Ears()
    root = logging.getLogger()
    level = root.level
    root.addHandler(ears.handler)
    root.setLevel(logging.DEBUG)
    try:
        yield ears
        ears.assert_no_secret()
    finally:
        root.removeHandler(ears.handler)
        root.setLevel(level)


# ── sources ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("validate", [True, False])
def test_without_credentials_nothing_is_assumed(validate: bool) -> None:
    with pytest.raises(NoCredentialsError):
        rolecall.assume_role(boto3.Session(), HUB, validate=validate)


@pytest.fixture
def dying(
    cloud: StrictCloud,
    fake_clock: FakeClock,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., boto3.Session]:
    """A session with temporary keys in the credentials file, whose expiry a tool noted there."""

    def dying(lives: timedelta, *, noted: bool = True) -> boto3.Session:
        cloud.lifetime = lives
        keys = cloud.session().client("sts").get_session_token()["Credentials"]
        cloud.lifetime = None
        noted_line = f"x_security_token_expires = {keys['Expiration'].isoformat()}"
        (own_home / ".aws").mkdir(exist_ok=True)
        (own_home / ".aws" / "credentials").write_text(
            "[saml]\n"
            f"aws_access_key_id = {keys['AccessKeyId']}\n"
            f"aws_secret_access_key = {keys['SecretAccessKey']}\n"
            f"aws_session_token = {keys['SessionToken']}\n" + (noted_line if noted else "")
        )
        monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
        return boto3.Session(profile_name="saml", region_name="us-east-1")

    return dying


def test_source_credentials_that_expired_are_named_with_when_and_what_to_do(
    dying: Callable[..., boto3.Session], assume: Assume, fake_clock: FakeClock, ears: Ears
) -> None:
    parent = dying(timedelta(minutes=30))
    died = fake_clock.now + timedelta(minutes=30)
    fake_clock.tick(minutes=40)

    session = assume(session=parent, sts_client_kwargs=QUICK)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(rolecall.CredentialsExpired) as caught:
            session.get_credentials().get_frozen_credentials()

    assert "expired at" in str(warned[0].message)

    ears.hear(caught.value)
    said = str(caught.value)
    assert "profile 'saml'" in said
    assert died.isoformat() in said
    assert "sign in again" in said
    assert isinstance(caught.value, ClientError)
    assert caught.value.response["Error"]["Code"] == "ExpiredToken"


def test_source_credentials_that_run_out_are_warned_about_once(
    dying: Callable[..., boto3.Session], assume: Assume, fake_clock: FakeClock
) -> None:
    parent = dying(timedelta(minutes=70))
    session = assume(session=parent, DurationSeconds=900, sts_client_kwargs=QUICK)
    credentials = session.get_credentials()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(68):  # two of its refreshes fall into the last quarter of an hour
            credentials.get_frozen_credentials()
            settle(session)
            fake_clock.tick(minutes=1)

    told = [str(one.message) for one in caught if issubclass(one.category, RuntimeWarning)]
    assert len(told) == 1
    assert "cannot renew themselves" in told[0]


def test_source_credentials_of_unknown_expiry_are_still_named(
    dying: Callable[..., boto3.Session], assume: Assume, fake_clock: FakeClock
) -> None:
    parent = dying(timedelta(minutes=30), noted=False)
    fake_clock.tick(minutes=40)

    with pytest.raises(rolecall.CredentialsExpired, match="cannot renew themselves: sign in again"):
        assume(session=parent, sts_client_kwargs=QUICK).get_credentials().access_key  # noqa: B018


# ── arguments ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::123456789012:user/me",
        "arn:aws:sts::123456789012:assumed-role/Hub/me",
        "arn:aws:iam::1234:role/Hub",
        "Hub",
        "",
        "arn:aws:s3:::bucket/with/a/long/enough/key",
    ],
)
def test_what_is_no_role_arn_is_refused_at_the_call(
    assume: Assume, cloud: StrictCloud, arn: str
) -> None:
    with pytest.raises(ParamValidationError) as caught:
        assume(arn)

    assert isinstance(caught.value, rolecall.InvalidChain)
    assert "RoleArn" in str(caught.value)
    assert cloud.calls() == 0


def test_a_role_of_another_partition_is_refused(
    assume: Assume, user: boto3.Session, cloud: StrictCloud
) -> None:
    china = "arn:aws-cn:iam::210987654321:role/Spoke"

    for parent in (user, assume()):
        with pytest.raises(rolecall.InvalidChain, match="partition"):
            assume(china, session=parent)
    assert assume(china, sts_client_kwargs={"region_name": "cn-north-1"})
    assert cloud.calls() == 0


def test_keywords_of_the_wrong_kind_are_told_at_the_call_all_at_once(assume: Assume) -> None:
    with pytest.raises(TypeError) as caught:
        assume(mfa_session=3600, refresh_policy=5, on_event=5, region_name=5, additional_kwargs=5)

    for told in (
        "mfa_session must be a timedelta such as timedelta(hours=12), got 3600",
        "refresh_policy must be a RefreshPolicy, got 5",
        "on_event must be a callable that need not be awaited, got 5",
        "region_name must be a region, True, False or None, got 5",
        "additional_kwargs must be a dict of AssumeRole arguments, got 5",
    ):
        assert told in str(caught.value)
    with pytest.raises(TypeError, match="minutes=30"):
        assume().get_credentials().ensure_valid_for(30)  # type: ignore[arg-type]


def test_all_that_is_wrong_is_said_at_once(assume: Assume, cloud: StrictCloud) -> None:
    with pytest.raises(ParamValidationError) as caught:
        assume(
            "arn:aws:iam::123456789012:user/me",
            RoleSessionName="no spaces!",
            DurationSeconds=899,
            ExternalId="x",
            Tags=[{"Key": "a", "Value": "b" * 257}],
            Policy="{not json",
            PolicyArns="arn:aws:iam::aws:policy/ReadOnlyAccess",
            SourceIdentity="aws:me",
            SerialNumber="short",
            TokenCode="12345",
            additional_kwargs={"Unheard": 1},
        )

    said = str(caught.value)
    for name in (
        "RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "Tags", "Policy",
        "PolicyArns", "SourceIdentity", "SerialNumber", "TokenCode", "Unheard",
    ):  # fmt: skip
        assert f"{name}" in said, said
    assert "12345" not in said.replace("123456789012", "")
    assert cloud.calls() == 0


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"sts_client_kwargs": {"regoin_name": "x"}}, "regoin_name"),
        ({"sts_client_kwargs": {"config": {"retries": 1}}}, "not botocore.config.Config"),
    ],
)
def test_what_an_sts_client_does_not_take_is_refused(
    assume: Assume, keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(rolecall.ConfigError, match=message):
        assume(**keywords)


@pytest.mark.parametrize("parent", ["profile", 7, object()])
def test_what_is_no_session_is_refused(parent: object) -> None:
    with pytest.raises(TypeError, match="must be a boto3 or botocore Session"):
        rolecall.assume_role(parent, HUB)  # type: ignore[arg-type]


def test_a_cache_that_is_no_mapping_is_refused(assume: Assume) -> None:
    with pytest.raises(TypeError, match="__getitem__"):
        assume(cache=7)


def test_what_lambda_hands_over_is_a_roles_session(
    cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    rolecall.assume_role(boto3.Session(), HUB, DurationSeconds=7200)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")

    with pytest.raises(rolecall.InvalidChain, match="role session assumes the next role"):
        rolecall.assume_role(boto3.Session(), HUB, DurationSeconds=7200)


# ── an STS that is ill ───────────────────────────────────────────────────────────────────

FAULTS: dict[str, tuple[Callable[[StrictCloud], Any], type[Exception], type[Exception]]] = {
    "refuses": (
        lambda cloud: cloud.fail("AssumeRole", code="AccessDenied"),
        rolecall.AccessDenied,
        ClientError,
    ),
    "throttles": (
        lambda cloud: cloud.fail("AssumeRole", code="Throttling", status=400),
        rolecall.Throttled,
        ClientError,
    ),
    "fails": (
        lambda cloud: cloud.fail("AssumeRole", code="InternalFailure", status=500),
        rolecall.Unreachable,
        ClientError,
    ),
    "is unavailable": (
        lambda cloud: cloud.fail("AssumeRole", code="ServiceUnavailable", status=503),
        rolecall.Unreachable,
        ClientError,
    ),
    "answers HTML as an error": (
        lambda cloud: cloud.fail("AssumeRole", body="<html>502 Bad Gateway</html>", status=502),
        rolecall.Unreachable,
        Exception,
    ),
    "answers HTML as a success": (
        lambda cloud: cloud.fail("AssumeRole", body="<html>Sign in</html>", status=200),
        rolecall.Unreachable,
        Exception,
    ),
    "answers rubbish": (
        lambda cloud: cloud.fail("AssumeRole", body="\x00\x01<", status=200),
        rolecall.Unreachable,
        Exception,
    ),
    "answers an error without a code": (
        lambda cloud: cloud.fail("AssumeRole", code=None, status=403),
        rolecall.AccessDenied,
        ClientError,
    ),
    "answers a bare error": (  # as Ceph RGW does: botocore then finds no Error element
        lambda cloud: cloud.fail(
            "AssumeRole",
            body="<Error><Code>MalformedPolicyDocument</Code><Message></Message></Error>",
            content_type="application/xml",
            status=400,
        ),
        rolecall.FetchError,
        ClientError,
    ),
    "resets": (
        lambda cloud: cloud.reset_connections("AssumeRole"),
        rolecall.Unreachable,
        Exception,
    ),
    "is down": (lambda cloud: cloud.down(), rolecall.Unreachable, EndpointConnectionError),
    "hangs": (lambda cloud: cloud.hold("AssumeRole"), rolecall.Unreachable, ReadTimeoutError),
    "has the region off": (
        lambda cloud: cloud.fail("AssumeRole", code="RegionDisabledException"),
        rolecall.FetchError,
        ClientError,
    ),
    "finds the policy malformed": (
        lambda cloud: cloud.fail("AssumeRole", code="MalformedPolicyDocument", status=400),
        rolecall.FetchError,
        ClientError,
    ),
    "finds the policy too large": (
        lambda cloud: cloud.fail("AssumeRole", code="PackedPolicyTooLarge", status=400),
        rolecall.FetchError,
        ClientError,
    ),
    "finds the source expired": (
        lambda cloud: cloud.fail("AssumeRole", code="ExpiredToken", status=400),
        rolecall.CredentialsExpired,
        ClientError,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_ill_sts_costs_nothing_that_is_valid_and_shows_no_secret(
    assume: Assume,
    cloud: StrictCloud,
    fake_clock: FakeClock,
    events: list[Event],
    ears: Ears,
    fault: str,
) -> None:
    break_it, ours, theirs = FAULTS[fault]
    session = assume(sts_client_kwargs=QUICK, Tags={"team": "data"})
    credentials = session.get_credentials()
    good = credentials.get_frozen_credentials()
    session.client("s3").list_buckets()
    break_it(cloud)
    fake_clock.tick(minutes=45)

    assert credentials.get_frozen_credentials() == good
    settle(session)
    assert credentials.get_frozen_credentials() == good
    assert events[-1].kind == "refresh_failed"
    with pytest.raises(ours) as refreshed:
        credentials.refresh()
    assert isinstance(refreshed.value, theirs)
    assert credentials.get_frozen_credentials() == good
    fake_clock.tick(hours=1)
    with pytest.raises(ours) as expired:
        credentials.get_frozen_credentials()
    assert isinstance(expired.value, theirs)
    assert HUB in str(expired.value)
    assert expired.value.hint  # type: ignore[attr-defined]

    cloud.recover()
    fake_clock.tick(seconds=5)
    assert credentials.get_frozen_credentials() != good
    session.client("dynamodb").list_tables()
    for thing in (refreshed.value, expired.value, *events, session, credentials, session.chain):
        ears.hear(thing)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_error_of_a_first_fetch_travels_to_another_process(
    assume: Assume, cloud: StrictCloud, fault: str
) -> None:
    break_it, ours, theirs = FAULTS[fault]
    break_it(cloud)

    with pytest.raises(ours) as caught:
        assume(sts_client_kwargs=QUICK).get_credentials().access_key  # noqa: B018
    again = pickle.loads(pickle.dumps(caught.value))
    cloud.recover()

    assert isinstance(again, ours)
    assert isinstance(again, theirs)
    assert str(again) == str(caught.value)
    if isinstance(again, ClientError):
        assert again.response["Error"] == caught.value.response["Error"]  # type: ignore[attr-defined]
        assert again.operation_name == "AssumeRole"


def test_a_truncated_answer_does_not_show_its_keys(
    assume: Assume, cloud: StrictCloud, ears: Ears
) -> None:
    secret = "fake-secret-in-a-truncated-answer"
    body = (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>'
        f"<Credentials><AccessKeyId>ASIAFAKE</AccessKeyId><SecretAccessKey>{secret}</SecretAcc"
    )
    cloud.fail("AssumeRole", body=body, status=200, content_type="text/xml")

    with pytest.raises(rolecall.Unreachable) as caught:
        assume(sts_client_kwargs=QUICK).get_credentials().access_key  # noqa: B018

    ears.hear(caught.value)
    assert secret not in "\n".join(ears.heard)


def test_an_answer_without_credentials_is_told(assume: Assume, cloud: StrictCloud) -> None:
    body = (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>'
        "<Credentials><AccessKeyId>ASIAFAKE</AccessKeyId></Credentials>"
        "</AssumeRoleResult></AssumeRoleResponse>"
    )
    cloud.fail("AssumeRole", body=body, status=200, content_type="text/xml")

    with pytest.raises(rolecall.Unreachable, match="without SecretAccessKey, SessionToken"):
        assume(sts_client_kwargs=QUICK).get_credentials().access_key  # noqa: B018


def test_an_answer_for_another_account_is_refused(assume: Assume, cloud: StrictCloud) -> None:
    body = (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>'
        "<Credentials><AccessKeyId>ASIAFAKE</AccessKeyId><SecretAccessKey>x</SecretAccessKey>"
        "<SessionToken>y</SessionToken><Expiration>2040-01-01T00:00:00Z</Expiration></Credentials>"
        "<AssumedRoleUser><Arn>arn:aws:sts::999999999999:assumed-role/Hub/me</Arn>"
        "<AssumedRoleId>A:me</AssumedRoleId></AssumedRoleUser>"
        "</AssumeRoleResult></AssumeRoleResponse>"
    )
    cloud.fail("AssumeRole", body=body, status=200, content_type="text/xml")

    with pytest.raises(rolecall.FetchError, match="of account 999999999999"):
        assume(sts_client_kwargs=QUICK).get_credentials().access_key  # noqa: B018


# ── MFA ──────────────────────────────────────────────────────────────────────────────────


def test_mfa_without_a_terminal_says_what_to_do(assume: Assume, ears: Ears) -> None:
    with pytest.raises(rolecall.MFARequired, match="mfa_token_provider") as caught:
        assume(SerialNumber=MFA).get_credentials().access_key  # noqa: B018

    ears.hear(caught.value)


def test_a_wrong_code_is_stss_refusal_and_is_not_shown(
    assume: Assume, cloud: StrictCloud, ears: Ears
) -> None:
    cloud.trust(HUB, mfa=True)
    cloud.mfa_codes(MFA, "123456")
    wrong = str(987653 + 1)  # not in the source lines that a traceback shows
    session = assume(SerialNumber=MFA, mfa_token_provider=lambda: wrong)

    with pytest.raises(rolecall.MFARequired, match="wait for the next one") as caught:
        session.get_credentials().refresh()

    ears.hear(caught.value)
    assert isinstance(caught.value, ClientError)
    assert wrong not in "\n".join(ears.heard)


# ── web identity ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def web(
    cloud: StrictCloud, fake_clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., rolecall.RoleSession]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def web(content: bytes | None = None, **keywords: Any) -> rolecall.RoleSession:
        file = tmp_path / "token"
        if content is not None:
            file.write_bytes(content)
        given = {"token_file": str(file)} if "token" not in keywords else {}
        origin = rolecall.WebIdentity(role_arn=HUB, **given, **keywords)
        session: rolecall.RoleSession = rolecall.RoleChain(origin).session(
            clock=fake_clock, sts_client_kwargs=QUICK
        )
        return session

    return web


def test_a_web_identity_token_is_read_anew_at_each_refresh(
    web: Callable[..., rolecall.RoleSession],
    cloud: StrictCloud,
    fake_clock: FakeClock,
    tmp_path: Path,
    ears: Ears,
) -> None:
    token = cloud.web_identity_token()
    session = web(token.encode() + b"\n")
    assert "assumed-role/Hub/" in session.get_credentials().whoami().arn
    fake_clock.tick(hours=2)
    fresh = cloud.web_identity_token()
    (tmp_path / "token").write_text(fresh)

    session.client("s3").list_buckets()

    assert cloud.calls("AssumeRoleWithWebIdentity") == 2
    heard = "\n".join(ears.heard)
    assert token not in heard
    assert fresh not in heard


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"two words", "white space"),
        (b"\xff\xfe\x00", "no token"),
        (b"x" * 20_001, "no token"),
    ],
)
def test_a_token_file_that_holds_no_token_is_told(
    web: Callable[..., rolecall.RoleSession], content: bytes | None, message: str
) -> None:
    with pytest.raises(rolecall.ConfigError, match=message) as caught:
        web(content).get_credentials().access_key  # noqa: B018

    assert "web identity token file" in str(caught.value)


def test_an_expired_token_is_told_with_its_expiry(
    web: Callable[..., rolecall.RoleSession], cloud: StrictCloud, fake_clock: FakeClock, ears: Ears
) -> None:
    token = cloud.web_identity_token(expires_in=timedelta(minutes=5))
    session = web(token.encode())
    fake_clock.tick(minutes=10)

    with pytest.raises(
        rolecall.CredentialsExpired, match="expired at 2030-01-01T00:05:00"
    ) as caught:
        session.get_credentials().access_key  # noqa: B018

    ears.hear(caught.value)
    assert token not in "\n".join(ears.heard)


def returns(value: object) -> Callable[[], Any]:
    return lambda: value


async def coroutine() -> str:
    return "token"


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (returns(None), "returned NoneType"),
        (returns(7), "returned int"),
        (returns(""), "is empty"),
        (coroutine, "coroutine"),
    ],
)
def test_a_token_callable_that_gives_none_is_told(
    web: Callable[..., rolecall.RoleSession], token: Callable[[], Any], message: str
) -> None:
    with pytest.raises(rolecall.ConfigError, match=message):
        web(token=token).get_credentials().access_key  # noqa: B018
    gc.collect()


def test_a_token_callable_that_raises_is_told(web: Callable[..., rolecall.RoleSession]) -> None:
    def broken() -> str:
        raise OSError("the metadata server is away")

    with pytest.raises(rolecall.FetchError, match="raised OSError"):
        web(token=broken).get_credentials().access_key  # noqa: B018


# ── callables ────────────────────────────────────────────────────────────────────────────


def answer(clock: FakeClock, **changes: Any) -> dict[str, Any]:
    return {
        "access_key": "ASIAFAKE000000000001",
        "secret_key": "fake-secret-of-a-callable",
        "token": "fake-token-of-a-callable",
        "expiry_time": clock.now + timedelta(hours=1),
        **changes,
    }


def test_a_callable_that_hangs_does_not_hang_its_readers(fake_clock: FakeClock) -> None:
    gate = Gate()

    def fetch() -> dict[str, Any]:
        gate.pass_through()
        return answer(fake_clock)

    session = rolecall.refreshable_session(fetch, clock=fake_clock, region_name="eu-west-1")
    with gate, ThreadPoolExecutor(1) as pool:
        reader = pool.submit(lambda: session.get_credentials().access_key)
        gate.wait_for_arrival()
        fake_clock.wait_for_waiters()
        fake_clock.tick(seconds=61)

        with pytest.raises(rolecall.Unreachable, match="within 60 s"):
            reader.result(timeout=20)
    flight = session.get_credentials()._refresher._flight
    if flight is not None:
        flight.future.result(timeout=20)


@pytest.mark.parametrize("wrong", [None, {}, {"access_key": "x"}, "key", ("a", "b", "c")], ids=repr)
def test_a_callable_that_answers_wrongly_keeps_what_is_good(
    fake_clock: FakeClock, wrong: object
) -> None:
    answers: list[object] = [answer(fake_clock), wrong]
    session = rolecall.refreshable_session(lambda: answers.pop(0), clock=fake_clock)
    credentials = session.get_credentials()
    good = credentials.get_frozen_credentials()
    fake_clock.tick(minutes=45)
    credentials.get_frozen_credentials()
    settle(session)

    assert credentials.get_frozen_credentials() == good
    assert credentials._refresher.state.failure is not None


# ── profiles ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("config", "message", "theirs"),
    [
        ("", "'a' does not exist", ProfileNotFound),
        (
            "[profile a]\nrole_arn = {HUB}\nsource_profile = b\n",
            "'b' does not exist",
            InvalidConfigError,
        ),
        (
            "[profile a]\nrole_arn = {HUB}\nsource_profile = b\n"
            "[profile b]\nrole_arn = {HUB}\nsource_profile = a\n",
            "a -> b -> a",
            InfiniteLoopConfigError,
        ),
        (
            "[profile a]\nrole_arn = {HUB}\nsource_profile = a\ncredential_source = Environment\n",
            "both source_profile and credential_source",
            InvalidConfigError,
        ),
        (
            "[profile a]\nrole_arn = {HUB}\ncredential_source = Ec2\n",
            "unknown credential_source",
            InvalidConfigError,
        ),
    ],
)
def test_a_profile_that_does_not_add_up_is_told(
    own_home: Path, config: str, message: str, theirs: type[Exception]
) -> None:
    (own_home / ".aws").mkdir()
    (own_home / ".aws" / "config").write_text(config.replace("{HUB}", HUB))

    with pytest.raises(rolecall.ConfigError, match=message) as caught:
        rolecall.RoleChain(rolecall.Profile("a"), SPOKE).session()

    assert isinstance(caught.value, theirs)


def test_a_source_profile_without_credentials_is_no_machine_role(own_home: Path) -> None:
    (own_home / ".aws").mkdir()
    (own_home / ".aws" / "config").write_text(
        f"[profile a]\nrole_arn = {HUB}\nsource_profile = b\n[profile b]\nregion = eu-west-1\n"
    )

    with pytest.raises(NoCredentialsError):
        rolecall.RoleChain(rolecall.Profile("a"), SPOKE).session()


def test_whatever_a_token_holds_its_expiry_is_read_or_not_known() -> None:
    def jwt(claims: object) -> str:
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        return f"e30.{body}.fake"

    assert expiry_of_jwt(jwt({"exp": 0})) == datetime(1970, 1, 1, tzinfo=timezone.utc)
    for nothing in (
        "",
        "a.b.c",
        "no dots",
        jwt([]),
        jwt({}),
        jwt({"exp": "x"}),
        jwt({"exp": 1e30}),
    ):
        assert expiry_of_jwt(nothing) is None
