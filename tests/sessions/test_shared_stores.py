"""Who shares a session through a store, and who never does: from boto3 sessions to a strict STS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.loaders import create_loader
from keyring.backend import KeyringBackend
from redis_rig import RedisServer
from scenes import HUB, SPOKE
from written_profiles import arn_of, become, keys_of, write

import rolecall
from rolecall import JSONFileCache, Role, RoleChain
from rolecall.chain import GivenSession
from rolecall.stores import FileStore, KeyringStore, MemoryStore, RedisStore
from rolecall.testing import FakeClock, StrictCloud

ACCOUNT = "123456789012"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
OTHER_HUB = "arn:aws:iam::123456789012:role/OtherHub"
ASSUME_ROLE = "sts:AssumeRole"

#: AWS's models, parsed once: most of the time would go into that.
MODELS = create_loader()

#: Returns what another process would open on the same data.
Opens = Callable[[], Any]


class FakeKeyring(KeyringBackend):
    """Keeps passwords in a dict; the library cannot make one by itself, and so never takes it."""

    priority = 5.0

    def __init__(self, items: dict[tuple[str, str], str]) -> None:
        super().__init__()
        self.items = items

    def get_password(self, service: str, username: str) -> str | None:
        return self.items.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.items[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.items[service, username]


def _home(path: Path) -> dict[str, str]:
    return {"HOME": str(path), "XDG_CACHE_HOME": str(path / "cache")}


def _memory(path: Path, request: pytest.FixtureRequest) -> Opens:
    store = MemoryStore()
    return lambda: store


def _file(path: Path, request: pytest.FixtureRequest) -> Opens:
    return lambda: FileStore(path / "entries", environ=_home(path))


def _json_file_cache(path: Path, request: pytest.FixtureRequest) -> Opens:
    return lambda: JSONFileCache(path / "entries", environ=_home(path))


def _keyring(path: Path, request: pytest.FixtureRequest) -> Opens:
    items: dict[tuple[str, str], str] = {}
    return lambda: KeyringStore(backend=FakeKeyring(items), environ=_home(path))


def _redis(path: Path, request: pytest.FixtureRequest) -> Opens:
    # Asked for here, so that no other store's tests start a server.
    server: RedisServer = request.getfixturevalue("server")
    key = RedisStore.generate_key()
    return lambda: RedisStore(server.url(), encryption_key=key)


def _dict(path: Path, request: pytest.FixtureRequest) -> Opens:
    mapping: dict[str, Any] = {}
    return lambda: mapping


#: All but the AWS CLI's, whose format leaves out who assumes.
STORES = [_memory, _file, _json_file_cache, _keyring, _redis, _dict]


@pytest.fixture(params=STORES, ids=lambda make: make.__name__.strip("_"))
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Opens:
    made: Opens = request.param(tmp_path, request)
    return made


@dataclass
class World:
    """Where sessions come from: a cloud, a home directory and an environment."""

    cloud: StrictCloud
    clock: FakeClock
    home: Path
    monkeypatch: pytest.MonkeyPatch
    second_keys: dict[str, dict[str, str]] = field(default_factory=dict)

    def user(self, name: str, account: str = ACCOUNT, **key: str) -> boto3.Session:
        """Return a session of user *name*, as a process of its own would have; or of *key*."""
        plain = self.cloud.session(user=name, account=account)
        if key:
            plain = boto3.Session(botocore_session=plain._session, **key)
        return _with_models(plain)

    def second_key(self, name: str) -> dict[str, str]:
        """Return another key of user *name*, always the same."""
        if name not in self.second_keys:
            iam = self.user(name).client("iam")
            made = iam.create_access_key(UserName=name)["AccessKey"]
            self.second_keys[name] = {
                "aws_access_key_id": made["AccessKeyId"],
                "aws_secret_access_key": made["SecretAccessKey"],
            }
        return self.second_keys[name]

    def profile(self, name: str) -> boto3.Session:
        """Return a session of a profile of which there are two, of two users, and two more."""
        become(self.monkeypatch, self.cloud, None)
        config = "".join(
            f"[profile {one}-hub]\nrole_arn = {HUB}\nsource_profile = {one}\n"
            for one in ("alice", "bob")
        )
        keys = "".join(f"[{one}]\n{keys_of(self.cloud, one)}" for one in ("alice", "bob"))
        write(self.home, config, keys)
        return _with_models(boto3.Session(profile_name=name))

    def assume(self, parent: Any, cache: Any, role: str = SPOKE, **keywords: Any) -> Any:
        return rolecall.assume_role(parent, role, cache=cache, clock=self.clock, **keywords)

    def through(self, hub: str, cache: Any, **keywords: Any) -> Any:
        return self.assume(self.assume(self.user("alice"), cache, hub), cache, **keywords)

    @property
    def calls(self) -> int:
        return self.cloud.calls(ASSUME_ROLE)


def _with_models(session: boto3.Session) -> boto3.Session:
    session._session.register_component("data_loader", MODELS)
    return session


@pytest.fixture
def world(
    cloud: StrictCloud, fake_clock: FakeClock, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    return World(cloud, fake_clock, own_home, monkeypatch)


def key_of(session: Any) -> str:
    """Return the key that *session* signs with, once STS has said that it is good."""
    assert ":assumed-role/" in arn_of(session)
    return str(session.get_credentials().get_frozen_credentials().access_key)


# ── never ────────────────────────────────────────────────────────────────────────────────

Assumes = Callable[[World, Any], Any]

PRINCIPALS: dict[str, tuple[Assumes, Assumes]] = {
    "two users": (
        lambda world, cache: world.assume(world.user("alice"), cache),
        lambda world, cache: world.assume(world.user("bob"), cache),
    ),
    "one user's two keys": (
        lambda world, cache: world.assume(world.user("alice"), cache),
        lambda world, cache: world.assume(world.user("alice", **world.second_key("alice")), cache),
    ),
    "users of one name in two accounts": (
        lambda world, cache: world.assume(world.user("alice"), cache),
        lambda world, cache: world.assume(world.user("alice", "210987654321"), cache),
    ),
    "two profiles": (
        lambda world, cache: world.assume(world.profile("alice"), cache),
        lambda world, cache: world.assume(world.profile("bob"), cache),
    ),
    "two profiles of one role": (
        lambda world, cache: world.assume(world.profile("alice-hub"), cache),
        lambda world, cache: world.assume(world.profile("bob-hub"), cache),
    ),
    "a profile and the role it assumes": (
        lambda world, cache: world.assume(world.profile("alice"), cache),
        lambda world, cache: world.assume(world.profile("alice-hub"), cache),
    ),
    "a user and a role of theirs": (
        lambda world, cache: world.assume(world.user("alice"), cache),
        lambda world, cache: world.through(HUB, cache),
    ),
    "two hubs": (
        lambda world, cache: world.through(HUB, cache),
        lambda world, cache: world.through(OTHER_HUB, cache),
    ),
    "one hub of two users": (
        lambda world, cache: world.through(HUB, cache),
        lambda world, cache: world.assume(world.assume(world.user("bob"), cache, HUB), cache),
    ),
    "a hub with and without a policy": (
        lambda world, cache: world.through(HUB, cache),
        lambda world, cache: world.assume(
            world.assume(world.user("alice"), cache, HUB, Policy={"Statement": []}), cache
        ),
    ),
    "a chain through each of two hubs": (
        lambda world, cache: RoleChain(GivenSession(world.user("alice")), HUB, SPOKE).session(
            store=cache, clock=world.clock
        ),
        lambda world, cache: RoleChain(GivenSession(world.user("alice")), OTHER_HUB, SPOKE).session(
            store=cache, clock=world.clock
        ),
    ),
}


@pytest.mark.parametrize("who", PRINCIPALS.values(), ids=PRINCIPALS)
def test_each_of_two_principals_shares_with_itself_and_never_with_the_other(
    world: World, opens: Opens, who: tuple[Assumes, Assumes]
) -> None:
    ones, others = (key_of(assumes(world, opens())) for assumes in who)
    calls = world.calls
    again = [key_of(assumes(world, opens())) for assumes in who]

    assert ones != others
    assert [ones, others] == again
    assert world.calls == calls, "each finds its own again"


def test_who_may_not_assume_a_role_is_not_handed_a_session_of_who_may(
    world: World, opens: Opens
) -> None:
    world.cloud.trust(SPOKE, [ALICE])

    assert "assumed-role/Spoke/" in arn_of(world.assume(world.user("alice"), opens()))
    with pytest.raises(ClientError, match="not authorized"):
        arn_of(world.assume(world.user("bob"), opens()))


@pytest.mark.parametrize(
    "asked",
    [
        {"DurationSeconds": 900},
        {"ExternalId": "fake-external-id"},
        {"SourceIdentity": "somebody"},
        {"RoleSessionName": "somebody"},
        {"Tags": {"team": "a"}},
        {"Tags": {"team": "a"}, "TransitiveTagKeys": ["team"]},
        {"PolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
        {"Policy": {"Version": "2012-10-17", "Statement": []}},
        {"role": HUB},
    ],
    ids=lambda asked: " and ".join(asked),
)
def test_whoever_asks_for_something_else_gets_something_else(
    world: World, opens: Opens, asked: dict[str, Any]
) -> None:
    plain = key_of(world.assume(world.user("alice"), opens()))

    assert key_of(world.assume(world.user("alice"), opens(), **asked)) != plain
    assert key_of(world.assume(world.user("alice"), opens())) == plain


# ── always ───────────────────────────────────────────────────────────────────────────────


SAME = [
    ({"Tags": {"a": "1", "b": "2"}}, {"Tags": {"b": "2", "a": "1"}}),
    (
        {"Tags": {"a": "1", "b": "2"}},
        {"Tags": [{"Value": "2", "Key": "b"}, {"Key": "a", "Value": "1"}]},
    ),
    (
        {"PolicyArns": ["arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/B"]},
        {"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/B"}, "arn:aws:iam::aws:policy/A"]},
    ),
    (
        {"Policy": {"Version": "2012-10-17", "Statement": []}},
        {"Policy": '{ "Statement": [],  "Version": "2012-10-17" }'},
    ),
    (
        {"Tags": {"a": "1", "b": "2"}, "TransitiveTagKeys": ["a", "b"]},
        {"TransitiveTagKeys": ["b", "a"], "Tags": {"a": "1", "b": "2"}},
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=lambda asked: " and ".join(asked))
def test_the_order_of_what_has_none_does_not_matter(
    world: World, opens: Opens, one: dict[str, Any], other: dict[str, Any]
) -> None:
    first = key_of(world.assume(world.user("alice"), opens(), **one))
    calls = world.calls

    assert first == key_of(world.assume(world.user("alice"), opens(), **other))
    assert world.calls == calls


def test_a_made_up_session_name_does_not_keep_processes_apart(
    world: World, opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "one")
    first = key_of(world.assume(world.user("alice"), opens()))
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "other")

    assert first == key_of(world.assume(world.user("alice"), opens()))
    assert world.calls == 1


@pytest.mark.parametrize("keyword", ["store", "cache"])
def test_a_chain_and_a_call_of_assume_role_share(world: World, opens: Opens, keyword: str) -> None:
    called = key_of(world.through(HUB, opens()))
    assert world.calls == 2

    chain = RoleChain(GivenSession(world.user("alice")), HUB, SPOKE)
    session = chain.session(clock=world.clock, **{keyword: opens()})

    assert called == key_of(session)
    assert world.calls == 2


def test_chains_share_the_hops_that_they_have_in_common(world: World, opens: Opens) -> None:
    for tag in ("a", "b", "a"):
        spoke = Role(SPOKE, tags={"team": tag})
        key_of(
            RoleChain(GivenSession(world.user("alice")), HUB, spoke).session(
                store=opens(), clock=world.clock
            )
        )

    assert world.calls == len(["hub", "a", "b"])


def test_a_chain_takes_its_store_by_one_name_only(world: World) -> None:
    chain = RoleChain(GivenSession(world.user("alice")), HUB)

    with pytest.raises(TypeError, match="store and cache are two names of one thing"):
        chain.session(store=MemoryStore(), cache=MemoryStore())
    with pytest.raises(TypeError, match="store and cache are two names of one thing"):
        chain.session(store={}, cache={})


@pytest.mark.parametrize("keyword", ["store", "cache"])
@pytest.mark.parametrize("roles", [[], [HUB]], ids=["no role", "a role"])
def test_what_nothing_can_be_kept_in_is_refused_at_the_call(
    world: World, keyword: str, roles: list[str]
) -> None:
    with pytest.raises(TypeError, match="needs __getitem__"):
        RoleChain(GivenSession(world.user("alice")), *roles).session(**{keyword: 5})

    assert world.cloud.calls() == 0


def test_an_empty_store_is_a_store(world: World) -> None:
    """An empty dict is false: it is taken all the same."""
    store: dict[str, Any] = {}

    key_of(
        RoleChain(GivenSession(world.user("alice")), HUB).session(store=store, clock=world.clock)
    )

    assert len(store) == 1


def test_what_a_session_has_refreshed_others_find(world: World, opens: Opens) -> None:
    early = world.assume(world.user("alice"), opens())
    before = key_of(early)
    world.clock.tick(minutes=61)
    after = key_of(early)

    assert before != after
    assert after == key_of(world.assume(world.user("alice"), opens()))
    assert world.calls == 2
