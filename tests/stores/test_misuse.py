"""What is given by mistake is refused at the call, and told what it should have been."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import redis
import redis.asyncio
from redis_rig import Certificates
from redis_scene import FERNET_KEY, PASSWORD, store_at, warnings

import rolecall
from rolecall import RoleChain
from rolecall.chain import GivenSession
from rolecall.errors import ConfigError
from rolecall.stores import (
    AwsCliStore,
    FileStore,
    JSONFileCache,
    KeyringStore,
    MemoryStore,
    RedisStore,
    as_store,
    open_store,
)
from rolecall.stores.choice import STORE
from rolecall.testing import FakeClock
from rolecall.testing.contracts import KEY

HUB = "arn:aws:iam::123456789012:role/Hub"
SPOKE = "arn:aws:iam::210987654321:role/Spoke"
URL = "redis://127.0.0.1:6390/0"
BAD_KEY = "fake-key-that-is-none"


def user() -> boto3.Session:
    """Return a session of which nothing here makes a call."""
    return boto3.Session("AKIAFAKE000000000001", "fake-secret", region_name="us-east-1")


def all_that_is_said(error: BaseException) -> str:
    """Return what any traceback, log or report of *error* may hold, whatever it was raised from."""
    said = ""
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None:
            said += f"{one} {one!r} {vars(one)} {getattr(one, 'hint', '')}\n"
            todo += [one.__cause__, one.__context__]
    return said


# ── where a store is wanted ──────────────────────────────────────────────────────────────

#: All the ways in which a store is given to a session.
TAKERS: dict[str, Callable[[Any], object]] = {
    "as_store": as_store,
    "assume_role": lambda cache: rolecall.assume_role(user(), HUB, cache=cache),
    "RoleChain.session": lambda store: RoleChain(GivenSession(user()), HUB).session(store=store),
}


@pytest.fixture(params=TAKERS.values(), ids=TAKERS)
def take(request: pytest.FixtureRequest) -> Callable[[Any], object]:
    taker: Callable[[Any], object] = request.param
    return taker


@pytest.mark.parametrize("kind", [FileStore, MemoryStore, RedisStore, JSONFileCache, dict])
def test_a_class_in_place_of_a_store_is_told_to_be_called(
    take: Callable[[Any], object], kind: type
) -> None:
    with pytest.raises(TypeError) as refused:
        take(kind)

    assert f"{kind.__name__}(…)" in str(refused.value)
    assert "class" in str(refused.value)


@pytest.mark.parametrize("text", ["memory", "file", f"redis://user:{PASSWORD}@127.0.0.1:6390", ""])
def test_a_text_in_place_of_a_store_is_sent_to_open_store_and_not_shown(
    take: Callable[[Any], object], text: str
) -> None:
    with pytest.raises(TypeError, match=r"rolecall\.open_store\(") as refused:
        take(text)

    said = all_that_is_said(refused.value)
    assert PASSWORD not in said
    assert not text or text not in said


@pytest.mark.parametrize("given", [[], ["a"], [("a", "b")]], ids=repr)
def test_a_list_is_no_store(take: Callable[[Any], object], given: list[Any]) -> None:
    """It has all the methods that are asked of a mapping."""
    with pytest.raises(TypeError, match="list"):
        take(given)


class FakeClient:
    """As little of a client as shows that it is one."""

    def register_script(self, script: str) -> None: ...


@pytest.mark.parametrize(
    "client", [redis.Redis.from_url(f"redis://user:{PASSWORD}@127.0.0.1:6390"), FakeClient()],
    ids=["redis-py's", "another's"],
)  # fmt: skip
def test_a_client_of_redis_is_told_to_be_wrapped(
    take: Callable[[Any], object], client: object
) -> None:
    """redis-py's own would do as a mapping, and keep entries without an end and in the clear."""
    with pytest.raises(TypeError, match=r"RedisStore\(client, encryption_key=…\)") as refused:
        take(client)

    assert PASSWORD not in all_that_is_said(refused.value)


# ── Redis ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "given",
    [None, 5, URL.encode(), redis.asyncio.Redis(), redis.ConnectionPool()],
    ids=["None", "a number", "bytes", "an asyncio client", "a pool"],
)
def test_what_is_neither_a_url_nor_a_client_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="redis must be a "):
        RedisStore(given, encryption_key=FERNET_KEY)


def test_a_lease_in_plain_numbers_is_refused() -> None:
    wrong: Any = 3

    with pytest.raises(TypeError, match="lease must be a timedelta, got int"):
        RedisStore(URL, encryption_key=FERNET_KEY, lease=wrong)


@pytest.mark.parametrize("milliseconds", [99.9, 1, 0, -800])
def test_a_lease_too_short_to_be_renewed_in_time_is_refused(milliseconds: float) -> None:
    with pytest.raises(ValueError, match=r"lease must be at least .*0\.1"):
        RedisStore(URL, encryption_key=FERNET_KEY, lease=timedelta(milliseconds=milliseconds))


def test_the_shortest_lease_is_taken() -> None:
    RedisStore(URL, encryption_key=FERNET_KEY, lease=timedelta(milliseconds=100))


@pytest.mark.parametrize("key", [None, 5, {"a": "b"}], ids=repr)
def test_what_is_no_key_is_told_what_a_key_is(key: Any) -> None:
    with pytest.raises((TypeError, ConfigError), match="Fernet key"):
        RedisStore(URL, encryption_key=key)


def _by_url(url: str, key: str = FERNET_KEY) -> RedisStore:
    return RedisStore(url, encryption_key=key)


def _from_url(url: str, key: str = FERNET_KEY) -> RedisStore:
    return RedisStore.from_url(url, environ={"ROLECALL_STORE_KEY": key})


def _named(url: str, key: str = FERNET_KEY) -> object:
    return open_store(url, environ={"ROLECALL_STORE_KEY": key})


def _of_the_environment(url: str, key: str = FERNET_KEY) -> object:
    return open_store(environ={STORE: url, "ROLECALL_STORE_KEY": key})


OPENERS = [_by_url, _from_url, _named, _of_the_environment]


@pytest.fixture(params=OPENERS, ids=lambda opener: opener.__name__.strip("_"))
def open_url(request: pytest.FixtureRequest) -> Callable[..., object]:
    opener: Callable[..., object] = request.param
    return opener


#: What is wrong with a URL → what has to be said of it.
WRONG_URLS = {
    f"redis://user:{PASSWORD}@127.0.0.1:6390/abc": ["database"],
    f"redis://user:{PASSWORD}@127.0.0.1:6390/0/1": ["database"],
    f"rediss://:{PASSWORD}@127.0.0.1/0?ssl_ca_certs=/nope.pem": ["ssl_ca_certs", "/nope.pem"],
    f"rediss://:{PASSWORD}@127.0.0.1/0?ssl_certfile=/nope.pem": ["ssl_certfile", "/nope.pem"],
    f"redis://:{PASSWORD}@127.0.0.1/0?fake_option=1": ["fake_option"],
    f"redis://:{PASSWORD}@127.0.0.1/0?ssl_ca_certs=/": ["ssl_ca_certs"],
    f"redis://:{PASSWORD}@127.0.0.1:port/0": ["port"],
    f"redis://:{PASSWORD}@/0": ["host"],
    f"redis://user:{PASSWORD}#1@127.0.0.1/0": ["percent-encoded"],
    f"redis://user:{PASSWORD}/1@127.0.0.1/0": [],
    f"redis://user:{PASSWORD}?1@127.0.0.1/0": [],
    f"redis://user:[{PASSWORD}@127.0.0.1/0": [],
}


@pytest.mark.parametrize(("url", "says"), WRONG_URLS.items(), ids=lambda of: None)
def test_what_is_wrong_with_a_url_is_said_without_its_password(
    open_url: Callable[..., object], url: str, says: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        open_url(url)

    for word in says:
        assert word in refused.value.message
    assert PASSWORD not in all_that_is_said(refused.value)


def test_a_bad_url_and_a_bad_key_are_told_at_once(open_url: Callable[..., object]) -> None:
    with pytest.raises(ConfigError) as refused:
        open_url(f"redis://user:{PASSWORD}@127.0.0.1:6390/abc", BAD_KEY)

    assert "database" in refused.value.message
    assert "encryption key" in refused.value.message
    said = all_that_is_said(refused.value)
    assert PASSWORD not in said
    assert BAD_KEY not in said


@pytest.mark.parametrize("open_url", [_from_url, _named, _of_the_environment])
def test_a_bad_url_and_no_key_at_all_are_told_at_once(open_url: Callable[..., object]) -> None:
    with pytest.raises(ConfigError) as refused:
        open_url(f"redis://user:{PASSWORD}@127.0.0.1:6390/abc", "")

    assert "database" in refused.value.message
    assert "ROLECALL_STORE_KEY" in refused.value.message
    assert PASSWORD not in all_that_is_said(refused.value)


def test_a_certificate_that_is_not_trusted_is_told_from_a_server_that_is_down(
    tls_redis: tuple[int, Certificates], caplog: pytest.LogCaptureFixture
) -> None:
    port, _ = tls_redis
    store = store_at(f"rediss://:{PASSWORD}@127.0.0.1:{port}/0", FakeClock())

    for _ in range(2):
        assert store.get(KEY) is None

    (warning,) = warnings(caplog)
    assert warning.endswith("ConnectionError from SSLCertVerificationError")
    assert PASSWORD not in caplog.text


# ── names ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [5, Path("x"), b"memory", MemoryStore()], ids=repr)
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(TypeError, match="name must be a str"):
        open_store(name)


@pytest.mark.parametrize(
    "value",
    [
        "files",
        "https://127.0.0.1/0",
        "file://elsewhere/a",
        "file:///a?b",
        "redis://",
        "redis://127.0.0.1/abc",
        "rediss://127.0.0.1/0?ssl_ca_certs=/nope.pem",
    ],
)
@pytest.mark.parametrize("key", [FERNET_KEY, BAD_KEY, ""], ids=["a key", "a bad key", "no key"])
def test_the_error_says_where_the_bad_name_is(value: str, key: str) -> None:
    environ = {"ROLECALL_STORE_KEY": key}

    with pytest.raises(ConfigError) as named:
        open_store(value, environ=environ)
    with pytest.raises(ConfigError) as there:
        open_store(environ={**environ, STORE: value})

    assert str(named.value).startswith("the store: ")
    assert str(there.value).startswith(f"{STORE}: ")
    assert named.value.message.partition(": ")[2] == there.value.message.partition(": ")[2]


@pytest.mark.parametrize(("service", "error"), [(5, TypeError), ("", ValueError)], ids=repr)
def test_a_service_of_a_keyring_is_a_name(service: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="service must be a "):
        KeyringStore(service)


# ── the AWS CLI's cache, where it is of no use ───────────────────────────────────────────


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """Return a function that returns what was told since it was last asked."""

    def told() -> list[str]:
        found = warnings(caplog)
        caplog.clear()
        return found

    with caplog.at_level(logging.DEBUG, logger="rolecall"):
        yield told


def test_a_session_that_no_profile_describes_is_said_once_not_to_be_kept(
    told: Callable[[], list[str]],
) -> None:
    store = AwsCliStore()

    rolecall.assume_role(user(), HUB, cache=store)
    (warning,) = told()
    rolecall.assume_role(user(), HUB, cache=store)
    rolecall.assume_role(user(), SPOKE, cache=store)
    RoleChain(GivenSession(user()), HUB, SPOKE).session(store=store)
    rest = told()

    assert HUB in warning
    assert "profile" in warning
    assert "source_profile" in warning
    assert "not kept" in warning
    assert rest == []


def test_each_store_says_it_of_its_own_sessions(told: Callable[[], list[str]]) -> None:
    one, other = AwsCliStore(), AwsCliStore()
    rolecall.assume_role(user(), HUB, cache=one)
    told()

    rolecall.assume_role(user(), SPOKE, cache=other)

    (warning,) = told()
    assert SPOKE in warning


def test_of_a_session_that_a_profile_describes_nothing_is_said(
    own_home: Path, told: Callable[[], list[str]]
) -> None:
    (own_home / ".aws").mkdir()
    (own_home / ".aws" / "config").write_text(
        f"[profile hub]\nregion = us-east-1\nrole_arn = {HUB}\nsource_profile = alice\n"
    )
    (own_home / ".aws" / "credentials").write_text(
        "[alice]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = fake-secret\n"
    )

    RoleChain.from_profile("hub").session(store=AwsCliStore())

    assert told() == []
