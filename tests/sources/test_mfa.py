"""MFA codes: from whomever they come, each serves once and none is ever shown."""

from __future__ import annotations

import logging
import os
import pickle
import pty
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from rolecall.errors import AccessDenied, MFARequired
from rolecall.sources.mfa import (
    CalledCode,
    CodeSource,
    CommandCode,
    PromptedCode,
    StaticCode,
    code_source,
    token_code,
)
from rolecall.testing import FakeClock

SERIAL = "arn:aws:iam::999999999999:mfa/alice"
CODE = "012345"
LONG = "7654321"
SEED = "JBSWY3DPEHPK3PXP"
PATIENCE = 20
ALL_SOURCES = ["static", "callable", "command", "terminal"]


def command(script: str, *words: str) -> list[str]:
    return [sys.executable, "-c", script, *words]


def shown(error: BaseException) -> str:
    """Return all that a traceback of *error* would tell."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)


def make(kind: str, code: str = CODE) -> CodeSource:
    if kind == "static":
        return code_source(code, SERIAL)
    if kind == "callable":
        return code_source(lambda: code, SERIAL)
    if kind == "command":
        return code_source(command("print(int('12345', 10) and '0' + '12345')"), SERIAL)
    return PromptedCode(SERIAL, ask=lambda _: code, terminal=lambda: True)


@pytest.mark.parametrize("kind", ALL_SOURCES)
def test_every_source_gives_the_six_digits(kind: str) -> None:
    source = make(kind)

    assert isinstance(source, CodeSource)
    assert source.code() == CODE
    assert source.interactive is (kind == "terminal")


@pytest.mark.parametrize("kind", ALL_SOURCES)
def test_a_code_serves_once(kind: str) -> None:
    source = make(kind)
    source.code()

    with pytest.raises(MFARequired) as caught:
        source.code()

    assert CODE not in shown(caught.value)
    assert caught.value.hint
    assert caught.value.context == {"serial": SERIAL}


@pytest.mark.parametrize("kind", ALL_SOURCES)
def test_no_code_is_shown_pickled_or_logged(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    source = make(kind)
    before = repr(source)
    with caplog.at_level(logging.DEBUG):
        source.code()

    assert CODE not in before + repr(source) + caplog.text
    try:
        pickled = pickle.dumps(source)
    except Exception:
        return
    assert CODE.encode() not in pickled


def test_what_is_remembered_of_a_code_cannot_be_looked_up() -> None:
    """A million hashes are made in a second: only the salt keeps two sources apart."""
    one, other = CalledCode(lambda: CODE, SERIAL), CalledCode(lambda: CODE, SERIAL)
    one.code()
    other.code()

    hashes = {last[0] for last in (one._checker._last, other._checker._last) if last}
    assert len(hashes) == 2
    assert CODE not in repr(one._checker._last)


# ── the same code again ──────────────────────────────────────────────────────────────────


def test_the_same_code_is_refused_until_the_device_shows_another() -> None:
    clock = FakeClock()
    source = CalledCode(lambda: CODE, SERIAL, clock=clock)
    source.code()
    clock.tick(29.9)

    with pytest.raises(MFARequired, match="gave the same code as last time") as caught:
        source.code()
    assert "wait for the next one" in caught.value.hint
    assert caught.value.retryable is True

    clock.tick(0.1)
    assert source.code() == CODE


def test_asking_again_does_not_put_the_end_of_the_step_off() -> None:
    clock = FakeClock()
    source = CalledCode(lambda: CODE, SERIAL, clock=clock)
    source.code()
    for _ in range(2):
        clock.tick(14)
        with pytest.raises(MFARequired):
            source.code()

    clock.tick(2)

    assert source.code() == CODE


def test_another_code_is_taken_at_once() -> None:
    codes = ["111111", "222222"]
    source = CalledCode(codes.pop, SERIAL, clock=FakeClock())

    assert [source.code(), source.code()] == ["222222", "111111"]


def test_a_malformed_code_does_not_count_as_the_last_one() -> None:
    codes = [CODE, "oops", CODE]
    source = CalledCode(codes.pop, SERIAL, clock=FakeClock())
    source.code()
    with pytest.raises(MFARequired, match="got 4 characters"):
        source.code()

    with pytest.raises(MFARequired, match="the same code"):
        source.code()


def test_of_two_threads_one_gets_a_given_code() -> None:
    source = StaticCode(CODE, SERIAL)

    def ask(_: int) -> str | None:
        try:
            return source.code()
        except MFARequired:
            return None

    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(ask, range(64)))

    assert [one for one in got if one] == [CODE]


# ── what is no code ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("around", ["{}\n", " {} ", "{}\r\n"])
def test_white_space_around_a_code_is_dropped(around: str) -> None:
    assert token_code(lambda: around.format(CODE), SERIAL) == CODE
    assert token_code(around.format(CODE), SERIAL) == CODE


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("1234567", "must give six digits, got 7 characters"),
        ("123 456", "must give six digits, got 7 characters"),
        ("", "must give six digits, got 0 characters"),
        ("12345x", "must give six digits, got 6 characters that are not all digits 0-9"),
        ("١٢٣٤٥٦", "must give six digits, got 6 characters that are not all digits 0-9"),
        (None, "must give six digits, got NoneType"),
        (123456, "must give six digits, got int, which loses leading zeros: give a str"),
        (True, "must give six digits, got bool"),
        (b"123456", "must give six digits, got bytes"),
    ],
    ids=repr,
)
def test_what_is_no_code_is_refused_and_not_shown(given: Any, message: str) -> None:
    with pytest.raises(MFARequired) as caught:
        token_code(lambda: given, SERIAL)

    assert message in str(caught.value)
    assert SERIAL in str(caught.value)
    assert "123456" not in shown(caught.value)
    assert "123 456" not in shown(caught.value)


def test_a_given_code_is_checked_when_it_is_given() -> None:
    with pytest.raises(ValueError, match="must be six digits, got 7 characters") as caught:
        code_source(LONG, SERIAL)

    assert LONG not in shown(caught.value)


def test_a_used_code_says_what_to_do() -> None:
    source = code_source(CODE, SERIAL)
    source.code()

    with pytest.raises(MFARequired, match=r"has been used.*pass mfa_token_provider"):
        source.code()


# ── callables ────────────────────────────────────────────────────────────────────────────


async def later() -> str:
    return CODE


def test_a_coroutine_function_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="coroutine function"):
        code_source(later, SERIAL)  # type: ignore[arg-type]


def test_a_returned_coroutine_is_refused_and_closed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MFARequired, match="got coroutine"):
            token_code(lambda: later(), SERIAL)  # type: ignore[arg-type,return-value]


def test_what_a_callable_raises_is_wrapped_and_chained() -> None:
    def ask() -> str:
        raise LookupError("the token is not plugged in")

    with pytest.raises(MFARequired, match="LookupError: the token is not plugged in") as caught:
        token_code(ask, SERIAL)

    assert isinstance(caught.value.__cause__, LookupError)


def test_what_a_callable_raises_does_not_show_a_code() -> None:
    def ask() -> str:
        raise LookupError(f"code {CODE} is no good")

    with pytest.raises(MFARequired, match="is no good") as caught:
        token_code(ask, SERIAL)

    assert CODE not in shown(caught.value)


@pytest.mark.parametrize("error", [AccessDenied("no"), KeyboardInterrupt()], ids=repr)
def test_our_own_errors_and_interrupts_pass(error: BaseException) -> None:
    def ask() -> str:
        raise error

    with pytest.raises(type(error)) as caught:
        token_code(ask, SERIAL)

    assert caught.value is error


@pytest.mark.parametrize(
    "provider", [5, b"123456", {"code": CODE}, object()], ids=lambda one: type(one).__name__
)
def test_what_gives_no_codes_is_refused(provider: Any) -> None:
    with pytest.raises(TypeError, match="must be a callable, an argv list, six digits or None"):
        code_source(provider, SERIAL)


def test_a_code_source_is_taken_as_it_is() -> None:
    source = StaticCode(CODE, SERIAL)

    assert code_source(source, SERIAL) is source


# ── commands ─────────────────────────────────────────────────────────────────────────────


def test_a_command_is_run_without_a_shell() -> None:
    script = "import sys; assert sys.argv[1] == '$(touch x); *'; print('123456')"

    assert token_code(command(script, "$(touch x); *"), SERIAL) == "123456"


def test_a_command_does_not_read_what_the_program_was_given() -> None:
    reads = command("import sys; print(sys.stdin.read() + '123456')")
    program = f"from rolecall.sources.mfa import token_code; print(token_code({reads}, 'device'))"

    done = subprocess.run(
        [sys.executable, "-c", program],
        input="for the program",
        capture_output=True,
        text=True,
        env=_environ(),
        timeout=PATIENCE,
        check=True,
    )

    assert done.stdout.strip() == "123456"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("", "must give six digits, got 0 characters"),
        ("print('code: 654321')", "must give six digits, got 12 characters"),
        ("import sys; sys.stdout.buffer.write(bytes([255]) * 3)", "got 3 characters"),
        ("import sys; sys.exit('device not found')", "ended with status 1: device not found"),
        ("import sys; sys.exit('first line\\nsecond line')", "with status 1: second line"),
        ("import sys; print('654321'); sys.exit(3)", "ended with status 3"),
        ("import sys; sys.exit('wrong: 654321')", "ended with status 1 ("),
        ("import sys; sys.exit('not 654321\\nlast line')", "ended with status 1 ("),
        ("import sys; sys.exit('token 98765432100')", "ended with status 1 ("),
        ("import sys; sys.exit('bad seed ' + sys.argv[1])", "ended with status 1 ("),
        ("import os; os.kill(os.getpid(), 15)", "ended with status -15"),
    ],
)
def test_a_command_that_gives_no_code_is_told_of_without_what_it_printed(
    script: str, message: str
) -> None:
    with pytest.raises(MFARequired) as caught:
        token_code(command(script, SEED), SERIAL)

    assert f"the command {sys.executable} " in str(caught.value)
    assert message in str(caught.value)
    for secret in ("654321", "98765432100", SEED):
        assert secret not in shown(caught.value)


def test_a_command_that_takes_too_long_is_ended() -> None:
    hangs = command("print('654321', flush=True); import signal; signal.pause()", "a-secret-seed")

    with pytest.raises(MFARequired, match=r"gave no code within 0.2 s") as caught:
        token_code(hangs, SERIAL, timeout=timedelta(seconds=0.2))

    assert "654321" not in shown(caught.value)
    assert "a-secret-seed" not in shown(caught.value)


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["/nowhere/to/be/found", "a-secret-seed"], "No such file or directory"),
        (["/", "a-secret-seed"], "Permission denied"),
        (["nul\0byte", "a-secret-seed"], "a bad argument"),
    ],
)
def test_a_command_that_cannot_be_run_is_told_of_without_its_arguments(
    argv: list[str], reason: str
) -> None:
    with pytest.raises(MFARequired, match=f"could not be run: {reason}") as caught:
        token_code(argv, SERIAL)

    assert "a-secret-seed" not in shown(caught.value)
    assert "a-secret-seed" not in repr(code_source(argv, SERIAL))


@pytest.mark.parametrize("argv", [[5], ["a", None], [b"oathtool"], ()], ids=repr)
def test_an_argv_that_is_none_is_refused_at_once(argv: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="a command"):
        code_source(argv, SERIAL)


def test_a_command_is_given_the_environment_it_was_made_with() -> None:
    script = "import os; print(os.environ['CODE'])"
    environ = {"CODE": CODE, "PATH": os.environ["PATH"]}

    assert CommandCode(command(script), SERIAL, environ=environ).code() == CODE


# ── the terminal ─────────────────────────────────────────────────────────────────────────


def test_the_prompt_names_the_device() -> None:
    prompts = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return CODE

    PromptedCode(SERIAL, ask=ask, terminal=lambda: True).code()

    assert [f"MFA code for {SERIAL}: "] == prompts


def test_without_a_terminal_nobody_is_asked() -> None:
    def ask(_: str) -> str:
        raise AssertionError("asked")

    with pytest.raises(MFARequired, match=r"no terminal to ask at .*mfa_token_provider"):
        PromptedCode(SERIAL, ask=ask, terminal=lambda: False).code()


def test_a_worker_thread_shows_no_prompt() -> None:
    source = make("terminal")

    with ThreadPoolExecutor(1) as worker:
        asked = worker.submit(source.code)
        with pytest.raises(MFARequired, match="no terminal: only the main thread"):
            asked.result(PATIENCE)

    assert threading.current_thread() is threading.main_thread()
    assert source.code() == CODE


@pytest.mark.parametrize(
    ("error", "message"), [(EOFError(), "gave no code"), (OSError(5, "I/O"), "I/O")]
)
def test_a_terminal_that_goes_away_is_told_of(error: Exception, message: str) -> None:
    def ask(_: str) -> str:
        raise error

    with pytest.raises(MFARequired, match=message):
        PromptedCode(SERIAL, ask=ask, terminal=lambda: True).code()


ASKS = f"""
from rolecall.errors import MFARequired
from rolecall.sources.mfa import token_code
try:
    token_code(None, {SERIAL!r})
    print("got one")
except MFARequired as error:
    print(error.message)
"""


def _environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_a_process_without_a_terminal_does_not_wait_for_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKS],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=_environ(),
        start_new_session=True,
        timeout=PATIENCE,
        check=True,
    )

    assert done.stdout.strip() == f"{SERIAL}: no terminal to ask at"


def test_a_real_terminal_is_asked_and_does_not_echo_the_code() -> None:
    """Even with stdin closed: the question goes to the terminal itself."""
    child, terminal = pty.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execve(sys.executable, [sys.executable, "-c", ASKS], _environ())

    seen = _read_until(terminal, lambda text: f"MFA code for {SERIAL}: " in text)
    os.write(terminal, f"{CODE}\n".encode())
    seen += _read_until(terminal, lambda text: "got one" in text)
    _, status = os.waitpid(child, 0)
    os.close(terminal)

    assert status == 0
    assert CODE not in seen


def _read_until(terminal: int, done: Callable[[str], bool]) -> str:
    seen = b""
    while not done(seen.decode()):
        seen += os.read(terminal, 1024)  # the test's own time-out ends a wait for ever
    return seen.decode()
