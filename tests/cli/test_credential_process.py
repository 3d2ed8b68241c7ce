"""``rolecall credential-process``: what it prints, and what it does while STS does not answer."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest
from command_line import ROLECALL, SERIAL, Desk, Ended, role_of

from rolecall.cli import credential_process
from rolecall.cli.credential_process import current
from rolecall.cli.naming import open_named
from rolecall.cli.options import Asked
from rolecall.clock import SYSTEM_CLOCK
from rolecall.credentials import Credentials
from rolecall.errors import ConfigError
from rolecall.refresh import Refresher
from rolecall.sessions.handing import HANDING_POLICY, refresher_of
from rolecall.sources import mfa
from rolecall.stores import MemoryStore, Stored
from rolecall.testing import FakeSource, Gate, StrictCloud

WORDS = ("credential-process", "reader")
FORM = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def entries(desk: Desk) -> Path:
    return desk.home / ".cache/rolecall/process"


def printed(ended: Ended) -> dict[str, Any]:
    """Return what the command printed, which is one line and nothing else."""
    assert ended.code == 0, ended.err
    assert ended.out.count("\n") == 1
    found: dict[str, Any] = json.loads(ended.out)
    return found


def expiry(ended: Ended) -> datetime:
    """Return until when what was printed is said to be good."""
    return datetime.fromisoformat(printed(ended)["Expiration"].replace("Z", "+00:00"))


def now() -> datetime:
    return datetime.now(timezone.utc)


def stored(desk: Desk, role: str = "reader") -> Stored:
    """Return what keeps the sessions of *role* for all commands."""
    os.environ.clear()
    os.environ.update(desk.environ)
    source = refresher_of(open_named(Asked(role=role), desk.environ).session).source
    assert isinstance(source, Stored)
    return source


def age(desk: Desk, left: timedelta, role: str = "reader", *, alone: bool = False) -> Credentials:
    """Let only *left* of the stored hour's session of *role* be left, and nothing be warm.

    Args:
        alone: Whether nothing else is left in the store, such as a sign-in with MFA.
    """
    source = stored(desk, role)
    held = source.store.get(source.key)
    assert held is not None
    assert held.expires_at is not None
    expires_at = now() + left
    aged = replace(held, expires_at=expires_at, issued_at=expires_at - timedelta(hours=1))
    for entry in (desk.home / ".cache/rolecall").rglob("*" if alone else "process/*"):
        if entry.is_file():
            entry.unlink()
    source.store.put(source.key, aged)
    return aged


STALE = timedelta(minutes=10)


def join() -> None:
    """Wait for fetches that the command itself did not wait for: its process would end."""
    for thread in threading.enumerate():
        if thread.name == "rolecall-process":
            thread.join(30)


# The contract


def test_it_prints_one_line_of_json_and_nothing_else(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    ended = rolecall(*WORDS)

    found = printed(ended)
    assert found.pop("Version") == 1
    assert FORM.fullmatch(found["Expiration"])
    assert {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AccountId"} == set(
        found
    )
    assert found["AccountId"] == "123456789012"
    assert timedelta(minutes=59) < expiry(ended) - now() <= timedelta(hours=1)
    assert ended.err == ""


def test_all_who_ask_get_the_session_that_is_shared(
    desk: Desk, rolecall: Callable[..., Ended], entries: Path
) -> None:
    """With the long way and the short one, and with a library that uses the same store."""
    before = desk.cloud.calls("AssumeRole")

    cold = rolecall(*WORDS)
    warm = rolecall(*WORDS)
    for entry in entries.iterdir():
        entry.unlink()
    from_the_store = rolecall(*WORDS)

    assert cold.out == warm.out == from_the_store.out
    assert desk.cloud.calls("AssumeRole") == before + 1


def test_the_expiration_is_by_the_clock_of_whoever_reads_it(
    desk: Desk, rolecall: Callable[..., Ended], entries: Path
) -> None:
    """AWS's own says 12:00 where this machine's clock is an hour behind; the SDKs have that one."""
    desk.cloud.skew = timedelta(hours=2)
    try:
        cold = rolecall(*WORDS)
        for entry in entries.iterdir():
            entry.unlink()
        from_the_store = rolecall(*WORDS)
    finally:
        desk.cloud.skew = timedelta(0)

    for ended in (cold, from_the_store, rolecall(*WORDS)):
        assert timedelta(minutes=58) < expiry(ended) - now() <= timedelta(minutes=61)


def test_it_runs_as_a_module_too(desk: Desk) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rolecall", *WORDS],
        env=desk.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert printed(Ended(done.returncode, done.stdout, done.stderr))["Version"] == 1


def test_a_profile_of_it_is_the_role_to_boto3_and_to_the_aws_cli(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.profile(
        "profile tool",
        credential_process=f"{ROLECALL} credential-process reader",
        region="us-east-2",
    )
    for name, value in desk.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_CONFIG_FILE")
    monkeypatch.delenv("AWS_SHARED_CREDENTIALS_FILE")

    sts = boto3.Session(profile_name="tool").client("sts")
    cli = subprocess.run(
        [
            str(Path(ROLECALL).with_name("aws")),
            *("sts", "get-caller-identity", "--profile", "tool"),
            *("--query", "Arn", "--output", "text"),
        ],
        env=desk.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert role_of(sts.get_caller_identity()["Arn"]) == "Reader"
    assert cli.returncode == 0, cli.stderr
    assert role_of(cli.stdout) == "Reader"


@pytest.fixture
def short_lives(cloud: StrictCloud) -> Iterator[timedelta]:
    """Let sessions of the cloud live six seconds: they are renewed when three are left."""
    cloud.lifetime = timedelta(seconds=6)
    yield cloud.lifetime
    cloud.lifetime = None


def test_boto3_lives_through_several_lifetimes_of_it(
    desk: Desk, short_lives: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"{sys.executable} -m rolecall credential-process reader"
    desk.profile("profile tool", credential_process=command, region="us-east-2")
    for name, value in desk.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_CONFIG_FILE")
    monkeypatch.delenv("AWS_SHARED_CREDENTIALS_FILE")
    session = boto3.Session(profile_name="tool")
    sts = session.client("sts")
    calls = desk.cloud.calls("AssumeRole")
    until = now() + 10 * short_lives
    keys = set()

    # The third is had when the first has expired.
    while len(keys) < 3:
        assert now() < until, f"still {keys}"
        assert role_of(sts.get_caller_identity()["Arn"]) == "Reader"
        held = session.get_credentials()
        assert held is not None
        keys.add(held.get_frozen_credentials().access_key)

    # Renewed at half of its life, never for each of the requests.
    assert desk.cloud.calls("AssumeRole") - calls <= len(keys) + 1


# Stale: about to expire, and STS may not answer


def test_a_stale_session_is_renewed_before_anything_is_printed(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    rolecall(*WORDS)
    old = age(desk, STALE)
    calls = desk.cloud.calls("AssumeRole")

    ended = rolecall(*WORDS)

    assert printed(ended)["AccessKeyId"] != old.access_key
    assert expiry(ended) - now() > timedelta(minutes=59)
    assert desk.cloud.calls("AssumeRole") == calls + 1
    assert rolecall(*WORDS).out == ended.out
    assert desk.cloud.calls("AssumeRole") == calls + 1


def test_while_sts_hangs_what_is_stored_is_printed_after_five_seconds(
    desk: Desk, rolecall: Callable[..., Ended], entries: Path
) -> None:
    """The one test that waits the real five seconds, in a process that must end as well."""
    rolecall(*WORDS)
    old = age(desk, STALE)
    with desk.cloud.hold("AssumeRole"):
        began = now()

        ended = desk.run(*WORDS)

        took = now() - began
    assert printed(ended)["AccessKeyId"] == old.access_key
    assert "going on with what is stored" in ended.err
    assert timedelta(seconds=5) <= took < timedelta(seconds=15)
    # Asked again the next time: nothing says how long it is to be gone on with.
    assert list(entries.iterdir()) == []


@pytest.mark.parametrize("ahead", [None, "120"])
def test_while_sts_hangs_nobody_waits_longer_than_that(
    desk: Desk,
    rolecall: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    ahead: str | None,
) -> None:
    """Whatever windows the environment asks for."""
    monkeypatch.setattr(credential_process, "STALE_SECONDS", 0.2)
    if ahead is not None:
        desk.environ["ROLECALL_AHEAD"] = ahead
    rolecall(*WORDS)
    old = age(desk, timedelta(seconds=60))
    began = now()

    with desk.cloud.hold("AssumeRole"):
        ended = rolecall(*WORDS)
        took = now() - began
    join()

    assert printed(ended)["AccessKeyId"] == old.access_key
    assert took < timedelta(seconds=5)


def test_while_sts_hangs_a_role_behind_mfa_is_not_waited_for_either(
    desk: Desk, rolecall: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sign-in with MFA is still good, so that nobody would be asked for a code."""
    monkeypatch.setattr(credential_process, "STALE_SECONDS", 0.2)
    desk.add_role("guarded", mfa_serial=SERIAL)
    rolecall("credential-process", "guarded", "--mfa-command", "echo 864200")
    old = age(desk, STALE, "guarded")
    began = now()

    with desk.cloud.hold("AssumeRole"):
        ended = rolecall("credential-process", "guarded")
        took = now() - began
    join()

    assert printed(ended)["AccessKeyId"] == old.access_key
    assert took < timedelta(seconds=5)


@pytest.mark.parametrize("left", [4, 60])
def test_what_is_dead_before_it_is_used_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """Then the fetch is waited for, however long it takes."""
    monkeypatch.setattr(credential_process, "STALE_SECONDS", 0.05)
    source = FakeSource(SYSTEM_CLOCK)
    store = MemoryStore()
    stored = Stored(source, store, "key")
    store.put("key", replace(source.make(7, now()), expires_at=now() + timedelta(seconds=left)))
    source.before = gate = Gate()
    rounds = itertools.count(1)

    def is_asking() -> bool:
        if next(rounds) == 2:
            gate.open()
        return False

    monkeypatch.setattr(credential_process, "is_asking", is_asking)
    with gate:
        found = current(Refresher(stored, policy=HANDING_POLICY))
    join()

    assert found.access_key == ("ASIAFAKE000000000001" if left == 4 else "ASIAFAKE000000000007")


@pytest.mark.parametrize("trouble", ["denied", "unreachable"])
def test_while_sts_refuses_what_is_stored_is_printed_with_words_about_it(
    desk: Desk, rolecall: Callable[..., Ended], trouble: str
) -> None:
    desk.environ["AWS_MAX_ATTEMPTS"] = "1"
    rolecall(*WORDS)
    old = age(desk, STALE)
    if trouble == "denied":
        desk.cloud.fail("AssumeRole")
    else:
        desk.cloud.reset_connections("AssumeRole")

    ended = desk.run(*WORDS)

    assert printed(ended)["AccessKeyId"] == old.access_key
    assert old.expires_at is not None
    assert expiry(ended) == old.expires_at.replace(microsecond=0)
    assert ("AccessDenied" if trouble == "denied" else "Connection was closed") in ended.err
    for secret in (old.secret_key, old.token, desk.secret):
        assert secret is not None
        assert secret not in ended.err


def test_what_was_gone_on_with_is_renewed_as_soon_as_sts_answers_again(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    """It is stale: the next command asks, whatever has been printed meanwhile."""
    rolecall(*WORDS)
    old = age(desk, STALE)
    desk.cloud.fail("AssumeRole", times=1)

    first, second = rolecall(*WORDS), rolecall(*WORDS)

    assert printed(first)["AccessKeyId"] == old.access_key
    assert printed(second)["AccessKeyId"] != old.access_key


def test_a_stale_session_goes_on_where_nobody_can_be_asked_for_a_code(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    desk.add_role("guarded", mfa_serial=SERIAL)
    rolecall("credential-process", "guarded", "--mfa-command", "echo 246810")
    old = age(desk, STALE, "guarded", alone=True)

    ended = desk.run("credential-process", "guarded")

    assert printed(ended)["AccessKeyId"] == old.access_key
    assert SERIAL in ended.err


# Nothing to print


def test_expired_and_refused_is_exit_code_1_and_no_output(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    rolecall(*WORDS)
    age(desk, timedelta(seconds=-1))
    desk.cloud.fail("AssumeRole")

    ended = rolecall(*WORDS)

    assert (ended.code, ended.out) == (1, "")
    assert "AccessDenied" in ended.err


def test_no_source_credentials_is_exit_code_3_and_no_output(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    arn = desk.arns["reader"]
    desk.add_role("orphan", source="nobody")
    desk.profile("profile nobody", region="us-east-2")

    for words in ((arn,), ("orphan",)):
        ended = rolecall("credential-process", *words)

        assert (ended.code, ended.out) == (3, ""), words
        assert ended.err.startswith("rolecall: ")
        assert "Traceback" not in ended.err


def test_keys_that_last_are_not_handed_on(desk: Desk, rolecall: Callable[..., Ended]) -> None:
    """Keys in the environment; a profile's are made a session of, see the naming tests."""
    user = desk.cloud.credentials()
    desk.environ["AWS_ACCESS_KEY_ID"] = user.access_key
    desk.environ["AWS_SECRET_ACCESS_KEY"] = user.secret_key
    desk.profile("profile ambient", region="us-east-2")

    ended = rolecall("credential-process", "ambient")

    assert ended.out == ""
    assert ended.code in (2, 3)
    assert user.secret_key not in ended.err


def test_a_directory_that_is_gone_is_no_matter(desk: Desk, tmp_path: Path) -> None:
    """Shells stay in a directory that somebody deletes."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'rmdir "$PWD"; exec "$0" "$@"'

    done = subprocess.run(
        ["/bin/sh", "-c", script, ROLECALL, *WORDS],
        cwd=gone,
        env=desk.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert printed(Ended(done.returncode, done.stdout, done.stderr))["Version"] == 1


@pytest.mark.parametrize("warm", [False, True])
def test_a_reader_that_went_away_gets_no_traceback(
    desk: Desk, rolecall: Callable[..., Ended], warm: bool
) -> None:
    if warm:
        rolecall(*WORDS)
    reading, writing = os.pipe()
    os.close(reading)

    process = desk.start(*WORDS, stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=60)

    assert "Traceback" not in err
    assert "SecretAccessKey" not in err


def test_a_disk_that_takes_nothing_costs_nobody_their_credentials(desk: Desk) -> None:
    """``ulimit -f 0``: no file can grow, as on a full disk."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 0; exec "$0" "$@"', ROLECALL, *WORDS],
        env=desk.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert printed(Ended(done.returncode, done.stdout, done.stderr))["Version"] == 1
    cache = desk.home / ".cache/rolecall"
    assert [one for one in cache.rglob("*") if one.is_file() and one.stat().st_size] == []


def test_what_is_on_the_disk_is_of_the_user_alone_whatever_the_umask(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    before = os.umask(0)
    try:
        rolecall(*WORDS)
    finally:
        os.umask(before)

    found = list((desk.home / ".cache").rglob("*"))
    assert len([one for one in found if one.is_file()]) >= 2
    for one in [desk.home / ".cache", *found]:
        assert one.stat().st_mode & 0o077 == 0, one


# MFA without a person


def test_a_command_may_give_the_code(desk: Desk, rolecall: Callable[..., Ended]) -> None:
    desk.add_role("guarded", mfa_serial=SERIAL)
    desk.cloud.trust(desk.arns["guarded"], mfa=True)
    calls = desk.cloud.calls("GetSessionToken")

    ended = rolecall("credential-process", "guarded", "--mfa-command", "echo '135790'")

    desk.cloud.trust(desk.arns["guarded"])
    assert printed(ended)["Version"] == 1
    assert desk.cloud.calls("GetSessionToken") == calls + 1


def test_a_command_that_waits_for_its_person_is_waited_for(
    desk: Desk,
    rolecall: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """As one that wants a key touched: what is stored would do, but the person is at it."""
    monkeypatch.setattr(credential_process, "STALE_SECONDS", 0.5)
    desk.add_role("guarded", mfa_serial=SERIAL)
    rolecall("credential-process", "guarded", "--mfa-command", "echo 975310")
    old = age(desk, STALE, "guarded", alone=True)
    os.mkfifo(tmp_path / "touched")
    seen: list[bool] = []

    def is_asking() -> bool:
        seen.append(mfa.is_asking())
        if seen[-1] and seen.count(True) == 2:
            (tmp_path / "touched").write_text("086420\n")
        return seen[-1]

    monkeypatch.setattr(credential_process, "is_asking", is_asking)

    ended = rolecall("credential-process", "guarded", "--mfa-command", f"cat {tmp_path}/touched")

    assert seen.count(True) >= 2
    assert printed(ended)["AccessKeyId"] != old.access_key


def test_a_profile_whose_process_asks_for_itself_is_told(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    """Else each process would start the next, until the machine has no memory left."""
    command = f"{sys.executable} -m rolecall credential-process"
    desk.profile("profile loop", credential_process=f"{command} other", region="us-east-2")
    desk.profile("profile other", credential_process=f"{command} loop", region="us-east-2")

    ended = rolecall("credential-process", "loop")

    assert ended.code != 0
    assert ended.out == ""
    assert "'loop' asks for itself: loop -> other -> loop" in ended.err


def test_one_that_asks_for_another_is_no_loop() -> None:
    environ: dict[str, str] = {}

    for role in ("one", "two", "three"):
        credential_process.refuse_loops(environ, role)
    with pytest.raises(ConfigError, match="one -> two -> three -> two"):
        credential_process.refuse_loops(environ, "two")

    assert environ == {"ROLECALL_ASKED": "one -> two -> three"}


def test_without_a_terminal_it_is_exit_code_3_at_once(desk: Desk) -> None:
    desk.add_role("guarded", mfa_serial=SERIAL)
    calls = desk.cloud.calls()

    ended = desk.run("credential-process", "guarded", stdin="123456\n")

    assert (ended.code, ended.out) == (3, "")
    assert "no terminal" in ended.err
    assert desk.cloud.calls() == calls
