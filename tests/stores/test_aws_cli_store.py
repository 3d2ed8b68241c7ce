"""`AwsCliStore`: the AWS CLI's names and format, and only where it would use the entry itself."""

from __future__ import annotations

import grp
import json
import logging
import os
import pickle
import pwd
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session
from botocore.utils import JSONFileCache

from rolecall import Ambient, CredentialSource, GivenSession, Profile, SessionToken, WebIdentity
from rolecall.chain import Role, RoleChain
from rolecall.stores import AwsCliStore, Store
from rolecall.testing.contracts import KEY, StoreContract, credentials
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

READER = "arn:aws:iam::123456789012:role/team/Reader"
WRITER = "arn:aws:iam::210987654321:role/Writer"
SERIAL = "arn:aws:iam::123456789012:mfa/alice"

CONFIG = f"""
[profile hub]
[profile bob]
aws_access_key_id = AKIAFAKEBOB
aws_secret_access_key = fake-secret-of-bob
[profile plain]
role_arn = {READER}
source_profile = hub
[profile plain-elsewhere]
role_arn = {READER}
source_profile = hub
region = eu-central-1
[profile named]
role_arn = {READER}
source_profile = hub
role_session_name = alice
[profile unnamed]
role_arn = {READER}
source_profile = hub
role_session_name =
mfa_serial = {SERIAL}
duration_seconds = 1200
[profile all]
role_arn = {READER}
source_profile = hub
role_session_name = alice
external_id = fake-id-ü
mfa_serial = {SERIAL}
duration_seconds = 1800
[profile chained]
role_arn = {WRITER}
source_profile = named
[profile itself]
role_arn = {READER}
source_profile = itself
external_id = of-itself
aws_access_key_id = AKIAFAKEITSELF
aws_secret_access_key = fake-secret-of-itself
[profile by-its-keys]
role_arn = {WRITER}
source_profile = itself
external_id = by-its-keys
[profile by-process]
role_arn = {WRITER}
source_profile = process
external_id = by-process
[profile process]
credential_process = fake-command
[profile by-nobody]
role_arn = {READER}
source_profile = nobody
external_id = by-nobody
[profile nobody]
region = us-east-1
[profile by-instance]
role_arn = {READER}
credential_source = Ec2InstanceMetadata
external_id = by-instance
[profile by-token]
role_arn = {READER}
web_identity_token_file = /fake/token
role_session_name = by-token
[profile broken]
role_arn = {READER}
source_profile = gone
[profile round]
role_arn = {READER}
source_profile = square
[profile square]
role_arn = {READER}
source_profile = round
[profile odd]
role_arn = {READER}
source_profile = hub
duration_seconds = long
"""
CREDENTIALS = """
[hub]
aws_access_key_id = AKIAFAKEHUB
aws_secret_access_key = fake-secret-of-hub
"""
USED = (
    "plain", "plain-elsewhere", "named", "unnamed", "all", "chained", "itself", "by-its-keys",
)  # fmt: skip


def session(home: Path, profile: str | None = None, config: str = CONFIG) -> Session:
    """Return botocore's session of *profile*, as the AWS CLI makes one."""
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws" / "config").write_text(config)
    (home / ".aws" / "credentials").write_text(CREDENTIALS)
    return Session(profile=profile)


@pytest.fixture
def config(own_home: Path) -> dict[str, Any]:
    found: dict[str, Any] = session(own_home).full_config
    return found


@pytest.fixture
def store(own_home: Path) -> AwsCliStore:
    return AwsCliStore()


def key_of(store: AwsCliStore, chain: RoleChain, config: dict[str, Any]) -> str | None:
    return store.key_of(chain, session_name=chain.roles[-1].session_name or None, config=config)


def key_of_profile(store: AwsCliStore, name: str, config: dict[str, Any]) -> str | None:
    return key_of(store, RoleChain.from_profile(name, config=config), config)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


def its_entry(**changes: Any) -> dict[str, Any]:
    """Return what the AWS CLI keeps of a session of `READER`: the whole answer of STS."""
    entry: dict[str, Any] = {
        "Credentials": {
            "AccessKeyId": "ASIAFAKEITS",
            "SecretAccessKey": "fake-secret-its",
            "SessionToken": "fake-token-its",
            "Expiration": "2030-01-01T01:00:00Z",
            "AccountId": "123456789012",
        },
        "AssumedRoleUser": {
            "AssumedRoleId": "AROAFAKE:botocore-session-1",
            "Arn": "arn:aws:sts::123456789012:assumed-role/Reader/botocore-session-1",
        },
        "ResponseMetadata": {"RetryAttempts": 0, "HTTPStatusCode": 200},
    }
    return {name: value for name, value in {**entry, **changes}.items() if value is not None}


def put_its(store: AwsCliStore, key: str, entry: Any) -> Path:
    store.path.mkdir(parents=True, exist_ok=True)
    path = store.path / f"{key}.json"
    path.write_text(entry if isinstance(entry, str) else json.dumps(entry))
    path.chmod(0o600)
    return path


class TestContract(StoreContract):
    keeps_clock_offset = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return AwsCliStore(tmp_path / "cache")

    def reopen(self, store: Store) -> Store:
        assert isinstance(store, AwsCliStore)
        return AwsCliStore(store.path)


# ── its names ────────────────────────────────────────────────────────────────────────────


class AskedCache:
    """A cache that has whatever it is asked for, and notes the key."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __contains__(self, key: str) -> bool:
        return True

    def __getitem__(self, key: str) -> Any:
        self.keys.append(key)
        entry = its_entry()
        entry["Credentials"]["Expiration"] = "9999-01-01T00:00:00Z"
        return entry

    def __setitem__(self, key: str, value: Any) -> None:
        raise AssertionError("it has everything")


def load_through(cache: Any, of: Session) -> Any:
    """Return the keys of a profile's role, looked up in *cache* as the AWS CLI has it done."""
    provider = of.get_component("credential_provider").get_provider("assume-role")
    provider.cache = cache
    return provider.load().get_frozen_credentials()


@pytest.mark.parametrize("name", USED)
def test_the_key_is_what_botocore_looks_up_for_that_profile(
    store: AwsCliStore, own_home: Path, name: str
) -> None:
    cache = AskedCache()
    its = session(own_home, name)

    load_through(cache, its)

    assert cache.keys == [key_of_profile(store, name, its.full_config)]


def test_botocore_reads_what_we_wrote(store: AwsCliStore, own_home: Path) -> None:
    its = session(own_home, "all")
    key = key_of_profile(store, "all", its.full_config)
    assert key is not None
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    ours = credentials(expires_at=later.replace(microsecond=0))

    store.put(key, ours)
    got = load_through(JSONFileCache(str(store.path)), its)

    assert (ours.access_key, ours.secret_key, ours.token) == tuple(got)[:3]


# ── when it may be used ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "chain",
    [
        RoleChain(Profile("hub"), READER),
        RoleChain(Profile("hub", own_keys=True), READER),
        RoleChain(Profile("hub"), Role(READER, session_name="alice"), WRITER),
        # A session of a profile that is a role, and what is assumed with it.
        RoleChain(Profile("named"), WRITER),
        RoleChain(Profile("itself", own_keys=True), Role(READER, external_id="of-itself")),
        RoleChain(Profile("itself", own_keys=True), Role(WRITER, external_id="by-its-keys")),
        RoleChain(Profile("process"), Role(WRITER, external_id="by-process")),
    ],
    ids=str,
)
def test_a_chain_that_a_profile_describes_has_a_key(
    store: AwsCliStore, config: dict[str, Any], chain: RoleChain
) -> None:
    assert key_of(store, chain, config) is not None


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        (RoleChain(Profile("bob"), READER), "another principal"),
        (RoleChain(Profile("gone"), READER), "no such profile"),
        (RoleChain(Ambient(), READER), "whatever there is"),
        (RoleChain(GivenSession(object()), READER), "explicit keys"),
        (RoleChain(SessionToken(Profile("hub")), READER), "a session token between"),
        (RoleChain(CredentialSource("Environment"), READER), "the environment"),
        (
            RoleChain(
                CredentialSource("Ec2InstanceMetadata"), Role(READER, external_id="by-instance")
            ),
            "the instance",
        ),
        (
            RoleChain(WebIdentity(role_arn=READER, token_file="/fake/token"), WRITER),
            "a web identity",
        ),
        (RoleChain(Profile("nobody"), Role(READER, external_id="by-nobody")), "no own credentials"),
        (RoleChain(Profile("by-token")), "no role"),
        (RoleChain(Profile("hub"), WRITER), "a role of another chain"),
        (RoleChain(Profile("hub"), READER, WRITER), "another name on the way"),
        (RoleChain(Profile("plain"), WRITER), "another profile on the way"),
        (RoleChain(Profile("chained"), WRITER), "one hop more"),
        # As a profile of its own it is a role; as a source_profile its keys go before that.
        (RoleChain(Profile("itself"), Role(WRITER, external_id="by-its-keys")), "its role"),
        (RoleChain(Profile("broken"), WRITER), "a broken profile"),
        (RoleChain(Profile("hub"), Role(READER, session_name="bob")), "another session name"),
        (RoleChain(Profile("hub"), Role(READER, duration=900)), "another duration"),
        (RoleChain(Profile("hub"), Role(READER, external_id="x")), "another external id"),
        (RoleChain(Profile("hub"), Role(READER, mfa_serial=SERIAL)), "another device"),
        (RoleChain(Profile("hub"), Role(READER, policy={"Statement": []})), "a policy"),
        (RoleChain(Profile("hub"), Role(READER, tags={"a": "b"})), "tags"),
        (RoleChain(Profile("hub"), Role(READER, source_identity="alice")), "a source identity"),
        (RoleChain(Profile("hub"), Role(READER, extra={"New": 1})), "an argument unheard of"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_other_chain_has_one(
    store: AwsCliStore, config: dict[str, Any], chain: RoleChain, why: str
) -> None:
    named = chain.roles[-1].session_name if chain.roles else None

    assert store.key_of(chain, session_name=named, config=config) is None


def test_a_name_from_elsewhere_counts_as_the_roles_own(
    store: AwsCliStore, config: dict[str, Any]
) -> None:
    """AWS_ROLE_SESSION_NAME, which the AWS CLI does not heed here, names sessions in audit logs."""
    chain = RoleChain(Profile("hub"), READER)

    named = store.key_of(chain, session_name="alice", config=config)

    assert key_of_profile(store, "named", config) == named
    assert store.key_of(chain, session_name="ci", config=config) is None


def test_a_key_that_two_principals_would_share_is_not_used(
    store: AwsCliStore, own_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for rival in (
        "source_profile = bob",
        "credential_source = Environment",
        "web_identity_token_file = /fake/token",
    ):
        more = f"[profile rival]\nrole_arn = {READER}\n{rival}\n"
        config = session(own_home, config=CONFIG + more).full_config

        assert key_of(store, RoleChain(Profile("hub"), READER), config) is None
        assert key_of(store, RoleChain(Profile("bob"), READER), config) is None
        assert key_of_profile(store, "named", config) is not None

    assert "profile 'rival' has" in warnings(caplog)[0]


@pytest.mark.parametrize(
    "endpoint", ["endpoint_url = http://localhost:1", "services = elsewhere"], ids=["all", "sts"]
)
def test_a_session_of_another_sts_is_not_shared(
    store: AwsCliStore, own_home: Path, endpoint: str
) -> None:
    elsewhere = "[services elsewhere]\nsts =\n  endpoint_url = http://localhost:1\n"
    lone = f"[profile lone]\nrole_arn = {WRITER}\nsource_profile = hub\nexternal_id = lone\n"
    chain = RoleChain(Profile("hub"), Role(WRITER, external_id="lone"))

    config = session(own_home, config=CONFIG + elsewhere + lone).full_config
    assert key_of(store, chain, config) is not None
    config = session(own_home, config=CONFIG + elsewhere + lone + endpoint).full_config
    assert key_of(store, chain, config) is None


def test_an_endpoint_of_another_service_changes_nothing(store: AwsCliStore, own_home: Path) -> None:
    more = (
        "[services storage]\ns3 =\n  endpoint_url = http://localhost:1\n"
        f"[profile lone]\nrole_arn = {WRITER}\nsource_profile = hub\nexternal_id = lone\n"
        "services = storage\n"
    )
    config = session(own_home, config=CONFIG + more).full_config

    assert key_of_profile(store, "lone", config) is not None


def test_a_configuration_without_profiles_has_no_keys(store: AwsCliStore) -> None:
    assert key_of(store, RoleChain(Profile("hub"), READER), {}) is None


# ── its entries ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
def key(store: AwsCliStore, config: dict[str, Any]) -> str:
    found = key_of_profile(store, "plain", config)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "written", ["2030-01-01T01:00:00Z", "2030-01-01T01:00:00UTC", "2030-01-01T01:00:00+00:00"]
)
def test_the_aws_clis_entries_are_read(store: AwsCliStore, key: str, written: str) -> None:
    entry = its_entry()
    entry["Credentials"]["Expiration"] = written
    put_its(store, key, entry)

    got = store.get(key)

    assert got is not None
    assert (got.access_key, got.secret_key, got.token, got.account_id) == (
        "ASIAFAKEITS", "fake-secret-its", "fake-token-its", "123456789012",
    )  # fmt: skip
    assert got.expires_at == datetime(2030, 1, 1, 1, tzinfo=timezone.utc)


def test_an_entry_has_the_aws_clis_format_and_nothing_else(store: AwsCliStore) -> None:
    store.put(KEY, credentials(expires_at=datetime(2030, 1, 1, 1, tzinfo=timezone.utc)))

    assert json.loads((store.path / f"{KEY}.json").read_text()) == {
        "Credentials": {
            "AccessKeyId": "ASIAFAKECONTRACT0001",
            "SecretAccessKey": f"{FAKE_SECRET}/+=1",
            "SessionToken": f"{FAKE_TOKEN}/+=1",
            "Expiration": "2030-01-01T01:00:00Z",
            "AccountId": "012345678901",
        }
    }


def _user(arn: str) -> dict[str, Any]:
    return {"AssumedRoleUser": {"Arn": arn}}


def _inner(**changes: Any) -> dict[str, Any]:
    inner = {**its_entry()["Credentials"], **changes}
    return {"Credentials": {name: value for name, value in inner.items() if value is not None}}


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "[" * 60_000,
        "null",
        "[]",
        "{}",
        its_entry(Credentials=[]),
        its_entry(**_inner(SecretAccessKey=None)),
        its_entry(**_inner(SessionToken=None)),
        its_entry(**_inner(Expiration=None)),
        its_entry(**_inner(Expiration="tomorrow")),
        its_entry(**_inner(AccountId="210987654321")),
        its_entry(**_user("arn:aws:sts::210987654321:assumed-role/Reader/x")),
        its_entry(**_user("arn:aws:sts::123456789012:assumed-role/Writer/x")),
        its_entry(**_user("arn:aws-cn:sts::123456789012:assumed-role/Reader/x")),
        its_entry(padding="x" * 70_000),
    ],
)
def test_what_is_no_session_of_the_role_is_a_miss_and_is_replaced(
    store: AwsCliStore, key: str, entry: Any
) -> None:
    put_its(store, key, entry)
    assert store.get(key) is None

    ours = credentials(account_id="123456789012", clock_offset=timedelta(0))
    store.put(key, ours)

    assert ours == store.get(key)


@pytest.mark.parametrize(
    "user",
    [
        None,
        "odd",
        {"Arn": 1},
        {"Arn": "arn:fake:sts:::role-session"},
        {"Arn": "arn:aws:sts::123456789012:assumed-role/READER/x"},
    ],
)
def test_what_does_not_say_another_role_is_taken(store: AwsCliStore, key: str, user: Any) -> None:
    put_its(store, key, its_entry(AssumedRoleUser=user))

    assert store.get(key) is not None


def test_a_part_that_looks_like_ours_is_not_heeded(store: AwsCliStore, key: str) -> None:
    put_its(store, key, its_entry(rolecall={"schema": 1, "key": key, "clock_offset_seconds": 9e6}))

    got = store.get(key)

    assert got is not None
    assert got.clock_offset == timedelta(0)


# ── whose files they are ─────────────────────────────────────────────────────────────────


def test_what_it_makes_only_the_owner_can_use(store: AwsCliStore) -> None:
    before = os.umask(0)
    try:
        store.put(KEY, credentials())
    finally:
        os.umask(before)

    assert [mode(store.path), mode(store.path / f"{KEY}.json")] == [0o700, 0o600]


@pytest.mark.parametrize("spoil", [0o640, 0o604, "link"])
def test_an_entry_that_others_may_have_touched_is_a_miss(
    store: AwsCliStore, key: str, spoil: Any
) -> None:
    path = put_its(store, key, its_entry())
    assert store.get(key) is not None
    if spoil == "link":
        path.rename(path.with_suffix(".real"))
        path.symlink_to(path.with_suffix(".real"))
    else:
        path.chmod(spoil)

    assert store.get(key) is None


def test_an_entry_of_another_user_is_a_miss(
    store: AwsCliStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_its(store, key, its_entry())
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)

    assert store.get(key) is None


def test_a_directory_that_others_can_list_is_used_as_it_is(store: AwsCliStore, key: str) -> None:
    """The AWS CLI makes it by the umask."""
    put_its(store, key, its_entry())
    store.path.chmod(0o755)

    store.put(KEY, credentials())

    assert store.get(key) is not None
    assert store.get(KEY) is not None
    assert mode(store.path) == 0o755


def test_a_directory_that_others_can_write_into_is_not_used(
    store: AwsCliStore, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They cannot forge an entry there, but they can give one the name of another."""
    put_its(store, key, its_entry())
    store.path.chmod(0o777)

    store.put(KEY, credentials())

    assert store.get(key) is None
    assert [f"{key}.json"] == os.listdir(store.path)
    assert len(warnings(caplog)) == 1
    assert "others may write into that directory" in caplog.text


@pytest.mark.parametrize(
    ("group", "members", "used"),
    [
        ("alice", [], True),
        ("alice", ["alice"], True),
        ("alice", ["bob"], False),
        ("staff", [], False),
    ],
)
def test_a_directory_of_the_users_own_group_may_be_writable_for_it(
    store: AwsCliStore, key: str, group: str, members: list[str], used: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """So the umask of many systems has it, where each user has a group of the same name."""
    put_its(store, key, its_entry())
    store.path.chmod(0o775)
    number = store.path.stat().st_gid
    me = pwd.struct_passwd(("alice", "x", os.geteuid(), number, "", "/h", "/bin/sh"))
    ours = grp.struct_group((group, "x", number, members))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: me)
    monkeypatch.setattr(grp, "getgrgid", lambda _: ours)

    assert (store.get(key) is not None) is used


def test_a_user_without_a_name_shares_with_no_group(
    store: AwsCliStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    put_its(store, key, its_entry())
    store.path.chmod(0o775)
    monkeypatch.setattr(pwd, "getpwuid", nobody)

    assert store.get(key) is None


# ── where things are ─────────────────────────────────────────────────────────────────────


def test_without_a_path_it_is_where_the_aws_cli_looks() -> None:
    store = AwsCliStore(environ={"HOME": "/h"})

    assert store.path == Path("/h/.aws/cli/cache")
    assert store.locks == Path("/h/.cache/rolecall/locks")


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="path must name a directory"):
        AwsCliStore("")


@pytest.mark.parametrize("given", [None, "~/entries"])
def test_it_pickles_as_the_path_it_was_given(given: str | None) -> None:
    store = AwsCliStore(given, environ={"HOME": "/h", "AWS_SECRET_ACCESS_KEY": FAKE_SECRET})

    pickled = pickle.dumps(store)

    assert FAKE_SECRET.encode() not in pickled
    assert b"/h" not in pickled
    assert pickle.loads(pickled).path == Path.home() / (given or ".aws/cli/cache").removeprefix(
        "~/"
    )


def test_its_repr_says_where_it_is() -> None:
    assert repr(AwsCliStore("/c")) == "AwsCliStore('/c')"
