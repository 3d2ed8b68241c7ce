"""`SerialNumber`, `TokenCode`, `mfa_token_provider` and `mfa_session` of `assume_role`."""

from __future__ import annotations

import gc
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from actors import DEVICE, READER, SPOKE, WRITER, arn_of, fetch

import rolecall
from rolecall.sources import mfa
from rolecall.testing import FakeClock, StrictCloud

Asked = list[dict[str, Any]]
HALF_A_DAY = timedelta(hours=12)
PATIENCE_SECONDS = 60


class Codes:
    """A device: gives its codes in order and counts how often it was asked."""

    def __init__(self, *codes: str) -> None:
        self.left = list(codes)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        return self.left.pop(0)


@pytest.fixture
def device(strict_cloud: StrictCloud) -> Codes:
    """A device whose three codes are the only ones that STS accepts; its role asks for MFA."""
    codes = ("111111", "222222", "333333")
    strict_cloud.mfa_codes(DEVICE, *codes)
    for role in (READER, WRITER, SPOKE):
        strict_cloud.trust(role, ["123456789012"], mfa=True)
    return Codes(*codes)


# ── TokenCode ────────────────────────────────────────────────────────────────────────────


def test_the_code_is_really_sent(parent: boto3.Session, asked: Asked, device: Codes) -> None:
    child = rolecall.assume_role(parent, READER, SerialNumber=DEVICE, TokenCode="111111")

    assert "/Reader/" in arn_of(child)
    assert [(one["SerialNumber"], one["TokenCode"]) for one in asked] == [(DEVICE, "111111")]


def test_the_code_may_come_with_the_additional_arguments(
    parent: boto3.Session, asked: Asked, device: Codes
) -> None:
    child = rolecall.assume_role(
        parent,
        READER,
        additional_kwargs={"SerialNumber": DEVICE, "TokenCode": "111111"},
    )

    assert "/Reader/" in arn_of(child)
    assert [one["TokenCode"] for one in asked] == ["111111"]


def test_the_code_is_sent_once(parent: boto3.Session, asked: Asked, device: Codes) -> None:
    child = rolecall.assume_role(parent, READER, SerialNumber=DEVICE, TokenCode="111111")
    fetch(child)

    with pytest.raises(rolecall.MFARequired):
        child.get_credentials().refresh()
    assert len(asked) == 1


def test_a_second_refresh_says_what_to_do(parent: boto3.Session, device: Codes) -> None:
    child = rolecall.assume_role(parent, READER, SerialNumber=DEVICE, TokenCode="111111")
    fetch(child)

    with pytest.raises(rolecall.MFARequired) as required:
        child.get_credentials().refresh()

    assert "mfa_token_provider" in required.value.hint
    assert "mfa_session" in required.value.hint
    assert DEVICE in str(required.value)
    assert "111111" not in str(required.value)


def test_a_used_up_code_costs_no_call_before_the_session_expires(
    strict_cloud: StrictCloud,
    fake_clock: FakeClock,
    parent: boto3.Session,
    device: Codes,
) -> None:
    child = rolecall.assume_role(
        parent, READER, SerialNumber=DEVICE, TokenCode="111111", clock=fake_clock
    )
    before = fetch(child)

    fake_clock.tick(minutes=50)  # past the point where a refresh is due

    assert fetch(child) == before


def test_a_used_up_code_raises_once_the_session_has_expired(
    fake_clock: FakeClock, parent: boto3.Session, device: Codes
) -> None:
    child = rolecall.assume_role(
        parent, READER, SerialNumber=DEVICE, TokenCode="111111", clock=fake_clock
    )
    fetch(child)

    fake_clock.tick(minutes=61)

    with pytest.raises(rolecall.MFARequired):
        child.client("sts").get_caller_identity()


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "", "١٢٣٤٥٦", 123456])
def test_a_code_that_is_not_six_digits_is_refused_and_not_shown(
    strict_cloud: StrictCloud, parent: boto3.Session, code: Any
) -> None:
    with pytest.raises(rolecall.InvalidChain, match="TokenCode") as refused:
        rolecall.assume_role(parent, READER, SerialNumber=DEVICE, TokenCode=code)

    assert strict_cloud.calls() == 0
    if code:
        assert str(code) not in str(refused.value)


def test_a_code_without_a_device_is_refused(parent: boto3.Session) -> None:
    with pytest.raises(rolecall.InvalidChain, match="SerialNumber"):
        rolecall.assume_role(parent, READER, TokenCode="111111")


def test_a_wrong_code_is_a_refusal_and_not_shown(parent: boto3.Session, device: Codes) -> None:
    child = rolecall.assume_role(parent, READER, SerialNumber=DEVICE, TokenCode="999999")

    with pytest.raises(rolecall.MFARequired) as refused:
        fetch(child)
    assert "999999" not in str(refused.value)


def test_no_worker_thread_ever_prompts(ambient: StrictCloud, device: Codes) -> None:
    """With a terminal there to prompt at: the code is used up, or there never was one."""
    ours, theirs = pty.openpty()
    script = f"""
import fcntl, sys, termios, threading
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
import boto3, rolecall
used = rolecall.assume_role(None, {READER!r}, SerialNumber={DEVICE!r}, TokenCode="111111")
used.get_credentials().get_frozen_credentials()
never = rolecall.assume_role(None, {READER!r}, SerialNumber={DEVICE!r})
def refresh(session):
    try:
        session.get_credentials().refresh()
    except rolecall.MFARequired as error:
        print("MFARequired", flush=True)
for session in (used, never):
    worker = threading.Thread(target=refresh, args=(session,))
    worker.start()
    worker.join()
refresh(used)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        text=True,
    )
    os.close(theirs)
    try:
        out, _ = child.communicate(timeout=PATIENCE_SECONDS)
        said = _all_of(ours)
    finally:
        child.kill()
        child.wait()
        os.close(ours)

    assert (child.returncode, out.split()) == (0, ["MFARequired"] * 3), said
    assert "MFA code for" not in said


def _all_of(terminal: int) -> str:
    read = b""
    while True:
        try:
            some = os.read(terminal, 4096)
        except OSError:  # Linux's word for: everyone has left
            some = b""
        if not some:
            return read.decode()
        read += some


# ── mfa_token_provider ───────────────────────────────────────────────────────────────────


def test_a_callable_is_asked_at_each_refresh(
    parent: boto3.Session, asked: Asked, device: Codes
) -> None:
    child = rolecall.assume_role(parent, READER, SerialNumber=DEVICE, mfa_token_provider=device)

    for _ in range(3):
        child.get_credentials().refresh()

    assert [one["TokenCode"] for one in asked] == ["111111", "222222", "333333"]
    assert device.asked == 3


def test_a_callable_is_not_asked_before_the_session_is_used(
    parent: boto3.Session, device: Codes
) -> None:
    rolecall.assume_role(parent, READER, SerialNumber=DEVICE, mfa_token_provider=device)

    assert device.asked == 0


def test_a_callable_is_not_asked_while_the_session_is_fresh(
    parent: boto3.Session, device: Codes
) -> None:
    child = rolecall.assume_role(parent, READER, SerialNumber=DEVICE, mfa_token_provider=device)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetch(child), range(8)))

    assert device.asked == 1


def test_the_output_of_a_command_is_the_code(
    parent: boto3.Session, asked: Asked, device: Codes, tmp_path: Path
) -> None:
    codes = tmp_path / "codes"
    codes.write_text("222222\n111111\n")
    take_last = (
        "import pathlib, sys; file = pathlib.Path(sys.argv[1]); *rest, code = "
        "file.read_text().split(); file.write_text('\\n'.join(rest)); print(code)"
    )
    child = rolecall.assume_role(
        parent,
        READER,
        SerialNumber=DEVICE,
        mfa_token_provider=[sys.executable, "-c", take_last, str(codes)],
    )

    child.get_credentials().refresh()
    child.get_credentials().refresh()

    assert [one["TokenCode"] for one in asked] == ["111111", "222222"]


def test_a_command_has_half_a_minute() -> None:
    assert timedelta(seconds=30) == mfa.CODE_TIMEOUT


def test_a_command_that_fails_is_one_clear_error(parent: boto3.Session, asked: Asked) -> None:
    child = rolecall.assume_role(
        parent, READER, SerialNumber=DEVICE, mfa_token_provider=["false", "fake-secret-1"]
    )

    with pytest.raises(rolecall.MFARequired, match="false") as required:
        fetch(child)
    assert "fake-secret-1" not in str(required.value)
    assert asked == []


# ── mfa_session ──────────────────────────────────────────────────────────────────────────


def test_with_an_mfa_session_one_code_serves_many_roles(
    strict_cloud: StrictCloud, parent: boto3.Session, asked: Asked, device: Codes
) -> None:
    children = [
        rolecall.assume_role(
            parent, role, SerialNumber=DEVICE, mfa_token_provider=device, mfa_session=HALF_A_DAY
        )
        for role in (READER, WRITER, SPOKE)
    ]

    roles = [arn_of(child).split("/")[1] for child in children]
    assert roles == ["Reader", "Writer", "Spoke"]
    assert (device.asked, strict_cloud.calls("GetSessionToken")) == (1, 1)
    assert asked == [{"DurationSeconds": 43200, "SerialNumber": DEVICE, "TokenCode": "111111"}]


def test_with_an_mfa_session_one_code_serves_many_refreshes(
    strict_cloud: StrictCloud, parent: boto3.Session, device: Codes
) -> None:
    child = rolecall.assume_role(
        parent, READER, SerialNumber=DEVICE, mfa_token_provider=device, mfa_session=HALF_A_DAY
    )

    for _ in range(4):
        child.get_credentials().refresh()

    assert (device.asked, strict_cloud.calls("AssumeRole")) == (1, 4)


def test_with_an_mfa_session_a_static_code_serves_many_roles(
    strict_cloud: StrictCloud, parent: boto3.Session, device: Codes
) -> None:
    children = [
        rolecall.assume_role(
            parent, role, SerialNumber=DEVICE, TokenCode="111111", mfa_session=HALF_A_DAY
        )
        for role in (READER, WRITER)
    ]

    assert [arn_of(child).split("/")[1] for child in children] == ["Reader", "Writer"]
    assert strict_cloud.calls("GetSessionToken") == 1


def test_an_mfa_session_outlives_the_sessions_made_from_it(
    strict_cloud: StrictCloud, parent: boto3.Session, device: Codes
) -> None:
    """One role after the other, each session dropped before the next: still one code a day."""

    def work(role: str) -> str:
        return arn_of(
            rolecall.assume_role(
                parent, role, SerialNumber=DEVICE, mfa_token_provider=device, mfa_session=HALF_A_DAY
            )
        )

    for role in (READER, WRITER, SPOKE):
        work(role)
        gc.collect()

    assert (device.asked, strict_cloud.calls("GetSessionToken")) == (1, 1)


def test_an_mfa_session_is_shared_by_commands_that_say_the_same(
    strict_cloud: StrictCloud, parent: boto3.Session, device: Codes
) -> None:
    """A list that is written at each call is another object each time."""
    children = [
        rolecall.assume_role(
            parent,
            role,
            SerialNumber=DEVICE,
            mfa_token_provider=[sys.executable, "-c", "print('111111')"],
            mfa_session=HALF_A_DAY,
        )
        for role in (READER, WRITER)
    ]

    assert [arn_of(child).split("/")[1] for child in children] == ["Reader", "Writer"]
    assert strict_cloud.calls("GetSessionToken") == 1


def test_an_mfa_session_is_shared_by_callables_that_are_written_at_each_call(
    strict_cloud: StrictCloud, parent: boto3.Session, device: Codes
) -> None:
    """It is one device: whoever is asked first is asked for all."""
    children = [
        rolecall.assume_role(
            parent,
            role,
            SerialNumber=DEVICE,
            mfa_token_provider=lambda: device(),
            mfa_session=HALF_A_DAY,
        )
        for role in (READER, WRITER, SPOKE)
    ]

    assert [arn_of(child).split("/")[1] for child in children] == ["Reader", "Writer", "Spoke"]
    assert (device.asked, strict_cloud.calls("GetSessionToken")) == (1, 1)


def test_with_a_cache_one_code_serves_the_next_program_too(
    strict_cloud: StrictCloud, device: Codes, tmp_path: Path
) -> None:
    for role in (READER, WRITER):
        child = rolecall.assume_role(
            strict_cloud.session(),
            role,
            SerialNumber=DEVICE,
            mfa_token_provider=device,
            mfa_session=HALF_A_DAY,
            cache=rolecall.JSONFileCache(tmp_path),
        )
        fetch(child)

    assert (device.asked, strict_cloud.calls("GetSessionToken")) == (1, 1)


def test_after_an_mfa_session_has_expired_the_next_code_is_used(
    strict_cloud: StrictCloud, fake_clock: FakeClock, parent: boto3.Session, device: Codes
) -> None:
    def child(code: str) -> boto3.Session:
        return rolecall.assume_role(
            parent,
            READER,
            SerialNumber=DEVICE,
            TokenCode=code,
            mfa_session=timedelta(minutes=15),
            clock=fake_clock,
        )

    fetch(child("111111"))

    fake_clock.tick(minutes=16)

    assert "/Reader/" in arn_of(child("222222"))
    assert strict_cloud.calls("GetSessionToken") == 2


def test_after_a_wrong_code_the_next_one_is_used(
    strict_cloud: StrictCloud, parent: boto3.Session, device: Codes
) -> None:
    def child(code: str) -> boto3.Session:
        return rolecall.assume_role(
            parent, READER, SerialNumber=DEVICE, TokenCode=code, mfa_session=HALF_A_DAY
        )

    mistyped = child("999999")
    with pytest.raises(rolecall.MFARequired):
        fetch(mistyped)

    assert "/Reader/" in arn_of(child("111111"))


def test_from_an_mfa_session_more_than_an_hour_may_be_asked_for(
    parent: boto3.Session, device: Codes
) -> None:
    """It is a user's session: what it assumes is not role chaining."""
    child = rolecall.assume_role(
        parent,
        READER,
        SerialNumber=DEVICE,
        mfa_token_provider=device,
        mfa_session=HALF_A_DAY,
        DurationSeconds=43200,
    )

    assert child.get_credentials().remaining > timedelta(hours=11)


def test_with_an_mfa_session_the_parent_is_still_the_session_that_was_given(
    parent: boto3.Session, device: Codes
) -> None:
    child = rolecall.assume_role(
        parent, READER, SerialNumber=DEVICE, mfa_token_provider=device, mfa_session=HALF_A_DAY
    )

    assert child.assume_role_parent_session is parent


def test_an_mfa_session_needs_a_device(parent: boto3.Session) -> None:
    with pytest.raises(rolecall.InvalidChain, match="mfa_session"):
        rolecall.assume_role(parent, READER, mfa_session=HALF_A_DAY)


@pytest.mark.parametrize("length", [timedelta(minutes=14), timedelta(hours=37)], ids=str)
def test_an_mfa_session_has_the_limits_of_get_session_token(
    parent: boto3.Session, length: timedelta
) -> None:
    with pytest.raises(rolecall.InvalidChain, match="mfa_session"):
        rolecall.assume_role(parent, READER, SerialNumber=DEVICE, mfa_session=length)
