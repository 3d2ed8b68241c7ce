"""Run by path, in the process that becomes the child: make it what it would be without us.

``python -I -S launch.py PARENT CORE MASK IGNORED LOCALE PROGRAM…`` turns into PROGRAM. A
process of its own, since code between fork and exec in a process with threads may hang for ever.
It imports what Python has loaded by itself, and `ctypes` where there is prctl.
"""

import errno
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOT_EXECUTABLE = 126
NOT_FOUND = 127

#: [Linux, prctl(2)]
PR_SET_PDEATHSIG = 1


def main(words: "list[str]") -> int:
    """Become the program; return the exit code of the failure to do so."""
    parent, core, mask, ignored, locale, *program = words
    # Python has made something else of a C locale.
    os.environ.pop("LC_CTYPE", None)  # noqa: TID251 - border
    if locale:
        os.environ["LC_CTYPE"] = locale[1:]  # noqa: TID251 - border
    undo_pythons_signals()
    for number in (signal.SIGTTOU, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    for word in filter(None, ignored.split(",")):
        signal.signal(int(word), signal.SIG_IGN)
    _die_with(int(parent))
    if core:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (int(core), hard))
    signal.pthread_sigmask(signal.SIG_SETMASK, [int(word) for word in mask.split(",") if word])
    return become(program, os.environ)  # noqa: TID251 - border


def undo_pythons_signals() -> None:
    """Give the signals that Python ignores for itself their usual meaning."""
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def become(program: "Sequence[str]", environ: "Mapping[str, str]") -> int:
    """Become *program* with *environ*; return the exit code of the failure to do so."""
    trouble: OSError | ValueError | None = None
    for path in _candidates(program[0], environ):
        try:
            try:
                os.execve(path, list(program), environ)
            except OSError as error:
                if error.errno != errno.ENOEXEC:
                    raise
                # A script that does not say what runs it: the shell does, as for execvp(3).
                os.execve("/bin/sh", ["sh", path, *program[1:]], environ)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            trouble = trouble or error
    if trouble is None:
        _say(f"{program[0]}: not found")
        return NOT_FOUND
    reason = getattr(trouble, "strerror", None) or "not a program's name"
    _say(f"{program[0]}: cannot be run: {reason}")
    return NOT_EXECUTABLE


def _candidates(name: str, environ: "Mapping[str, str]") -> "list[str]":
    """Return the files that *name* may stand for: on the PATH unless it has a slash."""
    if "/" in name:
        return [name]
    if not name:
        return []
    # Not os.execvpe, which goes on with the next folder after a script of that kind.
    return [os.path.join(folder, name) for folder in os.get_exec_path(dict(environ))]


def _say(words: str) -> None:
    if sys.stderr is not None:  # it may be closed
        sys.stderr.write(f"rolecall: {words}\n")


def _die_with(parent: int) -> None:
    """Have the system end this process when its parent is killed, where it can."""
    if sys.platform != "linux":
        return
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != parent:  # it was killed a moment ago
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
