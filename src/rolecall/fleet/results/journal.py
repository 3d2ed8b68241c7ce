"""What a run has done, on disk: a run that was killed goes on where it stopped."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, StoreError
from ...sources.quote import redact
from ...stores.complaints import log, reason
from ..targets import Target
from .outcomes import Outcome

if TYPE_CHECKING:
    from filelock import BaseFileLock

_MARK = "rolecall_journal"
_VERSION = 1
#: How the first line of every journal begins. Less than this, without a newline, was torn.
_BEGINNING = f'{{"{_MARK}": '.encode()
#: Nobody's job has a longer name; other people's files may have longer lines.
_LONGEST_HEADER = 64 * 1024
_LONGEST_JOB = 4096
#: The whole message is in the outcome; this is for whoever reads the journal.
_LONGEST_MESSAGE = 2000

_FLAGS = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # or a FIFO would hold us until somebody reads
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class Journal:
    """The outcomes of one job, a line of JSON each, and which targets need not run again.

    One run at a time has it: a lock file lies next to it, named like it with ``.lock`` at the end,
    which the system frees when its process dies, and which may be deleted when no run goes on.
    Each line is handed to the system whole, so killing the process loses none that was written; a
    power cut may lose the last ones, whose targets then run again. Values, tracebacks, tags and
    e-mail addresses are not in it.

    Threads may share it; a forked child may not write to it.
    """

    __slots__ = ("_done", "_file", "_guard", "_letting_go", "_pid", "_regions", "_torn", "path")

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path: Path = path
        self._file = file
        self._letting_go = ExitStack()
        self._pid = os.getpid()
        self._guard = threading.Lock()  # of what is written, _torn and _file's being open
        self._torn: int | None = None  # where half a line begins that could not be cut off
        self._done: set[bytes] = set()
        self._regions: dict[tuple[str, str | None], tuple[tuple[str, ...], datetime]] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, job: str) -> Journal:
        """Return the journal in the file *path*, made with mode 0600 if it is not there.

        A last line that was torn when its run was killed is mended, or cut off with a warning.

        Args:
            job: What is done, such as a function's name: the same in a run and in the one that
                goes on with it. No secret: it is in the first line. 1 to 4096 characters.

        Raises:
            ConfigError: it cannot be opened, another run has it, it is of another job, it is no
                journal, or a line of it is broken. The file is as it was.
            StoreError: it cannot be written.
        """
        if not isinstance(job, str):
            raise TypeError(f"job must be text, got {type(job).__name__}")
        if not 1 <= len(job) <= _LONGEST_JOB:
            raise ValueError(f"job must have 1 to {_LONGEST_JOB} characters, got {len(job)}")
        where = Path(path)
        # Before the lock, so that nothing is laid next to a file that is not ours.
        _look_at(where, job)
        try:
            with ExitStack() as letting_go:
                letting_go.callback(_locked(where).release)
                descriptor = _opened(where, os.O_RDWR | os.O_APPEND | os.O_CREAT)
                # A file object without a buffer: one that is forgotten is closed, and says so.
                file = letting_go.enter_context(FileIO(descriptor, "ab"))
                journal = cls(where, file)
                journal._read(job)
                journal._letting_go = letting_go.pop_all()
        except OSError as error:
            raise _unusable(where, reason(error)) from error
        return journal

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Journal {os.fspath(self.path)!r}: {self.done} done>"

    @property
    def done(self) -> int:
        """How many targets have succeeded."""
        return len(self._done)

    def is_done(self, target: Target) -> bool:
        """Return whether *target*, with this role, has ever succeeded."""
        return _key(target.account.id, target.region, target.role, target.details) in self._done

    def write(self, outcome: Outcome) -> None:
        """Add what one target gave.

        Raises:
            StoreError: it cannot be written; what was there is unharmed.
        """
        target, error = outcome.target, outcome.error
        self._append(
            {
                "account": target.account.id,
                "region": target.region,
                "role": target.role,
                **({"details": target.details} if target.details else {}),
                "ok": outcome.ok,
                "kind": None if error is None else error.kind,
                "code": None if error is None or error.code is None else redact(error.code),
                "message": None if error is None else redact(error.message)[:_LONGEST_MESSAGE],
                "started": outcome.started.isoformat(),
                "elapsed_seconds": outcome.elapsed.total_seconds(),
                "attempts": outcome.attempts,
            }
        )
        if outcome.ok:
            self._done.add(_key(target.account.id, target.region, target.role, target.details))

    def write_regions(
        self, account_id: str, role: str | None, regions: Iterable[str], *, at: datetime
    ) -> None:
        """Add which regions were found enabled in an account, and when.

        Raises:
            StoreError: it cannot be written; what was there is unharmed.
        """
        if isinstance(regions, str):
            raise TypeError("regions must be a list of names, got str")
        row = {
            "account": account_id,
            "role": role,
            "regions": list(regions),
            "at": at.isoformat(),
        }
        self._append(row)
        self._take(row)

    def regions_of(
        self, account_id: str, role: str | None, *, since: datetime
    ) -> tuple[str, ...] | None:
        """Return the regions last written for an account and a role; None if none were *since*."""
        regions, at = self._regions.get((account_id, role), (None, since))
        return regions if at >= since else None

    def close(self) -> None:
        """Let others have it. A second time nothing happens."""
        if os.getpid() != self._pid:
            return  # a forked child: the lock is its parent's
        with self._guard:
            if self._file.closed:
                return
            with suppress(OSError):
                os.fsync(self._file.fileno())
            self._letting_go.close()

    # ── writing ──────────────────────────────────────────────────────────────────────────

    def _append(self, row: Mapping[str, Any]) -> None:
        # ASCII, so that half a line is never half a character, whatever was in a message.
        self._send(json.dumps(row).encode("ascii") + b"\n")

    def _send(self, data: bytes) -> None:
        if os.getpid() != self._pid:
            # Whoever cuts half a line off goes by lengths, and would cut the other's with it.
            raise RuntimeError(f"{self!r} was opened before a fork: write to it in the parent")
        with self._guard:
            if self._file.closed:
                raise ValueError(f"{self!r} is closed")
            try:
                self._cut()
                self._send_whole(data)
            except OSError as error:
                raise StoreError(
                    f"the journal {self.path}: cannot be written: {reason(error)}",
                    hint="mend it and run again with this journal: what is in it is not run again",
                ) from error

    def _send_whole(self, data: bytes) -> None:
        """Add *data*, or nothing, even where a signal comes in between."""
        descriptor = self._file.fileno()
        start = os.fstat(descriptor).st_size
        sent = 0
        try:
            while sent < len(data):
                # A full disk takes a part first, and refuses the rest.
                sent += os.write(descriptor, data[sent:])
        finally:
            # By its size, not by `sent`: Ctrl-C may have come before that was counted.
            if start < os.fstat(descriptor).st_size < start + len(data):
                self._torn = start
                with suppress(OSError):
                    self._cut()

    def _cut(self) -> None:
        if self._torn is not None:
            os.ftruncate(self._file.fileno(), self._torn)
            self._torn = None

    # ── reading ──────────────────────────────────────────────────────────────────────────

    def _read(self, job: str) -> None:
        """Take in what is there, and leave a journal that ends with a whole line."""
        with open(self._file.fileno(), "rb", closefd=False) as file:
            file.seek(0)
            line = file.readline(_LONGEST_HEADER)
            if not _check_header(self.path, line, job):
                self._cut_off(line, 0)
                self._append({_MARK: _VERSION, "job": job})
                return
            end = len(line)
            for number, line in enumerate(file, 2):
                try:
                    self._take(_object(line))
                except ValueError as error:
                    if not line.endswith(b"\n"):
                        self._cut_off(line, end)
                        return
                    hint = "delete this line, and its target is run again; or give another file"
                    why = f"line {number} is broken: {error}"
                    raise _unusable(self.path, why, hint=hint) from None
                end += len(line)
        if not line.endswith(b"\n"):
            self._send(b"\n")

    def _take(self, row: Mapping[str, Any]) -> None:
        account, role = row.get("account"), row.get("role")
        if not isinstance(account, str):
            raise ValueError("it has no account")
        if not (role is None or isinstance(role, str)):
            raise ValueError("its role is no text")
        if "regions" in row:
            regions = row["regions"]
            if not (isinstance(regions, list) and all(isinstance(one, str) for one in regions)):
                raise ValueError("its regions are no list of names")
            at = datetime.fromisoformat(str(row.get("at")))
            if at.tzinfo is None:
                raise ValueError("its time has no zone")
            # Thousands of accounts have the same ones.
            self._regions[account, role] = tuple(map(sys.intern, regions)), at
            return
        region, ok = row.get("region"), row.get("ok")
        if not (region is None or isinstance(region, str)):
            raise ValueError("its region is no text")
        if not isinstance(ok, bool):
            raise ValueError("it does not say whether it is ok")
        details = row.get("details", "")
        if not isinstance(details, str):
            raise ValueError("its details are no text")
        if ok:
            self._done.add(_key(account, region, role, details))

    def _cut_off(self, line: bytes, start: int) -> None:
        if line:
            log.warning(
                "the journal %s: cut off its last %d bytes, half a line of a run that was killed",
                self.path,
                len(line),
            )
        self._torn = start
        self._cut()


def _key(account_id: str, region: str | None, role: str | None, details: str) -> bytes:
    """Return a target as 16 bytes: as text, 85,000 of them would take three times as much."""
    # JSON keeps what is None and what is empty apart, and no name can look like two.
    text = json.dumps((account_id, region, role, details))
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).digest()


def _object(line: bytes) -> dict[str, Any]:
    """Return the JSON object in *line*.

    Raises:
        ValueError: there is none.
    """
    try:
        # Decoded here: json.loads would take bytes with NULs in them for UTF-16.
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _check_header(path: Path, line: bytes, job: str) -> bool:
    """Return whether *line* is the first one of a journal of *job*; False: half of one, or none.

    Raises:
        ConfigError: it is neither.
    """
    try:
        header = _object(line)
    except ValueError:
        # After a power cut a file may have its length already, and NULs for what was in it.
        whole = line.rstrip(b"\0")
        ours = whole.startswith(_BEGINNING) or _BEGINNING.startswith(whole)
        if ours and len(line) < _LONGEST_HEADER and not line.endswith(b"\n"):
            return False
        header = {}
    version = header.get(_MARK)
    if version is None:
        raise _unusable(path, "it is no journal of rolecall's, and was left as it is")
    if version != _VERSION:
        raise _unusable(path, f"its version is {version!r}, and this rolecall's is {_VERSION}")
    if header.get("job") != job:
        why = f"its job is {header.get('job')!r}, and this is {job!r}"
        raise _unusable(path, f"{why}, which would leave out what the other has done")
    return True


def _opened(path: Path, flags: int) -> int:
    """Return a descriptor of the plain file *path*; FileNotFoundError if it is not there."""
    try:
        descriptor = os.open(path, flags | _FLAGS, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.EMLINK)  # FreeBSD says EMLINK
        raise _unusable(path, "it is a link" if link else reason(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _unusable(path, "it is not a plain file")
    return descriptor


def _look_at(path: Path, job: str) -> None:
    """Raise ConfigError if *path* cannot be a journal of *job*; touch nothing."""
    try:
        descriptor = _opened(path, os.O_RDONLY)
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        hint = "make it first"
        raise _unusable(path, f"there is no directory {path.parent}", hint=hint) from None
    with open(descriptor, "rb") as file:
        _check_header(path, file.readline(_LONGEST_HEADER), job)


def _locked(path: Path) -> BaseFileLock:
    """Return the lock of the journal *path*, held; ConfigError if another run holds it."""
    import filelock

    name = path.with_name(f"{path.name}.lock")
    try:
        lock = filelock.FileLock(name, mode=0o600, thread_local=False)
        lock.acquire(blocking=False)
    except filelock.Timeout:
        hint = "wait until that one has ended, or give this one a journal of its own"
        raise _unusable(path, "another run is using it", hint=hint) from None
    except (OSError, NotImplementedError, RuntimeError) as error:
        raise _unusable(path, f"it cannot be locked with {name.name}: {reason(error)}") from error
    return lock


def _unusable(path: Path, why: str, *, hint: str = "give another file") -> ConfigError:
    return ConfigError(f"the journal {path}: {why}", hint=hint)
