"""`cache` of `assume_role`: whose sessions it shares, and that it never costs anyone a call."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.credentials
import pytest
from actors import DEVICE, READER, SPOKE, WRITER, arn_of, fetch

import rolecall
from rolecall.testing import FakeClock, StrictCloud

PATIENCE_SECONDS = 60


class LeastMapping:
    """No more than the three methods that a cache needs."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        return self.entries[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.entries[key] = value

    def __contains__(self, key: str) -> bool:
        return key in self.entries


class Broken(LeastMapping):
    """Fails in the method that a test names."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = broken

    def _fail(self, name: str) -> None:
        if name in self.broken:
            raise OSError(f"{name} is broken")

    def __getitem__(self, key: str) -> Any:
        self._fail("__getitem__")
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._fail("__setitem__")
        super().__setitem__(key, value)

    def __contains__(self, key: str) -> bool:
        self._fail("__contains__")
        return super().__contains__(key)


# ── what it shares ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: {},
        lambda folder: LeastMapping(),
        lambda folder: rolecall.JSONFileCache(folder),
        lambda folder: botocore.credentials.JSONFileCache(folder),
        lambda folder: rolecall.FileStore(folder),
        lambda folder: rolecall.MemoryStore(),
    ],
    ids=["dict", "least", "JSONFileCache", "botocore's JSONFileCache", "FileStore", "MemoryStore"],
)
def test_two_sessions_with_one_cache_share_one_call(
    strict_cloud: StrictCloud, parent: boto3.Session, tmp_path: Path, make: Callable[[str], Any]
) -> None:
    cache = make(str(tmp_path / "cache"))

    keys = {fetch(rolecall.assume_role(parent, READER, cache=cache)) for _ in range(3)}

    assert (len(keys), strict_cloud.calls("AssumeRole")) == (1, 1)


def test_a_cached_session_acts_as_the_role(parent: boto3.Session) -> None:
    cache: dict[str, Any] = {}
    fetch(rolecall.assume_role(parent, READER, cache=cache, RoleSessionName="me"))

    child = rolecall.assume_role(parent, READER, cache=cache, RoleSessionName="me")

    assert arn_of(child) == "arn:aws:sts::210987654321:assumed-role/Reader/me"
    assert child.get_credentials().account_id == "210987654321"


def test_a_name_that_is_generated_does_not_keep_sessions_apart(
    strict_cloud: StrictCloud, parent: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache: dict[str, Any] = {}
    for task in ("0123", "4567"):
        monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", f"http://169.254.170.2/v4/{task}")
        fetch(rolecall.assume_role(parent, READER, cache=cache))

    assert strict_cloud.calls("AssumeRole") == 1


def test_a_name_that_the_environment_chose_keeps_sessions_apart(
    strict_cloud: StrictCloud, parent: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or bob's calls would stand under alice's name in the audit trail."""
    cache: dict[str, Any] = {}
    for name in ("alice", "bob"):
        monkeypatch.setenv("AWS_ROLE_SESSION_NAME", name)
        session = rolecall.assume_role(parent, READER, cache=cache)

        assert arn_of(session).endswith(f"/{name}")
    assert strict_cloud.calls("AssumeRole") == 2


def test_there_is_one_file_for_each_role(parent: boto3.Session, tmp_path: Path) -> None:
    cache = rolecall.JSONFileCache(tmp_path / "cache")

    for role in (READER, WRITER, READER):
        fetch(rolecall.assume_role(parent, role, cache=cache))

    files = sorted((tmp_path / "cache").iterdir())
    assert [path.suffix for path in files] == [".json", ".json"]


def test_a_file_says_what_botocores_files_say(parent: boto3.Session, tmp_path: Path) -> None:
    keys = fetch(rolecall.assume_role(parent, READER, cache=rolecall.JSONFileCache(tmp_path)))

    (file,) = tmp_path.iterdir()
    entry = json.loads(file.read_text())["Credentials"]
    assert (entry["AccessKeyId"], entry["SecretAccessKey"], entry["SessionToken"]) == keys[:3]


def test_an_entry_that_has_expired_is_a_miss(
    strict_cloud: StrictCloud, fake_clock: FakeClock, parent: boto3.Session
) -> None:
    cache: dict[str, Any] = {}
    fetch(rolecall.assume_role(parent, READER, cache=cache, clock=fake_clock))

    fake_clock.tick(minutes=61)
    fetch(rolecall.assume_role(parent, READER, cache=cache, clock=fake_clock))

    assert strict_cloud.calls("AssumeRole") == 2


def test_a_refresh_does_not_take_the_same_entry_again(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    child = rolecall.assume_role(parent, READER, cache={})
    before = fetch(child)

    child.get_credentials().refresh()

    assert fetch(child) != before
    assert strict_cloud.calls("AssumeRole") == 2


# ── what the key holds ───────────────────────────────────────────────────────────────────


def test_bob_is_never_handed_the_session_that_alice_made(strict_cloud: StrictCloud) -> None:
    cache: dict[str, Any] = {}
    alice, bob = (strict_cloud.session(user=name) for name in ("alice", "bob"))
    strict_cloud.trust(READER, ["arn:aws:iam::123456789012:user/alice"])
    fetch(rolecall.assume_role(alice, READER, cache=cache))

    with pytest.raises(rolecall.AccessDenied):
        fetch(rolecall.assume_role(bob, READER, cache=cache))


def test_one_user_has_the_same_entry_in_each_session(strict_cloud: StrictCloud) -> None:
    cache: dict[str, Any] = {}
    for _ in range(2):
        fetch(rolecall.assume_role(strict_cloud.session(), READER, cache=cache))

    assert strict_cloud.calls("AssumeRole") == 1


def test_a_role_that_is_assumed_through_another_one_has_an_entry_of_its_own(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    cache: dict[str, Any] = {}
    through = {}
    for hub in (READER, WRITER):
        hub_session = rolecall.assume_role(parent, hub, cache=cache)
        through[hub] = fetch(rolecall.assume_role(hub_session, SPOKE, cache=cache))
    through["none"] = fetch(rolecall.assume_role(parent, SPOKE, cache=cache))

    assert (len(set(through.values())), len(cache)) == (3, 5)


def test_a_chain_finds_its_entries_again_though_the_hubs_key_has_changed(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    cache: dict[str, Any] = {}
    for _ in range(2):
        hub = rolecall.assume_role(parent, READER)
        hub.get_credentials().refresh()
        fetch(rolecall.assume_role(hub, SPOKE, cache=cache))

    assert strict_cloud.calls("AssumeRole") == 3  # the hub's two, the spoke's one


def test_another_endpoint_is_another_entry(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    cache: dict[str, Any] = {}
    for host in ("127.0.0.1", "localhost"):
        url = strict_cloud.url.replace("127.0.0.1", host)
        fetch(
            rolecall.assume_role(
                parent, READER, cache=cache, sts_client_kwargs={"endpoint_url": url}
            )
        )

    assert (strict_cloud.calls("AssumeRole"), len(cache)) == (2, 2)


def test_an_endpoint_of_the_environment_counts_too(
    ambient: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache: dict[str, Any] = {}
    for host in ("127.0.0.1", "localhost"):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", ambient.url.replace("127.0.0.1", host))
        fetch(rolecall.assume_role(boto3.Session(), READER, cache=cache))

    assert (ambient.calls("AssumeRole"), len(cache)) == (2, 2)


def test_another_partition_is_another_entry(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    cache: dict[str, Any] = {}
    for partition, region in (("aws", "us-east-1"), ("aws-cn", "cn-north-1")):
        arn = f"arn:{partition}:iam::210987654321:role/Reader"
        sts = {"region_name": region}
        fetch(rolecall.assume_role(parent, arn, cache=cache, sts_client_kwargs=sts))

    assert (strict_cloud.calls("AssumeRole"), len(cache)) == (2, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"RoleSessionName": "me"},
        {"PolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
        {"Policy": {"Version": "2012-10-17"}},
        {"DurationSeconds": 1800},
        {"Tags": {"team": "data"}},
        {"ExternalId": "fake-external-id"},
        {"SourceIdentity": "alice", "RoleSessionName": "me"},
        {"additional_kwargs": {"ExternalId": "fake-external-id"}},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_another_argument_is_another_entry(
    parent: boto3.Session, arguments: dict[str, Any]
) -> None:
    cache: dict[str, Any] = {}
    fetch(rolecall.assume_role(parent, READER, cache=cache))

    fetch(rolecall.assume_role(parent, READER, cache=cache, **arguments))

    assert len(cache) == 2


def test_the_order_of_tags_and_policies_does_not_matter(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    cache: dict[str, Any] = {}
    arns = ["arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/B"]
    tags = {"team": "data", "cost": "1"}
    for step in (1, -1):
        child = rolecall.assume_role(
            parent,
            READER,
            cache=cache,
            PolicyArns=arns[::step],
            Tags=dict(list(tags.items())[::step]),
        )
        fetch(child)

    assert strict_cloud.calls("AssumeRole") == 1


def test_the_code_of_a_device_does_not_matter(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    cache: dict[str, Any] = {}
    for code in ("111111", "222222"):
        fetch(
            rolecall.assume_role(parent, READER, cache=cache, SerialNumber=DEVICE, TokenCode=code)
        )

    assert strict_cloud.calls("AssumeRole") == 1
    assert "111111" not in json.dumps(cache, default=str)


# ── a cache that is broken ───────────────────────────────────────────────────────────────

ROTTEN = {
    "empty": b"",
    "half": b'{"Credentials": {"AccessKeyId": "ASIAFAKE000000000001", "Secr',
    "not JSON": b"\xff\xfe\x00",
    "not an object": b"[]",
    "no credentials": b"{}",
    "no keys": b'{"Credentials": {}}',
    "null": b'{"Credentials": {"AccessKeyId": null}}',
    "no expiry": b'{"Credentials": {"AccessKeyId": "ASIAFAKE000000000001", '
    b'"SecretAccessKey": "fake-secret-1", "SessionToken": "fake-token-1"}}',
    "wrong expiry": b'{"Credentials": {"AccessKeyId": "ASIAFAKE000000000001", '
    b'"SecretAccessKey": "fake-secret-1", "SessionToken": "fake-token-1", "Expiration": "soon"}}',
}


@pytest.mark.parametrize("rotten", ROTTEN.values(), ids=ROTTEN)
@pytest.mark.parametrize(
    "make", [rolecall.JSONFileCache, botocore.credentials.JSONFileCache], ids=["ours", "botocore's"]
)
def test_a_corrupt_entry_is_a_miss_and_is_replaced(
    strict_cloud: StrictCloud,
    parent: boto3.Session,
    tmp_path: Path,
    make: Callable[[str], Any],
    rotten: bytes,
) -> None:
    fetch(rolecall.assume_role(parent, READER, cache=make(str(tmp_path))))
    (file,) = tmp_path.iterdir()
    file.write_bytes(rotten)

    second = fetch(rolecall.assume_role(parent, READER, cache=make(str(tmp_path))))
    third = fetch(rolecall.assume_role(parent, READER, cache=make(str(tmp_path))))

    assert (second, strict_cloud.calls("AssumeRole")) == (third, 2)


def test_an_entry_that_cannot_be_read_is_a_miss(parent: boto3.Session, tmp_path: Path) -> None:
    """A folder in the file's place: nobody can read that, not even root."""
    cache = rolecall.JSONFileCache(tmp_path)
    fetch(rolecall.assume_role(parent, READER, cache=cache))
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()

    child = rolecall.assume_role(parent, READER, cache=cache)

    assert "/Reader/" in arn_of(child)


@pytest.mark.parametrize("method", ["__getitem__", "__setitem__", "__contains__"])
def test_a_cache_that_raises_never_fails_the_call(
    strict_cloud: StrictCloud, parent: boto3.Session, method: str
) -> None:
    cache = Broken(method)

    for _ in range(2):
        child = rolecall.assume_role(parent, READER, cache=cache)
        assert "/Reader/" in arn_of(child)

    assert strict_cloud.calls("AssumeRole") == 2


@pytest.mark.parametrize(
    "make", [rolecall.JSONFileCache, botocore.credentials.JSONFileCache], ids=["ours", "botocore's"]
)
def test_a_folder_that_cannot_be_written_never_fails_the_call(
    parent: boto3.Session, tmp_path: Path, make: Callable[[str], Any]
) -> None:
    """A file where the folder should be: nobody can write there, not even root."""
    (tmp_path / "file").write_text("in the way")
    cache = make(str(tmp_path / "file" / "cache"))

    child = rolecall.assume_role(parent, READER, cache=cache)

    assert "/Reader/" in arn_of(child)


def test_no_secret_is_logged_when_the_cache_fails(
    parent: boto3.Session, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="rolecall")

    keys = fetch(rolecall.assume_role(parent, READER, cache=Broken("__setitem__")))

    assert "Broken" in caplog.text
    assert keys.secret_key not in caplog.text
    assert keys.token not in caplog.text


def test_what_is_no_cache_is_a_type_error(parent: boto3.Session) -> None:
    with pytest.raises(TypeError, match=r"JSONFileCache\(path\)"):
        rolecall.assume_role(parent, READER, cache="a path")
    with pytest.raises(TypeError, match="__getitem__"):
        rolecall.assume_role(parent, READER, cache=object())


# ── between processes ────────────────────────────────────────────────────────────────────


def test_processes_with_one_folder_make_one_call(ambient: StrictCloud, tmp_path: Path) -> None:
    """The first is held at STS until the second has started: it waits, or finds the entry."""
    script = f"""
import boto3, rolecall
print("started", flush=True)
child = rolecall.assume_role(
    boto3.Session(), {READER!r}, cache=rolecall.JSONFileCache({str(tmp_path)!r})
)
print(child.get_credentials().get_frozen_credentials().access_key, flush=True)
"""
    gate = ambient.hold("AssumeRole")
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
        gate.wait_for_arrival()
        gate.open()
        keys = {process.communicate(timeout=PATIENCE_SECONDS)[0] for process in processes}
    finally:
        gate.open()
        for process in processes:
            process.kill()
            process.wait()

    assert (len(keys), ambient.calls("AssumeRole")) == (1, 1)
    assert keys != {""}


def test_the_locks_are_outside_of_the_folder(parent: boto3.Session, tmp_path: Path) -> None:
    """Programs list the folder, and delete what is in it."""
    fetch(rolecall.assume_role(parent, READER, cache=rolecall.JSONFileCache(tmp_path)))

    assert [path.suffix for path in tmp_path.rglob("*")] == [".json"]
