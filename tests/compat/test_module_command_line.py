"""``python -m rolecall.compat``: the command line that scripts of aws-assume-role-lib call."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest

from rolecall import compat
from rolecall.testing import StrictCloud

ROLE = "arn:aws:iam::210987654321:role/Reader"
DEVICE = "arn:aws:iam::123456789012:mfa/fake-user"
ENV_NAMES = [
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_CREDENTIALS_EXPIRATION",
]  # fmt: skip
PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run of the command line left behind: the code is None where it ran to its end."""

    code: int | None
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line here, with a callback for its exit codes."""

    def run(*words: str) -> Ran:
        codes: list[int] = []
        compat.main(list(words), exit=codes.append)
        out, err = capfd.readouterr()
        assert len(codes) <= 1
        return Ran(code=codes[0] if codes else None, out=out, err=err)

    return run


@pytest.fixture
def cloud(strict_cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> StrictCloud:
    """A cloud that the environment leads to, as an IAM user."""
    for name, value in strict_cloud.environ().items():
        monkeypatch.setenv(name, value)
    return strict_cloud


@pytest.fixture
def sent(cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The arguments of each AssumeRole call that boto3's sessions make."""
    requests: list[dict[str, Any]] = []
    made = boto3.Session.__init__

    def watched(self: boto3.Session, *arguments: Any, **keywords: Any) -> None:
        made(self, *arguments, **keywords)
        self.events.register(
            "before-parameter-build.sts.AssumeRole",
            lambda params, **_: requests.append(dict(params)),
        )

    # boto3 itself is the border here: the command makes its session alone.
    monkeypatch.setattr(boto3.Session, "__init__", watched)
    return requests


def identity(out: str, cloud: StrictCloud) -> str:
    """Return the ARN of whoever holds the keys in *out*."""
    values = dict(line.split("=", 1) for line in out.splitlines())
    client = boto3.Session(
        aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=values["AWS_SESSION_TOKEN"],
    ).client("sts", endpoint_url=cloud.url, region_name="us-east-1")
    return str(client.get_caller_identity()["Arn"])


# ── what it prints ───────────────────────────────────────────────────────────────────────


def test_it_prints_exactly_four_lines_for_export(cloud: StrictCloud, run: Run) -> None:
    ran = run(ROLE, "--env")

    names = [line.partition("=")[0] for line in ran.out.splitlines()]
    assert (ran.code, names, ran.err) == (None, ENV_NAMES, "")


def test_lines_for_export_are_the_default(cloud: StrictCloud, run: Run) -> None:
    ran = run(ROLE)

    assert [line.partition("=")[0] for line in ran.out.splitlines()] == ENV_NAMES


def test_the_keys_are_those_of_the_role(cloud: StrictCloud, run: Run) -> None:
    ran = run(ROLE, "--RoleSessionName", "release-42")

    expected = "arn:aws:sts::210987654321:assumed-role/Reader/release-42"
    assert expected == identity(ran.out, cloud)


def test_the_role_is_assumed_once(cloud: StrictCloud, run: Run) -> None:
    run(ROLE)

    assert cloud.calls("AssumeRole") == 1


def test_it_prints_exactly_five_keys_as_json(cloud: StrictCloud, run: Run) -> None:
    ran = run(ROLE, "--json")

    printed = json.loads(ran.out)
    expected = {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert (None, expected, 1) == (ran.code, set(printed), printed["Version"])


@pytest.mark.parametrize("shape", ["--env", "--json"])
def test_the_expiration_is_utc_in_whole_seconds(cloud: StrictCloud, run: Run, shape: str) -> None:
    before = datetime.now(timezone.utc)

    ran = run(ROLE, shape, "--DurationSeconds", "7200")

    found = re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", ran.out)
    assert found is not None, ran.out
    left = datetime.strptime(f"{found[0]}+0000", "%Y-%m-%dT%H:%M:%SZ%z") - before
    assert timedelta(seconds=7190) < left < timedelta(seconds=7260)


def test_json_is_what_a_credential_process_prints(
    cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {name: os.environ[name] for name in cloud.environ()}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    config = own_home / "config"
    config.write_text(
        f"[profile hub]\ncredential_process = {sys.executable} -m rolecall.compat --json "
        f"--profile keys {ROLE}\n"
        f"[profile keys]\naws_access_key_id = {environ['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {environ['AWS_SECRET_ACCESS_KEY']}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    found = boto3.Session(profile_name="hub").client("sts").get_caller_identity()

    assert found["Arn"].startswith("arn:aws:sts::210987654321:assumed-role/Reader/")


def test_a_profile_is_where_it_starts_from(
    strict_cloud: StrictCloud, run: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = strict_cloud.credentials(user="alice", account="111111111111")
    config = own_home / "config"
    config.write_text(
        f"[profile alice]\nregion = eu-west-1\nendpoint_url = {strict_cloud.url}\n"
        f"aws_access_key_id = {alice.access_key}\naws_secret_access_key = {alice.secret_key}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    ran = run("--profile", "alice", ROLE)

    assert (ran.code, ran.err) == (None, "")
    assert alice.access_key == strict_cloud.log[0].access_key


# ── arguments ────────────────────────────────────────────────────────────────────────────

POLICY_ARN = "arn:aws:iam::aws:policy/ReadOnlyAccess"
OTHER_ARN = "arn:aws:iam::aws:policy/ViewOnlyAccess"
POLICY = {"Version": "2012-10-17", "Statement": []}
TEAM = {"Key": "team", "Value": "data"}
COST = {"Key": "cost", "Value": "a=b"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--RoleSessionName", "me"], {"RoleSessionName": "me"}),
        (["--PolicyArns", POLICY_ARN], {"PolicyArns": [{"arn": POLICY_ARN}]}),
        (
            ["--PolicyArns", f"{POLICY_ARN},{OTHER_ARN}"],
            {"PolicyArns": [{"arn": POLICY_ARN}, {"arn": OTHER_ARN}]},
        ),
        (["--PolicyArns", json.dumps([POLICY_ARN])], {"PolicyArns": [{"arn": POLICY_ARN}]}),
        (["--PolicyArns", json.dumps({"arn": POLICY_ARN})], {"PolicyArns": [{"arn": POLICY_ARN}]}),
        (["--Policy", json.dumps(POLICY)], {"Policy": json.dumps(POLICY)}),
        (["--DurationSeconds", "1800"], {"DurationSeconds": 1800}),
        (["--Tags", "team=data"], {"Tags": [TEAM]}),
        (["--Tags", "team=data,cost=a=b"], {"Tags": [TEAM, COST]}),
        (["--Tags", '{"team": "data", "cost": "a=b"}'], {"Tags": [TEAM, COST]}),
        (
            ["--Tags", "team=data", "--TransitiveTagKeys", "team"],
            {"TransitiveTagKeys": ["team"]},
        ),
        (
            ["--Tags", "team=data,cost=a=b", "--TransitiveTagKeys", "team,cost"],
            {"TransitiveTagKeys": ["team", "cost"]},
        ),
        (
            ["--Tags", "team=data", "--TransitiveTagKeys", '["team"]'],
            {"TransitiveTagKeys": ["team"]},
        ),
        (["--ExternalId", "fake-external-id"], {"ExternalId": "fake-external-id"}),
        (
            ["--SerialNumber", DEVICE, "--TokenCode", "123456"],
            {"SerialNumber": DEVICE, "TokenCode": "123456"},
        ),
        (
            ["--SourceIdentity", "alice"],
            {"SourceIdentity": "alice", "RoleSessionName": "alice"},
        ),
        (
            ["--additional-kwargs", '{"ExternalId": "fake-external-id"}'],
            {"ExternalId": "fake-external-id"},
        ),
        (
            ["--additional-kwargs", '{"ExternalId": "other"}', "--ExternalId", "fake-external-id"],
            {"ExternalId": "fake-external-id"},
        ),
        (["--RoleSess", "me"], {"RoleSessionName": "me"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_arguments_reach_sts(
    run: Run, sent: list[dict[str, Any]], words: list[str], expected: dict[str, Any]
) -> None:
    ran = run(ROLE, *words)

    assert (ran.code, ran.err) == (None, "")
    assert [expected] == [{name: one[name] for name in expected} for one in sent]


# ── exit code 2: usage ───────────────────────────────────────────────────────────────────

USAGE_MISTAKES = [
    [],
    [ROLE, "--env", "--json"],
    [ROLE, "--no-such-flag"],
    [ROLE, "another-role"],
    [ROLE, "--ExternalId"],
    [ROLE, "--Policy", "no JSON"],
    [ROLE, "--Policy", "[]"],
    [ROLE, "--Tags", "no-equals-sign"],
    [ROLE, "--Tags", '[{"Key": "team", "Value": "data"}]'],
    [ROLE, "--Tags", "[" * 100_000],
    [ROLE, "--TransitiveTagKeys", '{"team": "data"}'],
    [ROLE, "--PolicyArns", '"arn:aws:iam::aws:policy/ReadOnlyAccess"'],
    [ROLE, "--additional-kwargs", "ExternalId=x"],
    [ROLE, "--additional-kwargs", '["ExternalId"]'],
]


@pytest.mark.parametrize("words", USAGE_MISTAKES, ids=lambda words: " ".join(words)[:60])
def test_a_usage_mistake_is_code_2_for_the_callback(run: Run, words: list[str]) -> None:
    ran = run(*words)

    assert (ran.code, ran.out) == (2, "")
    assert f"{compat.PROG}: " in ran.err


def test_a_usage_mistake_without_a_callback_ends_the_process() -> None:
    with pytest.raises(SystemExit) as ended:
        compat.main([ROLE, "--no-such-flag"])

    assert ended.value.code == 2


def test_help_is_code_0_for_the_callback(run: Run) -> None:
    ran = run("--help")

    assert (ran.code, ran.err) == (0, "")
    assert f"usage: {compat.PROG}" in ran.out


@pytest.mark.parametrize(
    "words",
    [
        [ROLE, "--TokenCode", "123456", "654321"],
        [ROLE, "--T=654321"],
        [ROLE, "--env=654321"],
        [ROLE, "--no-such-flag=654321"],
        [ROLE, "--Policy", "654321"],
        [ROLE, "--Tags", "654321"],
    ],
    ids=lambda words: " ".join(words[1:]),
)
def test_a_usage_mistake_shows_no_value(run: Run, words: list[str]) -> None:
    ran = run(*words)

    assert ran.code == 2
    assert "654321" not in ran.err


# ── exit code 3: no credentials to start from ────────────────────────────────────────────


def test_no_credentials_is_code_3(run: Run) -> None:
    ran = run(ROLE)

    assert (ran.code, ran.out) == (3, "")


def test_a_profile_that_is_not_there_is_code_3(run: Run) -> None:
    ran = run(ROLE, "--profile", "nobody")

    assert (ran.code, ran.out) == (3, "")
    assert "nobody" in ran.err


def test_half_a_pair_of_keys_is_code_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFAKE000000000001")

    ran = run(ROLE)

    assert (ran.code, ran.out) == (3, "")
    assert "AWS_SECRET_ACCESS_KEY" in ran.err


def test_a_credential_process_that_fails_with_a_secret_shows_none(
    run: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = own_home / "config"
    config.write_text(
        "[profile broken]\n"
        "credential_process = sh -c 'echo SecretAccessKey=fake-secret-1 >&2; exit 1'\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    ran = run(ROLE, "--profile", "broken")

    assert (ran.code, ran.out) == (3, "")
    assert "fake-secret" not in ran.err


# ── exit code 4: the role was not assumed ────────────────────────────────────────────────


def test_a_refusal_is_code_4_and_says_what_sts_says(cloud: StrictCloud, run: Run) -> None:
    cloud.fail("AssumeRole", code="AccessDenied", message="not for you")

    ran = run(ROLE)

    assert (ran.code, ran.out) == (4, "")
    assert "AccessDenied" in ran.err
    assert "not for you" in ran.err
    assert ROLE in ran.err


def test_a_duration_that_is_no_number_is_code_4(cloud: StrictCloud, run: Run) -> None:
    ran = run(ROLE, "--DurationSeconds", "xxx")

    assert (ran.code, ran.out, cloud.calls()) == (4, "", 0)
    assert "DurationSeconds" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--DurationSeconds", "5"], "DurationSeconds"),
        (["--DurationSeconds", "-5"], "DurationSeconds"),
        (["--additional-kwargs", '{"Wrong": 1}'], "Wrong"),
        (["--Tags", "team=data,team=web"], "Tags[1].Key"),
        (["--Tags", '{"team": 1}'], "Tags[0].Value"),
        (["--RoleSessionName", "bad name!"], "RoleSessionName"),
        (["--PolicyArns", '{"other": 1}'], "PolicyArns[0]"),
        (["--TokenCode", "123456"], "SerialNumber"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_arguments_that_sts_would_refuse_are_code_4_and_not_sent(
    cloud: StrictCloud, run: Run, words: list[str], said: str
) -> None:
    ran = run(ROLE, *words)

    assert (ran.code, ran.out, cloud.calls()) == (4, "", 0)
    assert said in ran.err


def test_an_arn_that_is_no_role_is_code_4(cloud: StrictCloud, run: Run) -> None:
    ran = run("arn:aws:iam::123456789012:user/alice")

    assert (ran.code, ran.out, cloud.calls()) == (4, "", 0)


@pytest.mark.parametrize(
    "words",
    [
        ["--SerialNumber", DEVICE, "--TokenCode", "654321"],
        ["--additional-kwargs", json.dumps({"SerialNumber": DEVICE, "TokenCode": "654321"})],
        ["--ExternalId", "654321"],
        ["--additional-kwargs", '{"ExternalId": "654321"}'],
    ],
    ids=lambda words: words[0] + " " + words[-2],
)
def test_a_refusal_that_quotes_a_code_or_an_external_id_is_shown_without_it(
    cloud: StrictCloud, run: Run, words: list[str]
) -> None:
    cloud.fail("AssumeRole", code="ValidationError", status=400, message="Value '654321' at …")

    ran = run(ROLE, *words)

    assert (ran.code, ran.out) == (4, "")
    assert "Value '" in ran.err
    assert "654321" not in ran.err


def test_an_sts_that_is_down_is_code_4(cloud: StrictCloud, run: Run) -> None:
    cloud.down()

    ran = run(ROLE)

    assert (ran.code, ran.out) == (4, "")
    assert ROLE in ran.err


# ── as a process ─────────────────────────────────────────────────────────────────────────


def test_it_runs_as_a_module(cloud: StrictCloud) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rolecall.compat", ROLE, "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["AccessKeyId"].startswith("ASIAFAKE")


def test_a_process_ends_with_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rolecall.compat", ROLE],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (3, "")


def test_a_device_without_a_code_is_asked_for_at_the_terminal(cloud: StrictCloud) -> None:
    """The prompt goes to the terminal, the keys to standard output: ``export $(…)`` works."""
    cloud.mfa_codes(DEVICE, "123456")
    ours, theirs = pty.openpty()
    # A session of its own, so that the pseudo-terminal becomes its controlling terminal.
    script = (
        "import fcntl, sys, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0)\n"
        "from rolecall.compat import main; main(sys.argv[1:])"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, ROLE, "--SerialNumber", DEVICE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        text=True,
    )
    os.close(theirs)
    try:
        prompt = _read_until(ours, b": ")
        os.write(ours, b"123456\n")
        out, _ = child.communicate(timeout=PATIENCE_SECONDS)
    finally:
        child.kill()
        child.wait()
        os.close(ours)

    assert DEVICE in prompt
    assert child.returncode == 0
    assert [line.partition("=")[0] for line in out.splitlines()] == ENV_NAMES


def _read_until(terminal: int, ending: bytes) -> str:
    read = b""
    while not read.endswith(ending):
        ready, _, _ = select.select([terminal], [], [], PATIENCE_SECONDS)
        assert ready, f"only {read!r} came from the terminal"
        read += os.read(terminal, 1024)
    return read.decode()
