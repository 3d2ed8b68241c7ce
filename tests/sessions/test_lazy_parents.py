"""Parents that renew themselves by a call: not before the first use, and not by STS's fault."""

from __future__ import annotations

import logging
import pickle
import traceback
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ClientError
from scenes import HUB, SPOKE, Assume
from written_profiles import arn_of, become, keys_of, write

import rolecall
from rolecall.testing import FakeClock, StrictCloud

SECRET = "hvs.fakeFAKEfake0123456789abcdefghijABCDEFGHIJ0123"


# ── nothing is called before the first use ───────────────────────────────────────────────


@pytest.fixture
def irsa(cloud: StrictCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """What boto3 makes of a pod of EKS."""
    become(monkeypatch, cloud, None)
    (tmp_path / "token").write_text(cloud.web_identity_token())
    monkeypatch.setenv("AWS_ROLE_ARN", HUB)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    return boto3.Session()


@pytest.fixture
def profile_role(
    cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> boto3.Session:
    become(monkeypatch, cloud, None)
    write(
        own_home,
        f"[profile hub]\nrole_arn = {HUB}\nsource_profile = base\n",
        "[base]\n" + keys_of(cloud, "alice"),
    )
    return boto3.Session(profile_name="hub")


@pytest.mark.parametrize("cached", [False, True], ids=["", "with a cache"])
@pytest.mark.parametrize("kind", ["irsa", "profile_role"])
def test_assuming_a_role_from_what_botocore_renews_makes_no_call(
    kind: str,
    cached: bool,
    assume: Assume,
    cloud: StrictCloud,
    request: pytest.FixtureRequest,
) -> None:
    parent = request.getfixturevalue(kind)
    options: dict[str, Any] = {"cache": {}} if cached else {}

    session = assume(SPOKE, session=assume(HUB, session=parent, **options), **options)
    repr(session.get_credentials())
    pickle.dumps(session.chain)

    assert cloud.calls() == 0
    assert "assumed-role/Spoke" in arn_of(session)


@pytest.mark.parametrize("cached", [False, True], ids=["", "with a cache"])
def test_an_sts_that_refuses_the_parent_is_told_at_the_first_use(
    irsa: boto3.Session, assume: Assume, cloud: StrictCloud, cached: bool
) -> None:
    cloud.fail("AssumeRoleWithWebIdentity", code="AccessDenied", status=403)
    options: dict[str, Any] = {"cache": {}} if cached else {}

    session = assume(SPOKE, session=irsa, **options)

    with pytest.raises(ClientError, match="AccessDenied"):
        arn_of(session)


# ── whose fault it is ────────────────────────────────────────────────────────────────────


def renewing(user: boto3.Session, refresh: Any) -> boto3.Session:
    """Return a session whose credentials are expired and renewed by *refresh*."""
    core: botocore.session.Session = user._session
    core._credentials = RefreshableCredentials(
        "ASIAFAKE000000000001",
        "fake-secret",
        "fake-token",
        datetime(2020, 1, 1, tzinfo=timezone.utc),
        refresh,
        "custom",
    )
    return user


def dead() -> dict[str, str]:
    return {
        "access_key": "ASIAFAKE000000000002",
        "secret_key": "fake-secret",
        "token": "fake-token",
        "expiry_time": "2020-01-01T00:00:00Z",
    }


def broken() -> dict[str, str]:
    raise OSError("the vault is sealed")


@pytest.mark.parametrize(
    ("refresh", "said"),
    [(dead, "still expired"), (broken, "OSError: the vault is sealed")],
)
def test_a_parent_that_cannot_renew_itself_is_not_blamed_on_sts(
    assume: Assume, user: boto3.Session, cloud: StrictCloud, refresh: Any, said: str
) -> None:
    session = assume(session=renewing(user, refresh))

    with pytest.raises(rolecall.CredentialsExpired, match=said) as caught:
        session.get_credentials().get_frozen_credentials()

    assert "the source credentials (custom)" in str(caught.value)
    assert "STS" not in str(caught.value)
    assert cloud.calls() == 0


def test_what_a_parents_refresh_raises_shows_no_secret(assume: Assume, user: boto3.Session) -> None:
    def leak() -> dict[str, str]:
        raise OSError(f"the vault said token={SECRET}")

    session = assume(session=renewing(user, leak))

    with pytest.raises(rolecall.CredentialsExpired) as caught:
        session.get_credentials().get_frozen_credentials()

    assert SECRET not in "".join(traceback.format_exception(caught.value))
    error: BaseException | None = caught.value
    while error is not None:
        assert isinstance(error, rolecall.CredentialsExpired)
        error = error.__cause__ or error.__context__


def test_a_parents_own_refusal_comes_as_it_is(assume: Assume, cloud: StrictCloud) -> None:
    cloud.trust(HUB, ["arn:aws:iam::123456789012:user/nobody"])

    with pytest.raises(rolecall.AccessDenied, match=f"^{HUB}: "):
        assume(SPOKE, session=assume()).get_credentials().get_frozen_credentials()


# ── python -W error ──────────────────────────────────────────────────────────────────────


def test_a_warning_that_is_an_error_does_not_fail_the_fetch(
    assume: Assume,
    cloud: StrictCloud,
    own_home: Path,
    fake_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cloud.lifetime = timedelta(minutes=10)
    keys = cloud.session().client("sts").get_session_token()["Credentials"]
    cloud.lifetime = None
    become(monkeypatch, cloud, None)
    write(
        own_home,
        credentials="[saml]\n"
        f"aws_access_key_id = {keys['AccessKeyId']}\n"
        f"aws_secret_access_key = {keys['SecretAccessKey']}\n"
        f"aws_session_token = {keys['SessionToken']}\n"
        f"x_security_token_expires = {keys['Expiration'].isoformat()}\n",
    )
    session = assume(session=boto3.Session(profile_name="saml"))

    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, "rolecall"):
        warnings.simplefilter("error")
        session.get_credentials().get_frozen_credentials()
        session.get_credentials().refresh()

    said = [one.getMessage() for one in caplog.records if "sign in again" in one.getMessage()]
    assert len(said) == 1
    assert "expire at 2030-01-01T00:10:00" in said[0]
