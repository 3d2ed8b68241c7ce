"""A `FileStore` on a bad day: whoever asks gets credentials that work, and hears of it once."""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest

from rolecall.credentials import Credentials
from rolecall.stores import FileStore, Stored, private
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.clock import PATIENCE_SECONDS
from rolecall.testing.contracts import KEY
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

Fork = Callable[[Callable[[], object]], "Child"]

#: Someone who runs no tests.
SOMEBODY = 54321


class Child(Protocol):
    def said_yes(self) -> bool: ...


class Scene:
    """Any number of processes that share one directory."""

    def __init__(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.clock = FakeClock()
        self.source = FakeSource(self.clock)
        self.directory = root / "entries"
        self.environ = {"HOME": str(root), "XDG_CACHE_HOME": str(root / "cache")}
        self._caplog = caplog

    @property
    def entry(self) -> Path:
        return self.directory / f"{KEY}.json"

    @property
    def lock(self) -> Path:
        """The lock's file, once it was used."""
        (found,) = self.store().locks.iterdir()
        return found

    def store(self) -> FileStore:
        return FileStore(self.directory, environ=self.environ, clock=self.clock)

    def process(self) -> Stored:
        return Stored(self.source, self.store(), KEY, clock=self.clock)

    def saved(self) -> Credentials:
        """Let a process save a good session, and return it."""
        saved = self.process().get()
        assert saved == self.store().get(KEY)
        return saved

    @property
    def warned(self) -> list[str]:
        """What was said aloud since the last time; nothing of it secret."""
        said = self._caplog.text
        assert FAKE_SECRET not in said
        assert FAKE_TOKEN not in said
        warned = [
            one.getMessage() for one in self._caplog.records if one.levelno >= logging.WARNING
        ]
        self._caplog.clear()
        return warned

    def works(self, calls: int) -> Credentials:
        """Return what a new process gets, at the cost of *calls*; fail if it is no good."""
        before = self.source.calls
        got = self.process().get()
        assert self.source.calls - before == calls
        assert got.expires_at is not None
        assert got.expires_at - got.clock_offset > self.clock.now
        assert got.secret_key.startswith(FAKE_SECRET)
        return got


@pytest.fixture
def scene(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    with caplog.at_level(logging.DEBUG):
        yield Scene(tmp_path, caplog)


@contextmanager
def owned_by_somebody_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give *path* to another user; who may not, sees it so."""
    if os.geteuid() == 0:
        os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
        yield
        return
    theirs = os.lstat(path)
    stat, fstat, lstat = os.stat, os.fstat, os.lstat

    def altered(found: os.stat_result) -> os.stat_result:
        if (found.st_dev, found.st_ino) != (theirs.st_dev, theirs.st_ino):
            return found
        return os.stat_result([*found[:4], SOMEBODY, *found[5:]])

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda *a, **k: altered(stat(*a, **k)))
        patch.setattr(os, "fstat", lambda *a, **k: altered(fstat(*a, **k)))
        patch.setattr(os, "lstat", lambda *a, **k: altered(lstat(*a, **k)))
        yield


# ── what is in the entry's place ─────────────────────────────────────────────────────────


def test_an_entry_that_was_cut_short_anywhere_is_fetched_anew(scene: Scene) -> None:
    scene.saved()
    content = scene.entry.read_bytes()

    for length in range(len(content)):
        scene.entry.write_bytes(content[:length])
        scene.works(calls=1)
        assert len(scene.warned) == 1
        assert scene.works(calls=0) == scene.store().get(KEY)


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _hollow(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(4 * 2**40)  # sparse: it takes no room, but nobody can read it whole


def _other_form(path: Path) -> None:
    path.write_text(json.dumps([json.loads(path.read_text())]))


SPOILED: dict[str, tuple[Callable[[Path], object], int]] = {
    "empty": (lambda path: path.write_bytes(b""), 1),
    "zeros, as after a power cut": (lambda path: path.write_bytes(bytes(700)), 1),
    "of another form": (_other_form, 0),
    "huge": (_hollow, 1),
    "a directory": (lambda path: _replace(path, Path.mkdir), 1),
    "a FIFO that nobody writes to": (lambda path: _replace(path, os.mkfifo), 1),
    "a link to nowhere": (lambda path: _replace(path, lambda at: at.symlink_to("nowhere")), 1),
    "a link to itself": (lambda path: _replace(path, lambda at: at.symlink_to(at)), 1),
    "a link to a device": (lambda path: _replace(path, lambda at: at.symlink_to("/dev/zero")), 1),
    "readable by the world": (lambda path: path.chmod(0o644), 1),
    "writable by the world": (lambda path: path.chmod(0o622), 1),
    "gone": (Path.unlink, 0),
}


@pytest.mark.parametrize(("spoil", "warnings"), SPOILED.values(), ids=SPOILED)
def test_a_spoiled_entry_costs_one_fetch_and_one_warning_and_is_good_again(
    scene: Scene, spoil: Callable[[Path], object], warnings: int
) -> None:
    scene.saved()
    spoil(scene.entry)
    assert scene.store().get(KEY) is None
    assert len(scene.warned) == warnings

    got = scene.works(calls=1)

    assert len(scene.warned) == warnings
    assert got == scene.works(calls=0)
    assert scene.warned == []
    assert [scene.entry] == list(scene.directory.iterdir())


def test_an_entry_that_is_a_link_is_replaced_and_what_it_leads_to_is_unharmed(
    scene: Scene, tmp_path: Path
) -> None:
    saved = scene.saved()
    elsewhere = tmp_path / "elsewhere"
    scene.entry.rename(elsewhere)
    scene.entry.symlink_to(elsewhere)
    before = elsewhere.read_bytes()

    assert scene.works(calls=1) != saved

    assert before == elsewhere.read_bytes()
    assert not scene.entry.is_symlink()
    assert len(scene.warned) == 1


def test_an_entry_of_somebody_elses_is_fetched_anew(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.saved()

    with owned_by_somebody_else(scene.entry, monkeypatch):
        got = scene.works(calls=1)

    (warning,) = scene.warned
    assert f"it belongs to user {SOMEBODY}" in warning
    assert got == scene.works(calls=0)


def test_reading_a_directory_again_and_again_leaves_no_descriptor_open(scene: Scene) -> None:
    scene.entry.mkdir(parents=True)
    (scene.entry / "somebody's").touch()
    store = scene.store()

    def lowest() -> int:
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        return free

    before = lowest()
    for _ in range(5):
        assert store.get(KEY) is None

    assert lowest() == before


# ── where nothing can be written ─────────────────────────────────────────────────────────


def _limited(
    scene: Scene, limit: int, value: int, then: Callable[[], object]
) -> Callable[[], bool]:
    """Return what a child does under a limit of its process's."""

    def question() -> bool:
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (value, hard))
        then()
        resource.setrlimit(limit, (hard, hard))
        return True

    return question


@pytest.mark.parametrize("room", [0, 1, 300], ids=lambda room: f"{room} bytes fit")
def test_a_full_disk_costs_no_call_and_leaves_the_old_entry_whole(
    scene: Scene, fork: Fork, room: int
) -> None:
    old = scene.saved()
    content = scene.entry.read_bytes()
    assert len(content) > 300
    scene.clock.tick(minutes=59, seconds=30)  # still good, but nothing to start with

    def then() -> None:
        stored = scene.process()
        assert stored.get() != old
        stored.get()
        (warning,) = scene.warned
        assert warning.endswith(f"cannot be written: {os.strerror(errno.EFBIG)}")

    assert fork(_limited(scene, resource.RLIMIT_FSIZE, room, then)).said_yes()
    assert [scene.entry] == list(scene.directory.iterdir())
    assert content == scene.entry.read_bytes()
    scene.source.error = ConnectionError("down")
    assert old == scene.process().get(), "what is left of it still serves who can get nothing new"


def test_a_process_without_a_free_descriptor_gets_its_credentials(scene: Scene, fork: Fork) -> None:
    saved = scene.saved()
    with scene.store().lock(KEY, timedelta(0)):
        pass  # filelock is loaded by now

    def then() -> None:
        assert scene.works(calls=1) != saved
        assert all("Too many open files" in one for one in scene.warned)

    # No more than those that are open already: what was opened before goes on working.
    assert fork(_limited(scene, resource.RLIMIT_NOFILE, 3, then)).said_yes()
    assert saved == scene.works(calls=0)


@pytest.fixture
def public() -> Iterator[Path]:
    """Return a directory that somebody else can get at, which tmp_path is not for root's tests."""
    path = Path(tempfile.mkdtemp(prefix="rolecall-tests-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_a_read_only_directory_is_read_and_not_written(
    scene: Scene, fork: Fork, public: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = Scene(public, caplog)
    saved = here.saved()
    here.directory.chmod(0o500)
    if os.geteuid() == 0:  # whom modes do not stop
        for path in (public, *public.rglob("*")):
            os.chown(path, SOMEBODY, SOMEBODY)

    def question() -> bool:
        if os.geteuid() == 0:
            os.seteuid(SOMEBODY)
        assert saved == here.works(calls=0)
        assert here.warned == []
        here.clock.tick(minutes=59, seconds=30)
        stored = here.process()
        fresh = stored.get()
        assert fresh != saved
        assert stored.get() != fresh
        (warning,) = here.warned
        return warning.endswith(f"cannot be written: {os.strerror(errno.EACCES)}")

    assert fork(question).said_yes()
    here.directory.chmod(0o700)
    assert [here.entry] == list(here.directory.iterdir())


def test_a_directory_below_a_file_costs_no_call(scene: Scene) -> None:
    scene.directory.write_text("in the way")
    scene.directory = scene.directory / "below"

    scene.works(calls=1)

    assert len(scene.warned) == len(["cannot be read", "cannot be written"])
    assert scene.directory.parent.read_text() == "in the way"


# ── locks ────────────────────────────────────────────────────────────────────────────────


def _in_the_way(locks: Path) -> None:
    locks.parent.mkdir()
    locks.write_text("in the way")


def _open_to_all(locks: Path) -> None:
    locks.mkdir(parents=True)
    locks.chmod(0o777)


def _linked_to_one_that_is_open_to_all(locks: Path) -> None:
    real = locks.with_name("real")
    _open_to_all(real)
    locks.symlink_to(real)


@pytest.mark.parametrize("spoil", [_in_the_way, _open_to_all, _linked_to_one_that_is_open_to_all])
def test_where_no_lock_can_be_had_sessions_are_shared_all_the_same(
    scene: Scene, spoil: Callable[[Path], object]
) -> None:
    locks = scene.store().locks
    assert locks.parent.name == "rolecall"
    (locks.parents[1]).mkdir()
    spoil(locks)

    got = scene.works(calls=1)

    (warning,) = scene.warned
    assert warning.startswith(f"no lock can be had in {locks}")
    assert got == scene.works(calls=0)
    assert not locks.is_dir() or list(locks.iterdir()) == []


def test_a_lock_directory_of_somebody_elses_is_left_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = scene.store().locks
    locks.mkdir(parents=True)

    with owned_by_somebody_else(locks, monkeypatch):
        scene.works(calls=1)

    (warning,) = scene.warned
    assert f"belongs to user {SOMEBODY}" in warning
    assert list(locks.iterdir()) == []


def test_a_lock_that_is_a_link_is_not_followed(scene: Scene, tmp_path: Path) -> None:
    """Nor does taking it empty the file that it leads to."""
    scene.saved()
    scene.entry.unlink()
    lock = scene.lock
    precious = tmp_path / "precious"
    precious.write_text("precious")
    lock.unlink()
    lock.symlink_to(precious)

    got = scene.works(calls=1)

    assert precious.read_text() == "precious"
    assert len(scene.warned) == 1
    assert got == scene.works(calls=0)


def test_a_lock_that_is_a_directory_costs_no_call(scene: Scene) -> None:
    scene.saved()
    scene.entry.unlink()
    lock = scene.lock
    lock.unlink()
    lock.mkdir()

    got = scene.works(calls=1)

    assert len(scene.warned) == 1
    assert got == scene.works(calls=0)


def test_a_lock_that_is_a_fifo_holds_nobody(scene: Scene) -> None:
    scene.saved()
    scene.entry.unlink()
    lock = scene.lock
    lock.unlink()
    os.mkfifo(lock, 0o600)

    with ThreadPoolExecutor(1) as one:
        one.submit(scene.works, 1).result(PATIENCE_SECONDS)

    assert len(scene.warned) <= 1


def test_a_lock_file_that_somebody_else_owns_costs_no_call(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.saved()
    scene.entry.unlink()

    with owned_by_somebody_else(scene.lock, monkeypatch):
        got = scene.works(calls=1)

    assert len(scene.warned) <= 1
    assert got == scene.works(calls=0)


def test_the_entry_stays_whole_while_others_write_and_read_it(scene: Scene) -> None:
    """Every reader sees one of those that were put, at every moment."""
    put = [scene.source.make(number, scene.clock.now) for number in range(4)]
    scene.store().put(KEY, put[0])

    def write(one: Credentials) -> None:
        for _ in range(25):
            scene.store().put(KEY, one)

    with ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(write, one) for one in put]
        while not all(one.done() for one in writing):
            assert scene.store().get(KEY) in put
        for one in writing:
            one.result(PATIENCE_SECONDS)

    assert [scene.entry] == list(scene.directory.iterdir())
    assert scene.entry.stat().st_size < private.MOST_BYTES
