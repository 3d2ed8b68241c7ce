"""The ``rolecall`` command.

`credential-process` may be called before each request of another tool, so its usual case is done
before anything is imported that Python has not loaded by itself (`rolecall.cli.warm`); it needs no
extra. All other commands are click's.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: Libraries of the extra ``cli``.
_EXTRA = ("click", "rich", "starlette", "uvicorn")


def main(words: "Sequence[str] | None" = None) -> "int | None":
    """Run the command line; return the exit code, None for 0.

    Args:
        words: The words after the program's name. None: those of this process.
    """
    words = sys.argv[1:] if words is None else list(words)
    if words[:1] == ["credential-process"]:
        from . import warm

        if warm.answered(words[1:]):
            return None
        from .credential_process import main as cold

        return cold(words[1:])
    try:
        from .commands import main as run
    except ModuleNotFoundError as missing:
        if missing.name not in _EXTRA:
            raise
        sys.stderr.write("rolecall: its command line is an extra: pipx install 'rolecall[cli]'\n")
        return 2
    return run(words)
