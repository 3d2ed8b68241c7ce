"""Running one child in the foreground, so that the shell cannot tell it from the program itself.

The child stays in this process's group, which is the shell's job: what the terminal sends (an
interrupt, a quit, a stop, a hang-up, a new size) reaches both, in a pipeline too. What somebody
sends to this process alone is passed on. When the child stops, this process stops with it; when it
ends, this one ends with its exit code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")

#: Passed on to the child, where the system has them.
_NAMES = ("INT", "QUIT", "TERM", "HUP", "USR1", "USR2", "WINCH", "CONT", "TSTP", "ALRM")
_PASSED_ON = tuple(
    getattr(signal, f"SIG{name}") for name in _NAMES if hasattr(signal, f"SIG{name}")
)
#: What a terminal sends to the whole job.
_TERMINALS = frozenset(
    getattr(signal, f"SIG{name}", None) for name in ("INT", "QUIT", "HUP", "WINCH", "TSTP")
)

#: What ends a process that does not care for it.
_ENDING = frozenset(getattr(signal, f"SIG{name}", None) for name in ("INT", "QUIT", "TERM", "HUP"))

#: ``si_code`` of a signal that somebody sent; the kernel's own are larger. [Linux, sigaction(2)]
_MOST_OF_USERS = 0


@contextmanager
def signals_kept() -> Iterator[None]:
    """Keep signals from all threads that are started inside ``with``, for `run` to take."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _kept())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kept() -> set[signal.Signals]:
    # What was ignored when we were started, as by nohup, stays so for the child.
    kept = {one for one in _PASSED_ON if signal.getsignal(one) is not signal.SIG_IGN}
    return kept | {signal.SIGCHLD}


def run(program: Sequence[str], environ: Mapping[str, str], *, core: int | None = None) -> int:
    """Run *program* with *environ* until it ends; return its exit code, 128 + n for signal n.

    126: it cannot be run; 127: it is not there. To be called inside `signals_kept`, in the main
    thread.

    Args:
        core: Its limit for core dumps, from `without_core_dumps`. None: that of this process.
    """
    if not hasattr(signal, "pthread_sigmask"):
        return _run_plainly(program, environ)
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or nobody would tell us that it has ended
    early = _came_early()
    if early is not None:
        return 128 + early
    child = subprocess.Popen(
        _launched(program, environ, core), env=dict(environ), pass_fds=_inherited()
    )
    try:
        if hasattr(signal, "sigwaitinfo"):
            return _until_ended(child)
        return _until_ended_with_handlers(child)
    except BaseException:
        child.kill()
        child.wait()
        raise


def _came_early() -> int | None:
    """Return the signal that ended this process before it had a child; stop if one says so."""
    for number in signal.sigpending() & _kept():
        if number in _ENDING:
            return int(number)
        if number is signal.SIGTSTP:
            signal.sigwait({signal.SIGTSTP})
            os.kill(os.getpid(), signal.SIGSTOP)
    return None


def _inherited() -> list[int]:
    """Return what was opened for the child by whoever started us, such as ``<(…)`` of a shell.

    Python's own are not inheritable. Not close_fds=False, with which Python starts the child by
    posix_spawn, and glibc then leaves two signals ignored in it.
    """
    found = []
    for name in os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"):
        with contextlib.suppress(OSError, ValueError):
            if os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def _launched(program: Sequence[str], environ: Mapping[str, str], core: int | None) -> list[str]:
    ignored = [one for one in _PASSED_ON if signal.getsignal(one) is signal.SIG_IGN]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ()) - _kept()
    return [
        sys.executable,
        "-I",
        "-S",
        str(LAUNCH),
        str(os.getpid()),
        "" if core is None else str(core),
        ",".join(str(int(one)) for one in mask),
        ",".join(str(int(one)) for one in ignored),
        f"={environ['LC_CTYPE']}" if "LC_CTYPE" in environ else "",
        *program,
    ]


def _until_ended(child: subprocess.Popen[bytes]) -> int:
    kept = _kept()
    while True:
        ended = _look(child)
        if ended is not None:
            return ended
        info = signal.sigwaitinfo(kept)
        number = signal.Signals(info.si_signo)
        if number is signal.SIGCHLD:
            continue
        leader = number is signal.SIGHUP and os.getsid(0) == os.getpid()
        if info.si_code > _MOST_OF_USERS and number in _TERMINALS and not leader:
            continue  # the terminal's, which the child has as well
        _pass_on(child, number)


def _until_ended_with_handlers(child: subprocess.Popen[bytes]) -> int:
    """The same where a signal does not say who sent it (macOS)."""
    passed_on = _kept() - {signal.SIGCHLD}

    def forward(number: int, _: object) -> None:
        if number in _TERMINALS and _in_foreground():
            return  # most likely the terminal's
        _pass_on(child, signal.Signals(number))

    before = {one: signal.signal(one, forward) for one in passed_on}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
    try:
        while True:
            ended = _look(child, wait=True)
            if ended is not None:
                return ended
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _look(child: subprocess.Popen[bytes], *, wait: bool = False) -> int | None:
    """Return the child's exit code if it has ended; stop as it has, if it has stopped."""
    while True:
        pid, status = os.waitpid(child.pid, os.WUNTRACED | (0 if wait else os.WNOHANG))
        if pid == 0:
            return None
        if not os.WIFSTOPPED(status):
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode if child.returncode >= 0 else 128 - child.returncode
        with _terminal_given_back(child):
            # The shell sees a job stop when all of it has. Whoever continues it continues both;
            # and it is passed on, as other signals are.
            os.kill(os.getpid(), signal.SIGSTOP)


@contextmanager
def _terminal_given_back(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let *child* have the terminal afterwards if it has it now, as a shell in a shell has."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        yield
        return
    try:
        group = os.getpgid(child.pid)
        its = group != os.getpgrp() and os.tcgetpgrp(terminal) == group
        yield
        if its and os.tcgetpgrp(terminal) == os.getpgrp():
            before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            try:
                os.tcsetpgrp(terminal, group)
            finally:
                signal.signal(signal.SIGTTOU, before)
    finally:
        os.close(terminal)


def _pass_on(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # Not `send_signal`, which looks whether the child has ended: that is for us to see.
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, number)


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _run_plainly(program: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run *program* where there are no such signals (Windows): the console tells both of Ctrl-C."""
    try:
        child = subprocess.Popen(list(program), env=dict(environ), close_fds=False)
    except FileNotFoundError:
        print(f"rolecall: {program[0]}: not found", file=sys.stderr)
        return 127
    except OSError as error:
        print(f"rolecall: {program[0]}: cannot be run: {error.strerror}", file=sys.stderr)
        return 126
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return child.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def as_given(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ*, this process's, without what Python has changed in it.

    In a C locale it sets LC_CTYPE, which a child would take for its user's wish. [PEP 538]
    """
    found = dict(environ)
    try:
        given = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return found  # elsewhere it cannot be told
    found.pop("LC_CTYPE", None)
    for variable in given:
        name, _, value = variable.partition(b"=")
        if name == b"LC_CTYPE":
            found["LC_CTYPE"] = os.fsdecode(value)
    return found


def without_core_dumps() -> int | None:
    """Have no file written of this process's memory, which has keys in it, should it crash.

    Return the limit that was, for a child. None: there are no limits here.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    return soft
