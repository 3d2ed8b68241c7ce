"""Where MFA codes come from: given once, asked of a callable, a command or a person.

A code is six digits and serves a single STS call. None is ever shown, logged or kept.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import getpass
import hashlib
import inspect
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NoReturn, Protocol, runtime_checkable

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import MFARequired, RolecallError
from ..fork import ForkSafeLock, tell_after_fork
from ..refresh.flight import asked_by, attended
from .custom import is_async
from .quote import quote, redact

#: How long a command may take to print a code: long enough to touch a hardware key.
CODE_TIMEOUT = timedelta(seconds=30)

#: A device shows a code for this long. [RFC 6238, 5.2]
STEP_SECONDS = 30.0

_SIX = "a code is the six digits that the device shows"
_SIX_DIGITS = re.compile(r"[0-9]{6}")


@runtime_checkable
class CodeSource(Protocol):
    """Whatever gives the codes of one MFA device."""

    @property
    def interactive(self) -> bool:
        """Whether a person at this process's terminal is asked."""
        ...

    def code(self) -> str:
        """Return six digits that no STS call has used.

        Raises:
            MFARequired: there are none.
        """
        ...


Provider = str | Callable[[], str] | Sequence[str] | CodeSource | None


def code_source(
    provider: Provider,
    serial: str,
    *,
    timeout: timedelta = CODE_TIMEOUT,
    clock: Clock = SYSTEM_CLOCK,
) -> CodeSource:
    """Return what *provider* stands for; keep it, for it knows which code was used last.

    Args:
        provider: A code; a callable that returns one; the argv (a list or tuple) of a command
            that prints one; None: the terminal; or a `CodeSource`, returned as it is.
        serial: The device, for prompts and messages.
        timeout: For a command. A callable and a person take the time they take.

    Raises:
        TypeError: *provider* is something else.
        ValueError: it is a code that is not six digits, or a command without a word.
    """
    if provider is None:
        return PromptedCode(serial, clock=clock)
    if isinstance(provider, CodeSource):
        return provider
    if isinstance(provider, str):
        return StaticCode(provider, serial)
    if callable(provider):
        return CalledCode(provider, serial, clock=clock)
    if isinstance(provider, (list, tuple)):
        return CommandCode(provider, serial, timeout=timeout, clock=clock)
    raise TypeError(
        "mfa_token_provider must be a callable, an argv list, six digits or None, got "
        f"{type(provider).__name__}"
    )


def token_code(provider: Provider, serial: str, *, timeout: timedelta = CODE_TIMEOUT) -> str:
    """Return one MFA code of device *serial* from *provider*, checked to be six digits.

    For a single code. Where more will be asked for, keep a `code_source`.

    Raises:
        MFARequired: no code can be had; the message does not show what was got instead.
    """
    return code_source(provider, serial, timeout=timeout).code()


class StaticCode:
    """One code, for one call: the device's next code will be another."""

    __slots__ = ("__weakref__", "_left", "_serial")

    interactive = False

    def __init__(self, code: str, serial: str) -> None:
        problem = _problem(code)
        if problem:
            raise ValueError(f"TokenCode must be six digits, {problem}")
        self._left = [code.strip()]
        self._serial = serial

    def __repr__(self) -> str:
        return f"StaticCode({self._serial}, {'unused' if self._left else 'used'})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an MFA code does not pickle")

    @property
    def used(self) -> bool:
        """Whether the code has been handed out."""
        return not self._left

    def code(self) -> str:
        """Return the code the first time; afterwards raise `MFARequired`."""
        if self._left:
            with contextlib.suppress(IndexError):
                return self._left.pop()  # atomic: two threads never get the same code
        raise _refusal(self._serial, "the given TokenCode has been used: it serves one call")


class GivenThenAsked:
    """A code that was given, and who to ask for those after it."""

    __slots__ = ("__weakref__", "_asked", "_given")

    def __init__(self, given: StaticCode, asked: CodeSource) -> None:
        self._given = given
        self._asked = asked

    def __repr__(self) -> str:
        return f"GivenThenAsked({self._given!r}, {self._asked!r})"

    @property
    def interactive(self) -> bool:
        """Whether the next code is asked of a person at the terminal."""
        return self._given.used and self._asked.interactive

    def code(self) -> str:
        """Return the given code the first time, then what is asked for."""
        return self._asked.code() if self._given.used else self._given.code()


class CalledCode:
    """Ask a callable for each code; it takes no arguments.

    What it returns may have to be awaited, where an event loop's task waits for the code.
    """

    __slots__ = ("__weakref__", "_ask", "_checker", "_serial")

    interactive = False

    def __init__(self, ask: Callable[[], str], serial: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        if is_async_generator(ask):
            raise TypeError("mfa_token_provider is an asynchronous generator: return one code")
        if is_async(ask):
            raise TypeError(
                "mfa_token_provider is a coroutine function, which nothing here awaits: give a "
                "plain function, or use rolecall.aio"
            )
        self._ask = ask
        self._serial = serial
        self._checker = _Checker(serial, "the callable", clock)

    def __repr__(self) -> str:
        name = getattr(self._ask, "__qualname__", None) or type(self._ask).__qualname__
        return f"CalledCode({self._serial}, {name})"

    def code(self) -> str:
        """Return what the callable gives, checked."""
        return self._checker.asked(self._called)

    def _called(self) -> object:
        answer: object = self._ask()
        askers = asked_by.get()
        if not inspect.isawaitable(answer) or askers is None or not askers.loops:
            return answer
        from .coroutine import finished  # asyncio, which a program may do without

        return finished(answer)


def is_async_generator(function: object) -> bool:
    """Return whether calling *function* would give an async generator."""
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(type(function), "__call__", None)  # noqa: B004 - asked for itself
    return inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(call)


class CommandCode:
    """Run a command for each code: its standard output is the six digits.

    No shell is involved, and standard input is closed. What the command was given and what it
    printed are never shown, but for a line of standard error that holds neither.
    """

    __slots__ = ("__weakref__", "_argv", "_checker", "_environ", "_serial", "_timeout", "_who")

    interactive = False

    def __init__(
        self,
        argv: Sequence[str],
        serial: str,
        *,
        timeout: timedelta = CODE_TIMEOUT,
        environ: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        words: Sequence[object] = argv
        if isinstance(argv, str) or not all(isinstance(word, str) for word in words):
            kinds = ", ".join(sorted({type(word).__name__ for word in words}))
            raise TypeError(f"a command is a list of str, got {type(argv).__name__} of {kinds}")
        if not argv or not argv[0]:
            raise ValueError("a command needs a program to run, got none")
        self._argv = tuple(argv)
        self._serial = serial
        self._timeout = timeout.total_seconds()
        self._environ = environ
        self._who = f"the command {argv[0]}"
        self._checker = _Checker(serial, self._who, clock)

    def __repr__(self) -> str:
        return f"CommandCode({self._serial}, {self._argv[0]})"

    def code(self) -> str:
        """Return what the command prints, if it ends in time."""
        # Raised outside the handlers: subprocess's exceptions hold the argv and the output.
        problem = ""
        try:
            with _asked(self._serial):  # which may wait for somebody to touch a key
                done = subprocess.run(
                    self._argv,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=self._timeout,
                    env=self._environ,
                    check=False,
                )
        except subprocess.TimeoutExpired:
            problem = f"gave no code within {self._timeout:g} s"
        except (OSError, ValueError) as error:
            problem = f"could not be run: {getattr(error, 'strerror', None) or 'a bad argument'}"
        if not problem and done.returncode != 0:
            problem = f"ended with status {done.returncode}{self._complaint(done.stderr)}"
        if problem:
            hint = "check the command, by running it in a shell"
            raise _refusal(self._serial, f"{self._who} {problem}", hint=hint)
        return self._checker.checked(done.stdout.decode("utf-8", "replace"))

    def _complaint(self, stderr: bytes) -> str:
        """Return the last line of *stderr*, if it shows no code and nothing of the argv."""
        text = stderr.decode("utf-8", "replace").strip()
        told = any(len(word) >= 6 and word in text for word in self._argv[1:])
        if not text or told or redact(text) != text or re.search("[0-9]{6}", text):
            return ""
        return f": {text.splitlines()[-1][:200]}"


class PromptedCode:
    """Ask the person at the terminal; what is typed is not echoed.

    Only in the main thread, or on behalf of an event loop's task that waits for it: any other
    prompt would mix with what the program itself says and asks.

    Args:
        ask: Shows a prompt and returns what is typed.
        terminal: Whether somebody is there to ask.
    """

    __slots__ = ("__weakref__", "_ask", "_checker", "_serial", "_terminal")

    interactive = True

    def __init__(
        self,
        serial: str,
        *,
        ask: Callable[[str], str] = getpass.getpass,
        terminal: Callable[[], bool] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._serial = serial
        self._ask = ask
        self._terminal = terminal or has_terminal
        self._checker = _Checker(serial, "the prompt", clock)

    def __repr__(self) -> str:
        return f"PromptedCode({self._serial})"

    def code(self) -> str:
        """Return what is typed, checked."""
        beside = threading.current_thread() is not threading.main_thread()
        if beside and not attended.get():
            raise _refusal(self._serial, "no terminal: only the main thread may show a prompt")
        if not self._terminal():
            raise _refusal(self._serial, "no terminal to ask at")
        echo = _echo_at_exit() if beside else contextlib.nullcontext()
        with _one_prompt, echo, _asked(self._serial):
            return self._checker.asked(self._prompt)

    def _prompt(self) -> str:
        return self._ask(f"MFA code for {self._serial}: ")


#: Several threads' prompts would take each other's answers.
_one_prompt = ForkSafeLock()

#: Whose codes are being asked for.
_asking: list[str] = []


@contextlib.contextmanager
def _asked(serial: str) -> Iterator[None]:
    _asking.append(serial)
    try:
        yield
    finally:
        _asking.remove(serial)


def is_asking() -> bool:
    """Return whether somebody, or some command, is being asked for a code."""
    return bool(_asking)


@contextlib.contextmanager
def _echo_at_exit() -> Iterator[None]:
    """Have the terminal echo again if the program ends while a thread prompts."""
    try:
        import termios  # no Windows

        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except (ImportError, OSError):
        yield
        return
    before = termios.tcgetattr(terminal)

    def restore() -> None:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    atexit.register(restore)
    try:
        yield
    finally:
        atexit.unregister(restore)
        os.close(terminal)


def has_terminal() -> bool:
    """Return whether this process has a terminal to ask at, whatever its stdin is."""
    if sys.platform == "win32":
        return sys.stdin is not None and sys.stdin.isatty()
    with contextlib.suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    return False


class _Checker:
    """Let six digits pass, but not the same ones while the device still shows them.

    STS refuses a used code with a bare AccessDenied. Of the last code only a salted hash is kept.
    """

    __slots__ = ("__weakref__", "_clock", "_last", "_lock", "_salt", "_serial", "_who")

    def __init__(self, serial: str, who: str, clock: Clock) -> None:
        self._serial = serial
        self._who = who
        self._clock = clock
        self._salt = secrets.token_bytes(16)
        self._lock = threading.Lock()  # guards _last
        self._last: tuple[bytes, float] | None = None
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's lock; a code it used is used here as well."""
        self._lock = threading.Lock()

    def asked(self, ask: Callable[[], object]) -> str:
        """Return what *ask* gives, checked; turn what it raises into `MFARequired`."""
        problem: MFARequired | None = None
        cause: Exception | None = None
        answer: object = None
        try:
            answer = ask()
        except RolecallError:
            raise
        except EOFError:
            problem = _refusal(self._serial, f"{self._who} gave no code", hint=_SIX)
        except Exception as error:  # user code: whatever it raises, its caller gets one of ours
            said = quote(error, codes=True)
            problem = _refusal(self._serial, f"{self._who} raised {said.text}")
            cause = error if said.clean else None
        if problem is not None:
            # Out here, so that an exception that holds a code is no context of ours either.
            raise problem from cause
        if inspect.iscoroutine(answer):
            answer.close()  # or Python warns that it was never awaited
        return self.checked(answer)

    def checked(self, code: object) -> str:
        """Return *code* as six digits that were not given in the last 30 s."""
        problem = _problem(code)
        if problem:
            raise _refusal(self._serial, f"{self._who} must give six digits, {problem}", hint=_SIX)
        digits = str(code).strip()
        seen = hashlib.blake2b(digits.encode("ascii"), key=self._salt).digest()
        now = self._clock.boottime()
        with self._lock:
            last = self._last
            again = last is not None and last[0] == seen and now - last[1] < STEP_SECONDS
            if not again:
                self._last = (seen, now)
        if again:
            raise _refusal(
                self._serial,
                f"{self._who} gave the same code as last time",
                hint="a code serves one call: wait for the next one, 30 s at most",
                retryable=True,
            )
        return digits


def _problem(code: object) -> str:
    """Return what is wrong with *code*, without showing it; empty if it is six digits."""
    if isinstance(code, int) and not isinstance(code, bool):
        return "got int, which loses leading zeros: give a str"
    if not isinstance(code, str):
        return f"got {type(code).__name__}"
    stripped = code.strip()
    if _SIX_DIGITS.fullmatch(stripped):
        return ""
    others = " that are not all digits 0-9" if len(stripped) == 6 else ""
    return f"got {len(stripped)} characters{others}"


def _refusal(serial: str, what: str, *, hint: str = "", retryable: bool = False) -> MFARequired:
    return MFARequired(
        f"{serial}: {what}", hint=hint, context={"serial": serial}, retryable=retryable
    )
