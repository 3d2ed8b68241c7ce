"""What a run has done, on disk: a run that was killed goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import StoreError
from ...sources.quote import redact
from ...stores.complaints import reason
from ..targets import Target
from .journal_file import (
    LONGEST_HEADER,
    MARK,
    VERSION,
    check_header,
    locked,
    look_at,
    object_in,
    opened,
    unusable,
)
from .outcomes import Outcome

log: logging.Logger = logging.getLogger("rolecall.fleet")

_LONGEST_JOB = 4096
#: The whole message is in the outcome; this is for whoever reads the journal.
_LONGEST_MESSAGE = 2000


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
        look_at(where, job)
        try:
            with ExitStack() as letting_go:
                letting_go.callback(locked(where).release)
                descriptor = opened(where, os.O_RDWR | os.O_APPEND | os.O_CREAT)
                # A file object without a buffer: one that is forgotten is closed, and says so.
                file = letting_go.enter_context(FileIO(descriptor, "ab"))
                journal = cls(where, file)
                journal._read(job)
                journal._letting_go = letting_go.pop_all()
        except OSError as error:
            raise unusable(where, reason(error)) from error
        return journal

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, job: str) -> Journal:
        """Return what the journal in the file *path* says, closed: to look at only.

        Others may have it, and it is left as it is, half a last line included. Where there is none,
        nothing has been done.

        Raises:
            ConfigError: as of `open`.
        """
        where = Path(path)
        look_at(where, job)
        try:
            file = FileIO(opened(where, os.O_RDONLY))
        except FileNotFoundError:
            file = FileIO(os.devnull)
        journal = cls(where, file)
        try:
            with file, open(file.fileno(), "rb", closefd=False) as lines:
                header = lines.readline(LONGEST_HEADER)
                if check_header(where, header, job):
                    journal._take_all(lines, header)
        except OSError as error:
            raise unusable(where, reason(error)) from error
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
            try:
                with suppress(OSError):
                    os.fsync(self._file.fileno())
            finally:  # Ctrl-C may come while the disk is slow
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
            header = file.readline(LONGEST_HEADER)
            if not check_header(self.path, header, job):
                self._cut_off(header, 0)
                self._append({MARK: VERSION, "job": job})
                return
            end, torn = self._take_all(file, header)
            file.seek(-1, os.SEEK_END)
            is_ended = file.read() == b"\n"
        if torn:
            self._cut_off(torn, end)
        elif not is_ended:
            self._send(b"\n")

    def _take_all(self, file: BinaryIO, header: bytes) -> tuple[int, bytes]:
        """Take in what follows *header*; return where half a last line begins, and that half."""
        end = len(header)
        for number, line in enumerate(file, 2):
            try:
                self._take(object_in(line))
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return end, line
                hint = "delete this line, and its target is run again; or give another file"
                why = f"line {number} is broken: {error}"
                raise unusable(self.path, why, hint=hint) from None
            end += len(line)
        return end, b""

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
