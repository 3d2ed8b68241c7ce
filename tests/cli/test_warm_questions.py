"""Whoever asks something else, is another or has changed a file is not answered from memory."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from command_line import Desk, Ended
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall.cli import main, warm
from rolecall.credentials import Credentials
from rolecall.testing import StrictCloud

WORDS = ("credential-process", "reader")

# The question, as text

NAMES = st.sampled_from(
    [
        "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "ROLECALL_AHEAD", "HOME",
        "XDG_CACHE_HOME", "LANG", "PATH", "ROLECALL_FAKE_PASSPHRASE",
    ]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(["", "a", "b", "a', 'b", "a\nb", "\udcff", "ä", "\\n"]), st.text()
)
QUESTIONS = st.tuples(
    st.lists(VALUES, max_size=4), st.dictionaries(NAMES, VALUES.filter(lambda v: "\0" not in v))
)


#: Of `NAMES`, those that hold a secret: that they are there counts.
PRESENT_ONLY = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "ROLECALL_FAKE_PASSPHRASE")


def meaning(words: list[str], environ: dict[str, str]) -> object:
    """Return what of a question tells who would be asked for what."""
    seen = {
        name: None if name in PRESENT_ONLY else value
        for name, value in environ.items()
        if name.startswith(("AWS_", "ROLECALL_")) or name in warm.PLACES
    }
    return words, seen


@given(QUESTIONS, QUESTIONS)
@example((["a", "b"], {}), (["a', 'b"], {}))
@example((["a"], {"AWS_PROFILE": "b"}), (["a"], {"AWS_CONFIG_FILE": "b"}))
@example((["a"], {"HOME": "/a"}), (["a"], {"HOME": "/b"}))
@example((["a"], {"AWS_CONFIG_FILE": ""}), (["a"], {}))
@example((["a\nb"], {}), (["a\\nb"], {}))
@example((["a"], {"AWS_SESSION_TOKEN": "a"}), (["a"], {"AWS_SESSION_TOKEN": "b"}))
@example((["a"], {"AWS_SESSION_TOKEN": "a"}), (["a"], {}))
@example(
    (["a"], {"AWS_WEB_IDENTITY_TOKEN_FILE": "a"}), (["a"], {"AWS_WEB_IDENTITY_TOKEN_FILE": "b"})
)
@example((["--policy", "a"], {}), (["--policy", "b"], {}))
@example((["--policy=a"], {}), (["--policy=b"], {}))
@example((["--policy=a"], {}), (["--policy", "a"], {}))
@example((["--mfa-command", "a", "b"], {}), (["--mfa-command", "b", "a"], {}))
def test_two_questions_have_one_text_only_if_they_are_one(
    one: tuple[list[str], dict[str, str]], other: tuple[list[str], dict[str, str]]
) -> None:
    """An empty variable is none to some tools, and a file that is not there to botocore."""
    same = meaning(*one) == meaning(*other)

    assert same is (warm.question(*one) == warm.question(*other))


#: Variables and options whose values nobody is to read in an entry.
SECRET = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_SECRET_KEY",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "ROLECALL_REDIS_PASSWORD",
    "ROLECALL_FAKE_PASSPHRASE",
)  # fmt: skip
HIDDEN = ("--external-id", "--mfa-command", "--policy")


@given(QUESTIONS)
def test_a_question_is_one_line_and_shows_no_secret(
    question: tuple[list[str], dict[str, str]],
) -> None:
    words, environ = question
    secret = "fake/secret+key"
    hidden = [part for one in HIDDEN for part in (one, secret, f"{one}={secret}")]

    text = warm.question([*hidden, *words], {**environ, **dict.fromkeys(SECRET, secret)})

    assert text.isascii()
    assert "\n" not in text
    assert secret not in text


def test_a_question_knows_the_user_and_the_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = warm.question(["reader"], {})

    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: 12345)
        as_another = warm.question(["reader"], {})
    monkeypatch.chdir(tmp_path)

    assert len({before, as_another, warm.question(["reader"], {})}) == 3


# Whole: asked once the long way, then again


@pytest.fixture
def desk(desk: Desk, tmp_path: Path) -> Desk:
    """A desk whose cache stays where it is when the home moves."""
    desk.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    return desk


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "rolecall" / "process"


@pytest.fixture
def hit(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Callable[..., bool]:
    """Return a function that asks the warm path alone, and tells whether it had the answer."""

    def hit(*words: str) -> bool:
        os.environ.clear()
        os.environ.update(desk.environ)
        found = warm.answered(words or WORDS[1:])
        capsys.readouterr()
        return found

    return hit


@pytest.fixture
def kept(desk: Desk, rolecall: Callable[..., Ended], hit: Callable[..., bool]) -> Desk:
    """A desk whose last answer for ``reader`` is kept."""
    ended = rolecall(*WORDS)
    assert (ended.code, ended.err) == (0, "")
    assert hit()
    return desk


ANOTHER = "fake-another"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "hub"),
        ("AWS_DEFAULT_PROFILE", "hub"),
        ("AWS_ACCESS_KEY_ID", "AKIAFAKEANOTHER00001"),
        ("AWS_SESSION_TOKEN", ANOTHER),
        ("AWS_CONFIG_FILE", "/nowhere/config"),
        ("AWS_CONFIG_FILE", ""),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials"),
        ("AWS_SHARED_CREDENTIALS_FILE", ""),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/Another"),
        ("AWS_ROLE_SESSION_NAME", ANOTHER),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ("ROLECALL_AHEAD", "60"),
        ("ROLECALL_STORE", "memory"),
        ("ROLECALL_STORE", "keyring"),
        ("HOME", "/nowhere"),
        ("XDG_CACHE_HOME", "/nowhere"),
        ("XDG_RUNTIME_DIR", "/nowhere"),
    ],
)
def test_a_variable_that_changes_is_another_question(
    kept: Desk, hit: Callable[..., bool], name: str, value: str
) -> None:
    kept.environ[name] = value

    assert not hit()


@pytest.mark.parametrize(
    "words",
    [
        ["deploy"],
        ["reader", "--region", "eu-west-1"],
        ["reader", "--session-name", "somebody"],
        ["reader", "--external-id", "fake-id-2"],
        ["reader", "-v"],
        ["reader "],
        ["Reader"],
        [],
        ["--help"],
    ],
)
def test_other_words_are_another_question(
    kept: Desk, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", kept.environ)

    assert not warm.answered(words)


def test_relative_words_mean_other_files_in_another_directory(
    kept: Desk, hit: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    assert not hit()


def test_a_hash_that_collides_is_a_miss(
    desk: Desk,
    rolecall: Callable[..., Ended],
    hit: Callable[..., bool],
    entries: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warm, "name_of", lambda asked: "0" * 16)

    reader = rolecall(*WORDS)
    before = hit("reader"), hit("deploy")
    deploy = rolecall("credential-process", "deploy")
    after = hit("reader"), hit("deploy")

    assert len(list(entries.iterdir())) == 1
    assert (before, after) == ((True, False), (False, True))
    assert json.loads(reader.out)["AccessKeyId"] != json.loads(deploy.out)["AccessKeyId"]


# Files


def test_any_edit_of_either_file_of_awss_makes_it_a_miss(
    kept: Desk, rolecall: Callable[..., Ended], hit: Callable[..., bool]
) -> None:
    for file in (kept.config_file, kept.credentials_file):
        with file.open("a") as more:
            more.write("# a comment\n")
        assert not hit(), file
        assert rolecall(*WORDS).code == 0
        assert hit()


def test_a_profile_of_another_role_is_that_role_at_once(
    kept: Desk, rolecall: Callable[..., Ended]
) -> None:
    before = rolecall(*WORDS)
    stat = kept.config_file.stat()
    # The same file, size and time: only the time of the change itself tells.
    text = kept.config_file.read_text()
    kept.config_file.write_text(text.replace("role/Reader", "role/Raeder"))
    os.utime(kept.config_file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    kept.cloud.role("Raeder")

    after = rolecall(*WORDS)

    assert json.loads(before.out)["AccessKeyId"] != json.loads(after.out)["AccessKeyId"]


def test_an_edit_while_the_role_is_assumed_is_not_kept_as_what_was_read(
    desk: Desk, hit: Callable[..., bool]
) -> None:
    """A person has a minute for an edit while a prompt waits for the code."""
    os.environ.clear()
    os.environ.update(desk.environ)
    gate = desk.cloud.hold("AssumeRole")
    with ThreadPoolExecutor(1) as pool, gate:
        running = pool.submit(main, WORDS)
        gate.wait_for_arrival()
        desk.add_role("reader", region="eu-west-1")
        text = desk.config_file.read_text()
        desk.config_file.write_text(text.replace("role/Reader", "role/Another"))
        gate.open()
        assert running.result(20) in (0, None)

    assert not hit()


@pytest.fixture
def behind(desk: Desk) -> tuple[str, ...]:
    """Words that name a role by its ARN; AWS's files are named by way of a variable."""
    desk.environ["PLACE"] = str(desk.home / ".aws")
    desk.environ["AWS_CONFIG_FILE"] = "$PLACE/config"
    desk.environ["AWS_SHARED_CREDENTIALS_FILE"] = "${PLACE}/credentials"
    return (desk.arns["reader"], "--profile", "hub")


def test_files_behind_variables_are_looked_at(
    desk: Desk,
    rolecall: Callable[..., Ended],
    hit: Callable[..., bool],
    behind: tuple[str, ...],
) -> None:
    """botocore expands ``$NAME`` in the names of its files."""
    for file in (desk.config_file, desk.credentials_file):
        assert rolecall("credential-process", *behind).code == 0
        with file.open("a") as more:
            more.write("# a comment\n")

        assert not hit(*behind), file


def test_a_variable_inside_a_files_name_is_part_of_the_question(
    desk: Desk,
    rolecall: Callable[..., Ended],
    hit: Callable[..., bool],
    behind: tuple[str, ...],
    tmp_path: Path,
) -> None:
    assert rolecall("credential-process", *behind).code == 0

    desk.environ["PLACE"] = str(tmp_path)

    assert not hit(*behind)


def test_another_session_policy_in_the_same_file_makes_it_a_miss(
    desk: Desk, rolecall: Callable[..., Ended], hit: Callable[..., bool], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"Version": "2012-10-17", "Statement": []}')
    words = ("reader", "--policy", f"file://{policy}")
    assert rolecall("credential-process", *words).code == 0
    before = hit(*words)

    policy.write_text('{"Version": "2012-10-17"}')

    assert (before, hit(*words)) == (True, False)


def test_a_new_web_identity_token_makes_it_a_miss(
    desk: Desk, rolecall: Callable[..., Ended], hit: Callable[..., bool], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(desk.cloud.web_identity_token())
    desk.profile("profile web", role_arn=desk.arns["reader"], web_identity_token_file=str(token))
    assert rolecall("credential-process", "web").code == 0
    before = hit("web")

    token.write_text(desk.cloud.web_identity_token(subject="somebody-else"))

    assert (before, hit("web")) == (True, False)


def sign_in(desk: Desk, token: str) -> Path:
    """Write what the AWS CLI keeps of a sign-in for the SSO session ``corp``."""
    name = hashlib.sha1(b"corp", usedforsecurity=False).hexdigest()
    file = desk.home / ".aws/sso/cache" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    held = {"accessToken": token, "expiresAt": later.strftime("%Y-%m-%dT%H:%M:%SZ")}
    file.write_text(json.dumps(held))
    return file


class Answering(BaseHTTPRequestHandler):
    """An AWS endpoint that hands out a user's keys as a session: SSO's, a container's, IMDS's."""

    keys: dict[str, object]

    def do_GET(self) -> None:
        expires = datetime.now(timezone.utc) + timedelta(hours=1)
        body: dict[str, object] | str
        if self.path.startswith("/federation/credentials"):
            body = {"roleCredentials": {**self.keys, "expiration": int(expires.timestamp() * 1e3)}}
        elif self.path.endswith("/security-credentials/"):
            body = "fake-role"
        else:
            body = {
                "Code": "Success",
                "AccessKeyId": self.keys["accessKeyId"],
                "SecretAccessKey": self.keys["secretAccessKey"],
                "Token": self.keys["sessionToken"],
                "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"fake-token")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def handing_out(cloud: StrictCloud) -> Iterator[str]:
    """The URL of a server that hands out a session of a user of the cloud."""
    sts = cloud.session().client("sts")
    held = sts.get_session_token()["Credentials"]
    Answering.keys = {
        "accessKeyId": held["AccessKeyId"],
        "secretAccessKey": held["SecretAccessKey"],
        "sessionToken": held["SessionToken"],
    }
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_another_sign_in_makes_an_sso_profile_a_miss(
    desk: Desk, hit: Callable[..., bool], handing_out: str
) -> None:
    """Real processes: botocore looks where the home was when it was imported."""
    desk.environ["AWS_ENDPOINT_URL_SSO"] = handing_out
    desk.profile("sso-session corp", sso_start_url="https://x.example.com", sso_region="us-east-1")
    who = {"sso_session": "corp", "sso_account_id": "123456789012", "sso_role_name": "Dev"}
    desk.profile("profile corp", region="us-east-2", **who)
    desk.add_role("through-sso", source="corp")
    sign_in(desk, "fake-token-1")
    for name in ("corp", "through-sso"):
        ended = desk.run("credential-process", name)
        assert (ended.code, ended.err) == (0, ""), name
    before = hit("corp"), hit("through-sso")

    sign_in(desk, "fake-token-22")

    assert (before, (hit("corp"), hit("through-sso"))) == ((True, True), (False, False))


def test_what_a_program_or_a_machine_hands_out_is_never_kept(
    desk: Desk, rolecall: Callable[..., Ended], handing_out: str, entries: Path
) -> None:
    """They may hand out somebody else's the next time, and no file tells."""
    user = desk.cloud.credentials()
    held = json.dumps(
        {"Version": 1, "AccessKeyId": user.access_key, "SecretAccessKey": user.secret_key}
    )
    program = desk.home / "keys.py"
    program.write_text(f"print({held!r})")
    desk.profile("profile made", credential_process=f"{sys.executable} -S {program}")
    desk.add_role("by-program", source="made")
    desk.profile(
        "profile by-container",
        role_arn=desk.arns["reader"],
        credential_source="EcsContainer",
        region="us-east-2",
    )
    desk.profile(
        "profile by-machine",
        role_arn=desk.arns["reader"],
        credential_source="Ec2InstanceMetadata",
        region="us-east-2",
    )
    desk.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{handing_out}/container"
    desk.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = handing_out
    desk.environ["AWS_EC2_METADATA_DISABLED"] = "false"

    for name in ("by-program", "by-container", "by-machine"):
        ended = rolecall("credential-process", name)
        assert (ended.code, ended.err) == (0, ""), name

    assert not entries.exists()


def test_who_keeps_sessions_elsewhere_has_none_in_files(
    desk: Desk, rolecall: Callable[..., Ended], tmp_path: Path
) -> None:
    desk.environ["ROLECALL_STORE"] = "memory"

    assert rolecall(*WORDS).code == 0

    found = [one for one in (tmp_path / "cache").rglob("*") if one.is_file()]
    assert [one for one in found if "ASIA" in one.read_text("latin-1")] == []
    assert not (tmp_path / "cache/rolecall/process").exists()


# Two principals


def test_the_same_words_with_other_keys_never_get_anothers_session(desk: Desk) -> None:
    """Real processes, as two people at one account of a machine start them."""
    arn = desk.arns["reader"]
    alice, bob = (desk.cloud.credentials(user=f"fake-{name}") for name in ("alice", "bob"))
    desk.cloud.trust(arn, ["arn:aws:iam::123456789012:user/fake-alice"])
    words = ("credential-process", arn, "--region", "us-east-2")

    def run(who: Credentials) -> Ended:
        environ = {**desk.environ, "AWS_ACCESS_KEY_ID": who.access_key}
        return desk.run(*words, env={**environ, "AWS_SECRET_ACCESS_KEY": who.secret_key})

    first, second, third = run(alice), run(bob), run(alice)

    desk.cloud.trust(arn)
    assert (first.code, first.err) == (0, "")
    assert (second.code, second.out) == (1, "")
    assert "AccessDenied" in second.err
    assert first.out == third.out
    signers = [call.access_key for call in desk.cloud.log if call.operation == "AssumeRole"]
    assert signers[-2:] == [alice.access_key, bob.access_key]


def test_a_source_profile_with_other_keys_is_asked_with_those(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    bob = desk.cloud.credentials(user="fake-bob")
    alice = desk.cloud.credentials()
    before = rolecall(*WORDS)
    stat = desk.credentials_file.stat()
    text = desk.credentials_file.read_text()
    text = text.replace(alice.access_key, bob.access_key).replace(alice.secret_key, bob.secret_key)
    desk.credentials_file.write_text(text)
    os.utime(desk.credentials_file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    after = rolecall(*WORDS)

    assert (before.code, after.code) == (0, 0)
    assert before.out != after.out
    assert desk.cloud.log[-1].access_key == bob.access_key
