"""MFA codes for ``rolecall exec``: asked for at the terminal, before the child, once a day."""

from __future__ import annotations

import pexpect
import pytest
from command_line import ROLECALL, SERIAL, WHO, Desk, role_of

SECONDS = 30
PROMPT = f"MFA code for {SERIAL}: "


#: Of the device, one for each test: the cloud takes none twice.
codes = iter(map(str, range(100_000, 200_000)))


@pytest.fixture
def code() -> str:
    return next(codes)


@pytest.fixture
def guarded(desk: Desk, code: str) -> Desk:
    """A desk with two roles, ``one`` and ``two``, of one MFA device."""
    for name in ("one", "two"):
        desk.add_role(name, mfa_serial=SERIAL)
    desk.cloud.mfa_codes(SERIAL, code)
    return desk


def terminal(desk: Desk, script: str) -> pexpect.spawn:
    return pexpect.spawn(
        "bash", ["-c", script], env=desk.environ, timeout=SECONDS, encoding="utf-8", echo=False
    )


def test_a_code_is_asked_for_at_the_terminal_while_input_is_the_childs(
    guarded: Desk, code: str
) -> None:
    asked = guarded.cloud.calls("GetSessionToken")
    out = guarded.home / "out"
    screen = terminal(guarded, f"printf 'a\\nb\\n' | {ROLECALL} exec one -- cat >{out}")
    try:
        screen.expect_exact(PROMPT)
        assert out.read_text() == ""
        screen.sendline(code)
        screen.expect(pexpect.EOF)
        assert screen.before.strip() == ""
    finally:
        screen.close()

    assert screen.exitstatus == 0
    assert out.read_text() == "a\nb\n"
    # That code would not be taken again; the user's session serves both roles, for all runs.
    for name in ("one", "two"):
        found = guarded.run("exec", name, program=guarded.python(WHO))
        assert (found.code, found.err) == (0, "")
        assert role_of(found.out) == name.capitalize()
    assert guarded.cloud.calls("GetSessionToken") == asked + 1


def test_who_is_asked_may_leave(guarded: Desk) -> None:
    screen = terminal(guarded, f"exec {ROLECALL} exec one -- touch {guarded.home}/started")
    try:
        screen.expect_exact(PROMPT)
        screen.sendintr()
        screen.expect(pexpect.EOF)
        said = screen.before
    finally:
        screen.close()

    assert "Traceback" not in said
    assert screen.exitstatus == 130
    assert not (guarded.home / "started").exists()


def test_without_a_terminal_nobody_is_asked(guarded: Desk, code: str) -> None:
    found = guarded.run("exec", "one", program=["echo", "started"], stdin=f"{code}\n")

    assert (found.code, found.out) == (3, "")
    assert SERIAL in found.err
    assert "hint: " in found.err


def test_a_command_can_give_the_code(guarded: Desk, code: str) -> None:
    found = guarded.run("exec", "one", "--mfa-command", f"echo {code}", program=["echo", "started"])

    assert (found.code, found.out, found.err) == (0, "started\n", "")
