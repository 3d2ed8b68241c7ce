"""The demo keeps its word, in a terminal and out of one, and says so with its exit code."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest

from rolecall.testing import FakeClock, StrictCloud
from rolecall.testing.demo import STEP_SECONDS, Demo, main
from rolecall.testing.demo_screen import Plain

SHORT = ["--seconds", "4", "--lifetime", "1.5"]
COLUMNS = 70
COLOUR = re.compile(r"\x1b\[[\d;]*m")
ESCAPE = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")


class Terminal(io.StringIO):
    """A terminal of 70 columns by 24 lines.

    Attributes:
        encoding: What its characters are sent in.
    """

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    @property
    def pictures(self) -> list[str]:
        """All that was drawn, without colours and movements of the cursor."""
        return [ESCAPE.sub("", part) for part in re.split(r"\x1b\[\d+A", self.getvalue())]


class AsciiTerminal(Terminal):
    encoding = "ascii"

    def write(self, text: str) -> int:
        text.encode("ascii")
        return super().write(text)


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("LINES", "24")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_refreshed_sessions_go_on_and_static_keys_die(clock: FakeClock) -> None:
    out = io.StringIO()

    code = main(SHORT, out=out, clock=clock, pause=clock.tick)

    said = out.getvalue()
    assert code == 0
    assert re.search(r"with rolecall +\d+ +\d+ +\d+ +0  going on after 4 s", said)
    assert re.search(r"static keys +\d+ +0 +1 +1  died after 1\.\d s: ExpiredToken", said)
    assert len(said.splitlines()) <= 32


def test_each_rotation_is_one_call_of_sts(clock: FakeClock) -> None:
    out = io.StringIO()

    main(SHORT, out=out, clock=clock, pause=clock.tick)

    found = re.search(r"with rolecall +\d+ +(\d+) +(\d+) ", out.getvalue())
    assert found is not None
    rotations, assumed = map(int, found.groups())
    assert rotations >= 4, "four sessions live through at least one rotation each"
    assert assumed == rotations + 4


def test_in_a_terminal_one_bar_a_session_is_drawn_over_and_over(clock: FakeClock) -> None:
    out = Terminal()

    code = main(SHORT, out=out, clock=clock, pause=clock.tick)

    assert code == 0
    assert len(out.pictures) > 4 / STEP_SECONDS
    assert all(len(line) < COLUMNS for part in out.pictures[1:-1] for line in part.splitlines())
    for name in ("Hub", "Orders", "Billing", "Mail"):
        assert re.search(rf"  {name} .*█.* s  ◆.*◆.* calls", "".join(out.pictures))
    assert re.search(r"  Billing .*░ .*◆━+✗", out.pictures[-1])
    assert out.getvalue().startswith("\x1b[?25l")
    assert out.getvalue().endswith("\x1b[?25h"), "the cursor is back"


@pytest.mark.parametrize(("variable", "coloured"), [("", True), ("1", False)])
def test_colours_are_left_out_where_they_are_not_wanted(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, variable: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", variable)
    out = Terminal()

    main(SHORT, out=out, clock=clock, pause=clock.tick)

    assert coloured is bool(COLOUR.search(out.getvalue()))


def test_a_terminal_that_knows_ascii_only_gets_ascii_only(clock: FakeClock) -> None:
    out = AsciiTerminal()

    assert main(SHORT, out=out, clock=clock, pause=clock.tick) == 0
    assert re.search(r"  Billing .*\. .*\*-+x", out.pictures[-1])


@pytest.mark.parametrize(
    ("variable", "value"), [("COLUMNS", "40"), ("LINES", "10"), ("TERM", "dumb")]
)
def test_a_terminal_without_room_gets_lines(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    out = Terminal()

    assert main(SHORT, out=out, clock=clock, pause=clock.tick) == 0
    assert "\x1b" not in out.getvalue()


def test_it_uses_nothing_of_the_users_own_aws_and_gives_it_back(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = {
        "AWS_PROFILE": "production",
        "AWS_ENDPOINT_URL_S3": "http://192.0.2.1",
        "AWS_SESSION_TOKEN": "fake-token-of-the-users",
        "ROLECALL_AHEAD": "0",
        "HTTP_PROXY": "http://192.0.2.1:3128",
    }
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)

    code = main(SHORT, out=io.StringIO(), clock=clock, pause=clock.tick)

    assert code == 0
    assert before == dict(os.environ)


def test_an_interruption_ends_it_cleanly(clock: FakeClock) -> None:
    def pause(_: float) -> None:
        raise KeyboardInterrupt

    out = Terminal()
    before = dict(os.environ)

    code = main(SHORT, out=out, clock=clock, pause=pause)

    assert code == 130
    assert out.getvalue().endswith("\ninterrupted\n\x1b[?25h")
    assert before == dict(os.environ)


def run_against(cloud: StrictCloud, clock: FakeClock, meddle: Callable[[], object]) -> bool:
    """Run the demo in a cloud that *meddle* is let loose on at every step."""

    def pause(seconds: float) -> None:
        meddle()
        clock.tick(seconds)

    screen = Plain(io.StringIO(), every=1.0)
    demo = Demo(cloud, screen, seconds=2.0, lifetime=1.0, clock=clock, pause=pause)
    return demo.run()


@pytest.mark.parametrize(("failing", "held"), [(None, True), ("PutItem", False)])
def test_a_call_that_fails_is_a_promise_broken(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, failing: str | None, held: bool
) -> None:
    with StrictCloud(lifetime=timedelta(seconds=1), clock=clock) as cloud:
        for name, value in cloud.environ().items():
            monkeypatch.setenv(name, value)

        def meddle() -> None:
            if failing:
                cloud.fail(failing, times=1)

        assert run_against(cloud, clock, meddle) is held


@pytest.mark.parametrize(
    "arguments", [["--seconds", "2", "--lifetime", "3"], ["--lifetime", "0.2"], ["--sec", "x"]]
)
def test_what_would_show_nothing_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: python -m rolecall.testing.demo" in capsys.readouterr().err


def test_it_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rolecall.testing.demo", "--seconds", "4", "--lifetime", "2"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "died after" in done.stdout
    assert "\x1b" not in done.stdout
