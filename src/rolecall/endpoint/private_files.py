"""Files of this user alone that live as long as one process: tokens, configuration for a child."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..clock import SYSTEM_CLOCK
from ..errors import ConfigError
from ..stores import private
from ..stores.locks import caches, digest, xdg_directory


def _prefix() -> str:
    """Return how the names of this machine's directories begin.

    A home directory may be shared by machines, or by containers with process ids of their own.
    """
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return f"run-{digest(f'{platform.node()} {space}')[:8]}-"


def runtime_directory(environ: Mapping[str, str]) -> Path:
    """Return where rolecall keeps what a running process needs."""
    runtime = xdg_directory(environ, "XDG_RUNTIME_DIR")
    if runtime is not None and private.owned(runtime):
        return runtime / "rolecall"
    return caches(environ) / "run"


def make_private_directory(environ: Mapping[str, str], *, kept_for: int = 0) -> Path:
    """Make a directory of mode 0700 that belongs to this process, and return it.

    Those of processes that are gone are deleted: a process that was killed, or that became
    another program, could not do so itself.

    Args:
        kept_for: Seconds that it must live on when this process is gone.

    Raises:
        ConfigError: it cannot be made.
    """
    base = runtime_directory(environ)
    try:
        private.make_directory(base, exclusive=True)
        _sweep(base)
        return Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-{kept_for}-", dir=base))
    except OSError as error:
        raise ConfigError(
            f"no private directory can be made in {base}: {error.strerror or error}",
            hint="let XDG_RUNTIME_DIR or XDG_CACHE_HOME name a directory of your own",
        ) from error


@contextmanager
def private_directory(environ: Mapping[str, str]) -> Iterator[Path]:
    """Give a directory of mode 0700, deleted at the end with all that is in it."""
    path = make_private_directory(environ)
    owner = os.getpid()
    try:
        yield path
    finally:
        if os.getpid() == owner:  # not a forked child, which leaves the same ``with``
            shutil.rmtree(path, ignore_errors=True)


def _sweep(base: Path) -> None:
    prefix = _prefix()
    now = SYSTEM_CLOCK.time()
    for one in base.glob(f"{prefix}*-*-*"):
        pid, kept_for, _ = one.name.removeprefix(prefix).split("-", 2)
        if not all(part.isascii() and part.isdigit() for part in (pid, kept_for)):
            continue
        if _runs(int(pid)):
            continue
        with contextlib.suppress(OSError):
            if one.stat().st_mtime + int(kept_for) <= now:
                shutil.rmtree(one, ignore_errors=True)


def _runs(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # somebody else's
    return True


def write(path: Path, text: str) -> None:
    """Let the new file *path*, mode 0600, hold *text*."""
    private.replace(path, text.encode("utf-8", "surrogateescape"))


def write_variables(path: Path, variables: Mapping[str, str]) -> None:
    """Keep *variables*, some of which are secret, in the file *path*."""
    write(path, json.dumps(dict(variables)))


def read_variables(path: str) -> dict[str, str]:
    """Return what `write_variables` kept.

    Raises:
        ConfigError: the file is gone, or is not of this user alone.
    """
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(private.read(Path(path)))
        if isinstance(found, dict):
            return {str(name): str(value) for name, value in found.items()}
    raise ConfigError(
        f"{path} cannot be read: the `rolecall exec` that wrote it has ended",
        hint="start the program again, with rolecall exec",
    )
