"""One child in the foreground: its exit code, its signals, and what it is left with."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import A_JOB, COUNTER, PARENT, SAME_CODE

SECONDS = 30


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**SAME_CODE, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}


@contextmanager
def parent_of(
    *program: str, environ: Mapping[str, str], **keywords: Any
) -> Iterator[subprocess.Popen[str]]:
    """Give a process that runs *program* as its child, as a job of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", A_JOB + PARENT, *program],
        env=dict(environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **keywords,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ended(*program: str, environ: Mapping[str, str], **keywords: Any) -> tuple[int, str, str]:
    """Run *program* as a child of `PARENT`; return what came of it."""
    with parent_of(*program, environ=environ, **keywords) as process:
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err


def line_of(process: subprocess.Popen[str]) -> list[str]:
    """Return the words of the next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().split()


@contextmanager
def counting(
    *names: str, environ: Mapping[str, str], **keywords: Any
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Give a process and the process id of its child, a `COUNTER` of *names* that is ready."""
    program = [sys.executable, "-c", COUNTER, *names, "USR2"]
    with parent_of(*program, environ=environ, **keywords) as process:
        ready, pid, _ = line_of(process)
        assert ready == "ready"
        yield process, int(pid)


def rest_of(process: subprocess.Popen[str]) -> list[str]:
    """End a `COUNTER`; return the signals it has had since."""
    process.send_signal(signal.SIGUSR2)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")
    return [line.split()[0] for line in out.splitlines()]


def test_the_exit_code_is_the_childs(environ: Mapping[str, str], tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program\n")
    programs = {
        ("true",): 0,
        ("sh", "-c", "exit 7"): 7,
        ("sh", "-c", "exit 255"): 255,
        ("sh", "-c", "kill -TERM $$"): 128 + signal.SIGTERM,
        ("sh", "-c", "kill -KILL $$"): 128 + signal.SIGKILL,
        ("sh", "-c", "kill -PIPE $$"): 128 + signal.SIGPIPE,
        ("no-such-program",): 127,
        ("/no/such/program",): 127,
        (str(plain),): 126,
        (str(tmp_path),): 126,
    }
    for program, code in programs.items():
        found, out, err = ended(*program, environ=environ)
        assert (found, out) == (code, ""), program
        # One line, which is ours, where nothing ran; else nothing.
        assert len(err.splitlines()) == (code in (126, 127)), program
        assert all(line.startswith(f"rolecall: {program[0]}: ") for line in err.splitlines())


@pytest.mark.parametrize("locale", [{}, {"LANG": "C"}, {"LC_ALL": "C"}, {"LC_CTYPE": "C"}])
def test_a_child_is_left_with_what_it_would_have_without_us(
    environ: dict[str, str], locale: Mapping[str, str]
) -> None:
    """Its signal mask, dispositions, open files, core limit and environment."""
    environ |= locale
    # Python's own start-up ignores SIGPIPE and adds LC_CTYPE, so that a shell looks first.
    program = ["sh", "-c", "env; grep ^Sig[PBIC] /proc/self/status; ls /proc/self/fd; ulimit -c"]

    def seen(words: list[str]) -> list[str]:
        with open(os.devnull) as opened:
            done = subprocess.run(
                words, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=SECONDS, pass_fds=[opened.fileno()],
            )  # fmt: skip
        # The shell's own: the last program it ran, how deep it is nested.
        return [line for line in done.stdout.splitlines() if not line.startswith(("_=", "SHLVL="))]

    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (min(4096, hard) if hard >= 0 else 4096, hard))
    try:
        with_us = seen([sys.executable, "-c", PARENT, *program])
        without = seen(program)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))

    assert without == with_us


def test_while_its_parent_writes_no_core(environ: Mapping[str, str]) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    some = 4096 if hard < 0 else min(4096, hard)

    def allow() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (some, hard))

    with counting("USR1", environ=environ, preexec_fn=allow) as (process, _):
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert rest_of(process) == ["SIGUSR2"]

    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4] == "0"


PASSED_ON = ["INT", "QUIT", "TERM", "HUP", "USR1", "WINCH", "CONT", "TSTP", "ALRM"]


def test_what_is_sent_to_the_parent_alone_reaches_the_child_once(
    environ: Mapping[str, str],
) -> None:
    # Of a session of its own: there is no terminal that might send any.
    with counting(*PASSED_ON, environ=environ, start_new_session=True) as (process, _):
        for _ in range(2):
            for name in PASSED_ON:
                process.send_signal(getattr(signal, f"SIG{name}"))
                # From the parent, and nobody else; the next line is the next signal's.
                assert line_of(process) == [f"SIG{name}", str(process.pid)]
        assert process.poll() is None
        assert rest_of(process) == ["SIGUSR2"]


def test_a_child_that_a_passed_on_signal_ends_gives_its_number(environ: Mapping[str, str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        with parent_of("sh", "-c", "echo ready; exec cat", environ=environ) as process:
            assert line_of(process) == ["ready"]
            process.send_signal(number)
            # Its input stays open: a `cat` that ends for that has not had the signal.
            assert process.wait(SECONDS) == 128 + number
            assert process.stderr is not None
            assert process.stderr.read() == ""


def test_signals_that_were_ignored_stay_so(environ: Mapping[str, str]) -> None:
    """As by ``nohup``, or INT and QUIT in a script's background."""
    ignored = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)

    def ignore() -> None:
        for one in ignored:
            signal.signal(one, signal.SIG_IGN)

    words = ["grep", "^SigIgn", "/proc/self/status"]
    found = ended(*words, environ=environ, preexec_fn=ignore)

    # Whoever started these tests may have had others ignored.
    plain = subprocess.run(words, capture_output=True, text=True, preexec_fn=ignore, check=True)
    assert found == (0, plain.stdout, "")
    mask = int(found[1].split()[1], 16)
    assert all(mask & 1 << (one - 1) for one in ignored)


def test_a_child_is_waited_for_where_nobody_waits_for_children(environ: Mapping[str, str]) -> None:
    """Some supervisors start programs with SIGCHLD ignored."""
    found = ended(
        "sh", "-c", "exit 7", environ=environ,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )  # fmt: skip

    assert found == (7, "", "")


def test_blocked_signals_stay_blocked(environ: Mapping[str, str]) -> None:
    """Those that are not passed on; a mask is inherited. [POSIX, exec]"""
    found = ended(
        "grep", "^SigBlk", "/proc/self/status", environ=environ,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN}),
    )  # fmt: skip

    assert int(found[1].split()[1], 16) == 1 << (signal.SIGTTIN - 1)


def test_a_child_ends_with_a_parent_that_is_killed(environ: Mapping[str, str]) -> None:
    with parent_of("sh", "-c", "echo ready; exec cat", environ=environ) as process:
        assert line_of(process) == ["ready"]
        process.kill()
        # The child has the other end: it is closed when that has ended, though we write nothing.
        out, err = process.communicate(timeout=SECONDS)
        assert (out, err) == ("", "")


def stopped(pid: int) -> bool:
    """Wait until a child of ours stops; False if it has ended."""
    return os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])


def test_a_parent_stops_with_its_child_and_goes_on_with_it(environ: Mapping[str, str]) -> None:
    with parent_of("sh", "-c", "echo ready; exec cat", environ=environ) as process:
        assert line_of(process) == ["ready"]
        assert process.stdin is not None
        for _ in range(2):
            process.send_signal(signal.SIGTSTP)
            assert stopped(process.pid)
            process.send_signal(signal.SIGCONT)
            process.stdin.write("on\n")
            process.stdin.flush()
            assert line_of(process) == ["on"]
        process.stdin.close()
        assert process.wait(SECONDS) == 0


def test_a_signal_sent_while_both_are_stopped_reaches_the_child_afterwards(
    environ: Mapping[str, str],
) -> None:
    with parent_of("sh", "-c", "echo ready; exec cat", environ=environ) as process:
        assert line_of(process) == ["ready"]
        process.send_signal(signal.SIGTSTP)
        assert stopped(process.pid)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        assert process.wait(SECONDS) == 128 + signal.SIGTERM


def test_input_and_output_are_the_childs(environ: Mapping[str, str]) -> None:
    ours = shlex.join([sys.executable, "-c", PARENT])
    script = f"echo x | {ours} cat; {ours} yes | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], env=dict(environ), capture_output=True, text=True, timeout=SECONDS
    )
    # `yes` is ended by SIGPIPE, as it would be without us, and says nothing.
    assert (done.stdout.split(), done.stderr) == (["x", "y", str(128 + signal.SIGPIPE)], "")


def test_a_script_that_does_not_say_what_runs_it_is_the_shells(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """As for any shell and for execvp(3): by its path, from here, and on the PATH. [POSIX, exec]"""
    script = tmp_path / "bin" / "plain"
    script.parent.mkdir()
    script.write_text('echo "$0: $# words, $2"; exit 7\n')
    script.chmod(0o755)
    environ["PATH"] = f"{script.parent}:/usr/bin:/bin"

    for name in ("plain", "bin/plain", str(script)):
        code, out, err = ended(name, "a b", "-c", environ=environ, cwd=tmp_path)

        path = str(script) if name == "plain" else name
        assert (code, out, err) == (7, f"{path}: 2 words, -c\n", ""), name


def test_the_first_program_of_the_path_runs_though_it_does_not_say_what_runs_it(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Before others of its name; what is not executable is passed over. [execvp(3)]"""
    for name, text, mode in (
        ("one", "exit 1\n", 0o644),
        ("two", "exit 7\n", 0o755),
        ("three", "#!/bin/sh\nexit 3\n", 0o755),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text(text)
        (tmp_path / name / "tool").chmod(mode)

    for path in ("two:three", "one:two", "one:two:three", "none:two"):
        places = [str(tmp_path / name) for name in path.split(":")]
        environ["PATH"] = os.pathsep.join([*places, "/usr/bin", "/bin"])
        assert ended("tool", environ=environ) == (7, "", ""), path
