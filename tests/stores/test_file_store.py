"""`FileStore`: what is in its files nobody else reads, and nothing in them is taken on trust."""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rolecall.stores import FileStore, Stored, private
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.contracts import KEY, OTHER_KEY, credentials
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

NOW = timedelta(0)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def store(tmp_path: Path, environ: dict[str, str]) -> FileStore:
    return FileStore(tmp_path / "made" / "entries", environ=environ)


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def entry(store: FileStore, key: str = KEY) -> Path:
    return store.path / f"{key}.json"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


# ── who may read it ──────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("no_umask")
def test_whatever_the_umask_only_the_owner_can_use_what_it_makes(store: FileStore) -> None:
    store.put(KEY, credentials())
    with store.lock(KEY, NOW) as held:
        assert held

    assert [mode(path) for path in (store.path.parent, store.path, entry(store))] == [
        0o700,
        0o700,
        0o600,
    ]
    (lock,) = store.locks.iterdir()
    assert [mode(store.locks), mode(lock)] == [0o700, 0o600]


def test_a_directory_that_is_there_keeps_its_mode(store: FileStore) -> None:
    """It may be one that others need, like /tmp; the files in it are closed to them anyway."""
    store.path.mkdir(parents=True)
    store.path.chmod(0o755)

    store.put(KEY, credentials())

    assert mode(store.path) == 0o755
    assert mode(entry(store)) == 0o600


def test_nothing_but_the_entry_is_left_behind(store: FileStore) -> None:
    store.put(KEY, credentials(1))
    store.put(KEY, credentials(2))

    assert [entry(store)] == list(store.path.iterdir())


# ── what is not taken ────────────────────────────────────────────────────────────────────


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _bloat(path: Path) -> None:
    document = json.loads(path.read_text())
    document["padding"] = "x" * private.MOST_BYTES
    path.write_text(json.dumps(document))


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


SPOILED: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut short": _truncate,
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "nested without end": lambda path: path.write_text("[" * 60_000),
    "too large": _bloat,
    "a link to a good one": _link,
    "a FIFO": _fifo,
    "an empty directory": _directory,
    "readable by the group": lambda path: path.chmod(0o640),
    "writable by others": lambda path: path.chmod(0o602),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_an_entry_that_cannot_be_trusted_is_a_miss_and_is_replaced(
    store: FileStore, spoil: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    store.put(KEY, credentials(1))
    spoil(entry(store))

    assert store.get(KEY) is None
    assert store.get(KEY) is None
    assert len(warnings(caplog)) == 1

    store.put(KEY, credentials(2))

    assert credentials(2) == store.get(KEY)
    assert mode(entry(store)) == 0o600
    assert not entry(store).is_symlink()


def test_what_a_writer_feeds_through_a_fifo_is_not_taken(store: FileStore) -> None:
    store.put(KEY, credentials())
    content = entry(store).read_bytes()
    _fifo(entry(store))
    writer = os.open(entry(store), os.O_RDWR | os.O_NONBLOCK)
    os.write(writer, content)

    got = store.get(KEY)

    os.close(writer)
    assert got is None


def test_a_directory_with_something_in_it_in_the_place_of_an_entry_is_a_miss(
    store: FileStore,
) -> None:
    store.put(KEY, credentials())
    _directory(entry(store))
    (entry(store) / "somebody's").touch()

    assert store.get(KEY) is None
    store.put(KEY, credentials())
    store.delete(KEY)
    assert [entry(store) / "somebody's"] == list(entry(store).iterdir())


def test_an_entry_of_another_user_is_a_miss(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(KEY, credentials())
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)

    assert store.get(KEY) is None
    assert f"belongs to user {me}" in caplog.text


def test_nothing_is_written_into_another_users_directory(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.path.mkdir(parents=True)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    monkeypatch.setattr(private, "ROOT", -1)  # the tests may run as root

    store.put(KEY, credentials())

    assert list(store.path.iterdir()) == []
    assert "cannot be written" in caplog.text


def test_where_there_are_no_user_ids_the_form_alone_is_checked(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "geteuid")
    store.put(KEY, credentials())
    entry(store).chmod(0o644)

    assert credentials() == store.get(KEY)


def test_an_entry_linked_to_anothers_name_is_a_miss(store: FileStore) -> None:
    """The only swap that owner and mode do not show: both files are ours."""
    store.put(KEY, credentials())
    os.link(entry(store), entry(store, OTHER_KEY))

    assert store.get(OTHER_KEY) is None


# ── trouble with the disk ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_write_that_fails_is_told_of_once_and_harms_nothing(
    store: FileStore, number: int, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    store.put(KEY, credentials(1))
    monkeypatch.setattr(os, "fsync", fail)

    store.put(KEY, credentials(2))
    store.put(KEY, credentials(3))

    assert credentials(1) == store.get(KEY)
    assert [entry(store)] == list(store.path.iterdir())
    (warning,) = warnings(caplog)
    assert warning.endswith(f"cannot be written: {os.strerror(number)}")


def test_where_nothing_can_be_made_it_fetches_each_time_and_fails_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = str(tmp_path / "file" / "cache")
    store = FileStore(environ={"XDG_CACHE_HOME": blocked, "HOME": blocked})
    clock = FakeClock()
    source = FakeSource(clock)

    stored = Stored(source, store, KEY, clock=clock)

    stored.get()
    stored.get()

    assert source.calls == 2
    assert len(warnings(caplog)) == len(["read", "lock", "written"])
    assert FAKE_SECRET not in caplog.text
    assert FAKE_TOKEN not in caplog.text


def test_the_new_entry_is_on_the_disk_before_it_takes_the_name(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power cut leaves an empty file under the good name."""
    steps = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append(f"fsync {kind}")
        fsync(descriptor)

    def watched_replace(old: str, new: Path) -> None:
        steps.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)

    store.put(KEY, credentials())

    assert steps == ["fsync file", "replace", "fsync directory"]


# ── where things are ─────────────────────────────────────────────────────────────────────


def test_without_a_path_it_is_in_the_users_cache(tmp_path: Path) -> None:
    assert FileStore(environ={"XDG_CACHE_HOME": "/c"}).path == Path("/c/rolecall")
    assert FileStore(environ={"HOME": "/h"}).path == Path("/h/.cache/rolecall")


def test_a_relative_cache_home_does_not_count() -> None:
    environ = {"HOME": "/h", "XDG_CACHE_HOME": "relative"}

    assert FileStore(environ=environ).path == Path("/h/.cache/rolecall")


@pytest.mark.parametrize("path", ["~", "~/a/b", "/a"])
def test_a_tilde_is_the_home_of_the_given_environment(path: str) -> None:
    assert FileStore(path, environ={"HOME": "/h"}).path == Path(path.replace("~", "/h"))


def test_locks_are_in_the_runtime_directory_where_there_is_one(tmp_path: Path) -> None:
    environ = {"HOME": "/h", "XDG_RUNTIME_DIR": str(tmp_path)}

    assert FileStore(environ=environ).locks == tmp_path / "rolecall"


@pytest.mark.parametrize("missing", ["", "/nowhere/to/be/found"])
def test_locks_are_in_the_cache_where_there_is_no_runtime_directory(missing: str) -> None:
    environ = {"HOME": "/h", "XDG_RUNTIME_DIR": missing}

    assert FileStore(environ=environ).locks == Path("/h/.cache/rolecall/locks")


def test_after_su_the_runtime_directory_of_the_other_user_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    environ = {"HOME": "/h", "XDG_RUNTIME_DIR": str(tmp_path)}

    assert FileStore(environ=environ).locks == Path("/h/.cache/rolecall/locks")


def test_a_lock_directory_that_others_can_write_into_is_not_used(
    store: FileStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.locks.mkdir(parents=True)
    store.locks.chmod(0o777)

    with store.lock(KEY, NOW) as held:
        assert not held

    assert "others may write into" in caplog.text


def test_stores_in_two_directories_have_locks_of_their_own(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    one, other = (FileStore(tmp_path / name, environ=environ) for name in ("a", "b"))

    with one.lock(KEY, NOW) as first, other.lock(KEY, NOW) as second:
        assert first
        assert second


def test_one_directory_has_one_lock_by_whatever_name(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    one, other = (FileStore(tmp_path / name, environ=environ) for name in ("a", "link"))

    with one.lock(KEY, NOW), other.lock(KEY, NOW) as second:
        assert not second


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="path must name a directory"):
        FileStore("")


def test_it_pickles_as_the_path_it_was_given(environ: dict[str, str]) -> None:
    """The environment stays behind: it may hold keys, and the other machine has its own."""
    store = FileStore("~/entries", environ={**environ, "AWS_SECRET_ACCESS_KEY": FAKE_SECRET})

    pickled = pickle.dumps(store)

    assert FAKE_SECRET.encode() not in pickled
    assert pickle.loads(pickled).path == Path(os.environ["HOME"]) / "entries"
