"""Run by path, in the process that becomes the child: make it what it would be without us.

``python -I -S launch.py PARENT CORE MASK IGNORED KEEP_LC_CTYPE PROGRAM…`` turns into PROGRAM. A
process of its own, since code between fork and exec in a process with threads may hang for ever.
It imports what Python has loaded by itself, and `ctypes` where there is prctl.
"""

import os
import signal
import sys

NOT_EXECUTABLE = 126
NOT_FOUND = 127

#: [Linux, prctl(2)]
PR_SET_PDEATHSIG = 1


def main(words: "list[str]") -> int:
    """Become the program; return the exit code of the failure to do so."""
    parent, core, mask, ignored, keep_locale, *program = words
    if keep_locale == "0":
        os.environ.pop("LC_CTYPE", None)  # noqa: TID251 - Python's own coercion of the C locale
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTOU, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    for word in filter(None, ignored.split(",")):
        signal.signal(int(word), signal.SIG_IGN)
    _die_with(int(parent))
    if core:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (int(core), hard))
    signal.pthread_sigmask(signal.SIG_SETMASK, [int(word) for word in mask.split(",") if word])
    try:
        os.execvp(program[0], program)
    except (FileNotFoundError, NotADirectoryError):
        sys.stderr.write(f"rolecall: {program[0]}: not found\n")
        return NOT_FOUND
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a program's name"
        sys.stderr.write(f"rolecall: {program[0]}: cannot be run: {reason}\n")
        return NOT_EXECUTABLE


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
