"""A role that wants MFA codes while its child runs: the child has the terminal, and keeps it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pexpect
import pytest
from command_line import ROLECALL, SERIAL, Desk

from rolecall.testing import StrictCloud

SECONDS = 30
PROMPT = f"MFA code for {SERIAL}: "


@pytest.fixture
def brief(tmp_path: Path) -> Iterator[Desk]:
    """A desk whose role lives for seconds and needs a code each time."""
    with StrictCloud(lifetime=timedelta(seconds=4)) as cloud:
        home = tmp_path / "brief"
        home.mkdir()
        desk = Desk(cloud, home)
        desk.add_role("one", mfa_serial=SERIAL)
        cloud.mfa_codes(SERIAL, "123456", "234567")
        yield desk


#: Asks for its credentials once for each line it is given, and says what comes of it.
ASKING = """
import os, sys, urllib.error, urllib.request
url = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
token = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print("ready", flush=True)
for line in sys.stdin:
    try:
        with opener.open(urllib.request.Request(url, headers={"Authorization": token})) as answer:
            status, said = answer.status, ""
    except urllib.error.HTTPError as error:
        status, said = error.code, error.read().decode()
    print(f"<{line.strip()} {status}> {said}", flush=True)
"""


def test_nobody_is_asked_while_the_child_has_the_terminal(brief: Desk) -> None:
    """It is told what to do, and keeps what is typed; its credentials are good to the end."""
    words = shlex.join([ROLECALL, "exec", "one", "--mfa-session", "0", "--"])
    screen = pexpect.spawn(
        "bash", ["-c", f"exec {words} {shlex.join(brief.python(ASKING))}"],
        env=brief.environ, timeout=SECONDS, encoding="utf-8", echo=False,
    )  # fmt: skip
    try:
        screen.expect_exact(PROMPT)
        screen.sendline("123456")
        screen.expect("ready\r\n")
        seen = ""
        status = 200
        for number in range(100_000):
            screen.sendline(str(number))
            screen.expect(r"<(\d+) (\d+)> ([^\r]*)\r\n")
            seen += screen.before
            assert int(screen.match[1]) == number, "the child did not get what was typed"
            status = int(screen.match[2])
            if status != 200:
                break
        assert status == 503
        assert "MFARequired" in screen.match[3]
        screen.sendeof()
        screen.expect(pexpect.EOF)
        seen += screen.before
    finally:
        screen.close()

    assert screen.exitstatus == 0
    assert PROMPT not in seen
    notices = [line for line in seen.splitlines() if line]
    assert len(notices) == 2, notices  # once, however often it was asked
    assert notices[0].startswith("rolecall: not renewed: ")
    # All of it: without its options it would be another session that is asked for.
    assert "`rolecall whoami --mfa-session=0 one`" in notices[1]
