from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from asking import ask_url, served
from botocore.credentials import Credentials, RefreshableCredentials

import rolecall
import rolecall.endpoint
from rolecall.clock import SYSTEM_CLOCK
from rolecall.endpoint.child import serving_child
from rolecall.endpoint.environment import REMOVED, child_environment
from rolecall.endpoint.server import Endpoint
from rolecall.errors import ConfigError
from rolecall.testing import FakeSource, StrictCloud

HUB = "arn:aws:iam::123456789012:role/Hub"
SPOKE = "arn:aws:iam::210987654321:role/Spoke"

STALE_KEYS = "aws_access_key_id = AKIAFAKESTALE\naws_secret_access_key = fake-stale-secret\n"
STALE_PROCESS = (
    f"credential_process = {sys.executable} -c \"print('fake-process-was-run')\"\nregion = x\n"
)

#: What a program finds left over in its environment; for the rest of `REMOVED`, a word.
STALE = {
    "AWS_PROFILE": "stale",
    "AWS_DEFAULT_PROFILE": "stale",
    "AWS_ROLE_ARN": SPOKE,
    "AWS_ACCOUNT_ID": "000000000000",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/stale",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/stale",
    "AWS_CREDENTIAL_EXPIRATION": "2001-01-01T00:00:00Z",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/fake/stale",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/fake/stale",
    "AWS_CREDENTIAL_FILE": "/fake/stale",
}

WHO = """
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
"""

#: Works for longer than ten seconds; the pause is what such a program does with its answers.
LONG_JOB = """
import threading, time, boto3
client, keys, pause = boto3.client("sts"), set(), threading.Event()
credentials, end = client._request_signer._credentials, time.monotonic() + 16.5
while time.monotonic() < end:
    assert ":assumed-role/" in client.get_caller_identity()["Arn"]
    keys.add(credentials.get_frozen_credentials().access_key)
    pause.wait(0.1)
print(len(keys))
"""


@pytest.fixture
def user(strict_cloud: StrictCloud) -> boto3.Session:
    return strict_cloud.session()


@pytest.fixture
def session(user: boto3.Session) -> rolecall.RoleSession:
    return rolecall.assume_role(user, HUB)


@pytest.fixture
def home(own_home: Path) -> Path:
    (own_home / ".aws").mkdir()
    return own_home


def environ_of(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a program whose home is *home*."""
    found = dict(os.environ)
    del found["AWS_CONFIG_FILE"], found["AWS_SHARED_CREDENTIALS_FILE"]
    return {**found, "HOME": str(home), **more}


def who_is(environ: dict[str, str]) -> str:
    """Return the access key that botocore finds in a program with *environ*."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    try:
        found = botocore.session.Session().get_credentials()
        assert found is not None
        return str(found.access_key)
    finally:
        os.environ.clear()
        os.environ.update(before)


def expiring(access_key: str = "ASIAFAKEOTHERS000001") -> RefreshableCredentials:
    def renew() -> dict[str, str]:
        end = datetime.fromtimestamp(SYSTEM_CLOCK.time() + 3600, timezone.utc)
        return {
            "access_key": access_key,
            "secret_key": "fake-secret",
            "token": "fake-token",
            "expiry_time": end.isoformat(),
        }

    found: RefreshableCredentials = RefreshableCredentials.create_from_metadata(
        renew(), refresh_using=renew, method="fake"
    )
    return found


def session_with(credentials: Any) -> botocore.session.Session:
    found = botocore.session.Session()
    found._credentials = credentials  # type: ignore[attr-defined]  # as botocore keeps them
    return found


# ── a child is the role ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shadow", ["keys", "process", "profile", "none"])
def test_a_child_is_the_role_whatever_was_left_about(
    strict_cloud: StrictCloud, session: rolecall.RoleSession, home: Path, shadow: str
) -> None:
    (home / ".aws/config").write_text(
        {"process": f"[default]\n{STALE_PROCESS}", "profile": "[profile stale]\nregion = x\n"}.get(
            shadow, ""
        )
    )
    (home / ".aws/credentials").write_text(
        {"keys": f"[default]\n{STALE_KEYS}", "profile": f"[stale]\n{STALE_KEYS}"}.get(shadow, "")
    )
    stale = {"AWS_PROFILE": "stale"} if shadow == "profile" else {}
    environ = environ_of(home, AWS_ENDPOINT_URL=strict_cloud.url, **stale)

    with rolecall.endpoint.serving(session, environ=environ) as child:
        done = subprocess.run(
            [sys.executable, "-c", WHO], env=child, capture_output=True, text=True, timeout=60
        )

    assert done.stderr == ""
    assert ":assumed-role/Hub/" in done.stdout


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint([served(FakeSource(SYSTEM_CLOCK))]) as running:
        yield running


def stale_value(variable: str) -> str:
    return STALE.get(variable, "fake-stale")


def test_no_variable_makes_a_child_somebody_else(endpoint: Endpoint, home: Path) -> None:
    (home / ".aws/credentials").write_text(f"[stale]\n{STALE_KEYS}[default]\n{STALE_KEYS}")

    for one in (*REMOVED, "AWS_BEARER_TOKEN_FAKE"):
        environ = environ_of(home, **{one: stale_value(one)})
        with serving_child(endpoint, "fake-role", environ, None) as child:
            assert child.get(one) != stale_value(one)
            assert who_is(child) == "ASIAFAKE000000000001", one


def test_no_two_variables_make_a_child_another_than_none_do(endpoint: Endpoint, home: Path) -> None:
    def child(**stale: str) -> dict[str, str]:
        environ = environ_of(home, **stale)
        return child_environment(environ, name="x", variables=endpoint.variables("fake-role"))

    expected = child()

    for one, other in itertools.combinations((*REMOVED, "AWS_BEARER_TOKEN_FAKE"), 2):
        stale = {one: stale_value(one), other: stale_value(other)}
        assert expected == child(**stale), (one, other)


@pytest.mark.parametrize(
    ("config", "credentials"),
    [
        ("", f"[default]\n{STALE_KEYS}"),
        (f"[default]\n{STALE_KEYS}", ""),
        (f"[profile default]\n{STALE_PROCESS}", ""),
        (f"[default]\n{STALE_PROCESS}", f"[default]\n{STALE_KEYS}"),
        (f"[default]\nrole_arn = {SPOKE}\nsource_profile = x\n[profile x]\n{STALE_KEYS}", ""),
        (f"[default]\nrole_arn = {SPOKE}\ncredential_source = Environment\n", ""),
        (f"[default]\nrole_arn = {SPOKE}\nweb_identity_token_file = /fake\n", ""),
        ("[default]\nsso_start_url = https://x.example\nsso_region = y\nsso_account_id = 1\n"
         "sso_role_name = r\n", ""),
        ("[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n"
         "[sso-session s]\nsso_start_url = https://x.example\nsso_region = y\n", ""),
        ("[default]\nlogin_session = arn:aws:iam::123456789012:user/x\n", ""),
        ("", f"[default]\n  {STALE_KEYS}".replace("\naws_secret", "\n  aws_secret")),
        (f"[DEFAULT]\n{STALE_KEYS}[default]\nregion = eu-west-1\n", ""),
    ],
)  # fmt: skip
def test_no_default_profile_makes_a_child_somebody_else(
    endpoint: Endpoint, home: Path, config: str, credentials: str
) -> None:
    (home / ".aws/config").write_text(config)
    (home / ".aws/credentials").write_text(credentials)

    with serving_child(endpoint, "fake-role", environ_of(home), None) as child:
        assert who_is(child) == "ASIAFAKE000000000001"


@pytest.mark.parametrize("named", [True, False])
def test_no_file_of_the_first_boto_makes_a_child_somebody_else(
    endpoint: Endpoint, home: Path, named: bool
) -> None:
    """botocore still reads it, before it asks an endpoint; gsutil's users have one."""
    file = home / ("fake.cfg" if named else ".boto")
    file.write_text(f"[Credentials]\n{STALE_KEYS}")
    environ = environ_of(home, **({"BOTO_CONFIG": str(file)} if named else {}))

    with serving_child(endpoint, "fake-role", environ, None) as child:
        assert who_is(child) == "ASIAFAKE000000000001"


def test_a_child_that_outlives_five_sessions_never_fails(
    strict_cloud: StrictCloud, user: boto3.Session, home: Path
) -> None:
    # Long enough for a request that is held up on a busy machine.
    strict_cloud.lifetime = timedelta(seconds=3.2)
    session = rolecall.assume_role(user, HUB)
    environ = environ_of(home, AWS_ENDPOINT_URL=strict_cloud.url)

    with rolecall.endpoint.serving(session, environ=environ) as child:
        done = subprocess.run(
            [sys.executable, "-c", LONG_JOB], env=child, capture_output=True, text=True, timeout=60
        )

    assert (done.stderr, done.returncode) == ("", 0)
    assert int(done.stdout) > 5


# ── what a child is given ────────────────────────────────────────────────────────────────


def test_a_child_is_given_the_same_token_in_a_variable_and_in_a_file(
    session: rolecall.RoleSession, home: Path
) -> None:
    with rolecall.endpoint.serving(session, environ=environ_of(home)) as child:
        file = Path(child["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
        token = child["AWS_CONTAINER_AUTHORIZATION_TOKEN"]

        assert token == file.read_text()
        url = child["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        assert ask_url(url, token).status == 200
        assert url.startswith("http://127.0.0.1:")
        assert "?" not in url
        assert "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" not in child
        assert child["ROLECALL"] == HUB


def test_nothing_else_of_the_environment_is_changed(
    session: rolecall.RoleSession, home: Path
) -> None:
    environ = environ_of(home, EDITOR="vi", AWS_CA_BUNDLE="/fake", PS1="$ ", EMPTY="")
    before = dict(environ)

    with rolecall.endpoint.serving(session, environ=environ) as child:
        changed = {name for name in {*child, *environ} if child.get(name) != environ.get(name)}

    assert before == environ
    assert changed == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_REGION", "AWS_DEFAULT_REGION", "ROLECALL",
        "AWS_SDK_LOAD_CONFIG", "no_proxy",
    }  # fmt: skip


def test_the_environment_of_this_process_is_left_alone(session: rolecall.RoleSession) -> None:
    before = dict(os.environ)

    with rolecall.endpoint.serving(session) as child:
        assert before == dict(os.environ)
        assert child["PATH"] == os.environ["PATH"]


def test_files_are_of_this_user_alone_and_gone_at_the_end(
    session: rolecall.RoleSession, home: Path
) -> None:
    (home / ".aws/credentials").write_text(f"[default]\n{STALE_KEYS}")
    before = os.umask(0)
    try:
        with (
            contextlib.suppress(ZeroDivisionError),
            rolecall.endpoint.serving(session, environ=environ_of(home)) as child,
        ):
            token = Path(child["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
            made = [token, Path(child["AWS_SHARED_CREDENTIALS_FILE"])]
            modes = [file.stat().st_mode & 0o7777 for file in made]
            inside = [one for one in token.parents if home in one.parents]
            folders = {one.stat().st_mode & 0o7777 for one in inside}
            _ = 1 // 0
    finally:
        os.umask(before)

    assert modes == [0o600, 0o600]
    assert {0o700} == folders
    assert not any(file.exists() for file in made)
    assert not token.parent.exists()


@pytest.mark.parametrize("kind", ["boto3", "botocore", "default"])
def test_a_child_has_the_sessions_own_region(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It may be of a profile that the child does not have."""
    core = session_with(expiring())
    core.set_config_variable("region", "eu-south-2")
    session = boto3.Session(botocore_session=core)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    given = {"boto3": session, "botocore": core, "default": None}[kind]

    with rolecall.endpoint.serving(given, environ=environ_of(home)) as child:
        assert "eu-south-2" == child["AWS_REGION"] == child["AWS_DEFAULT_REGION"]


def test_one_can_be_served_inside_another(user: boto3.Session, home: Path) -> None:
    hub = rolecall.assume_role(user, HUB)
    spoke = rolecall.assume_role(hub, SPOKE)

    with (
        rolecall.endpoint.serving(hub, environ=environ_of(home)) as outer,
        rolecall.endpoint.serving(spoke, environ=outer) as inner,
    ):
        keys = [who_is(outer), who_is(inner), who_is(outer)]
        assert (outer["ROLECALL"], inner["ROLECALL"]) == (HUB, SPOKE)
        folders = {Path(one["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).parent
                   for one in (outer, inner)}  # fmt: skip
        assert len(folders) == 2

    assert keys[0] == keys[2] != keys[1]


# ── what can be served ───────────────────────────────────────────────────────────────────


def test_every_kind_of_session_that_expires_can_be_served(
    user: boto3.Session, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = boto3.Session(botocore_session=session_with(expiring()))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", plain)
    kinds = {
        "a role": rolecall.assume_role(user, HUB),
        "a chain": rolecall.assume_role(rolecall.assume_role(user, HUB), SPOKE),
        "boto3": plain,
        "botocore": session_with(expiring("ASIAFAKEOTHERS000002")),
        "none": None,
        "refreshable": rolecall.refreshable_session(
            lambda: FakeSource(SYSTEM_CLOCK).make(
                7, datetime.fromtimestamp(SYSTEM_CLOCK.time(), timezone.utc)
            )
        ),
    }
    found = {}
    for kind, session in kinds.items():
        with rolecall.endpoint.serving(session, environ=environ_of(home)) as child:
            answer = ask_url(
                child["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
                child["AWS_CONTAINER_AUTHORIZATION_TOKEN"],
            )
            assert answer.status == 200
            found[kind] = answer.json

    assert found["a role"]["RoleArn"] == HUB
    assert found["a chain"]["RoleArn"] == SPOKE
    assert found["a chain"]["AccountId"] == "210987654321"
    assert "ASIAFAKEOTHERS000001" == found["boto3"]["AccessKeyId"] == found["none"]["AccessKeyId"]
    assert found["botocore"]["AccessKeyId"] == "ASIAFAKEOTHERS000002"
    assert found["refreshable"]["AccessKeyId"] == "ASIAFAKE000000000007"


def test_long_term_keys_are_not_handed_on(user: boto3.Session, home: Path) -> None:
    with (
        pytest.raises(ConfigError, match="long-term key") as caught,
        rolecall.endpoint.serving(user, environ=environ_of(home)),
    ):
        pass

    credentials = user.get_credentials()
    assert credentials is not None
    held = credentials.get_frozen_credentials()
    assert held.secret_key
    assert held.secret_key not in str(caught.value)
    assert caught.value.hint


def test_a_session_whose_end_is_not_known_is_not_called_a_long_term_key(home: Path) -> None:
    session = session_with(Credentials("ASIAFAKEOTHERS000003", "fake-secret", "fake-token"))

    with (
        pytest.raises(ConfigError) as caught,
        rolecall.endpoint.serving(session, environ=environ_of(home)),
    ):
        pass

    assert "long-term" not in str(caught.value)


class _FakeAioSession:
    """Says of itself that it is aiobotocore's, as that is not installed everywhere."""


_FakeAioSession.__module__ = "aiobotocore.session"


def test_what_is_no_session_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match="asynchronous"):
        rolecall.endpoint.serving(_FakeAioSession()).__enter__()
    with pytest.raises(TypeError, match="session must be"):
        rolecall.endpoint.serving("a profile's name").__enter__()


def test_nothing_to_serve_leaves_nothing_behind(user: boto3.Session, home: Path) -> None:
    with (
        pytest.raises(ConfigError),
        rolecall.endpoint.serving(user, environ=environ_of(home)),
    ):
        pass

    assert [home / ".aws"] == [one for one in home.iterdir() if one.name != ".cache"]
    assert list(home.glob(".cache/rolecall/run/*")) == []


@pytest.mark.parametrize("missing", ["uvicorn", "starlette", "h11"])
def test_without_the_extra_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, session: rolecall.RoleSession, missing: str
) -> None:
    ours = ("child", "server", "app", "status")
    for name in list(sys.modules):
        if name.partition(".")[0] in (missing, "uvicorn", "starlette") or name in {
            f"rolecall.endpoint.{one}" for one in ours
        }:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(ConfigError) as caught:
        rolecall.endpoint.serving(session).__enter__()

    assert caught.value.hint == "pip install 'rolecall[cli]'"
    assert missing in str(caught.value)
