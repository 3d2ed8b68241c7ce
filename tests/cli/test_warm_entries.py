"""What `rolecall.cli.warm` reads: entries that are whole, the user's own, and still good."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.cli import process_cache, warm
from rolecall.cli.formats import as_json
from rolecall.clock import SYSTEM_CLOCK
from rolecall.refresh import Refresher
from rolecall.sessions.handing import HANDING_POLICY
from rolecall.testing import FakeSource

ASKED = "(['reader'], 0, '/', [])"
ANSWER = '{"Version": 1, "AccessKeyId": "ASIAFAKE000000000001"}\n'
HOUR = timedelta(hours=1)
BOOT = "fake-boot"

#: Of an hour's session, renewed 25 minutes ahead.
FRESH_SECONDS = 35 * 60.0


def refresher(**values: Any) -> Refresher:
    """Return a refresher that holds an hour's session, of which *values* are changed."""
    source = FakeSource(SYSTEM_CLOCK, HOUR)
    issued = datetime.fromtimestamp(SYSTEM_CLOCK.time(), timezone.utc)
    made = source.make(1, issued)
    source.answer = replace(made, **{"issued_at": issued, **values})
    found = Refresher(source, policy=HANDING_POLICY)
    found.get()
    return found


class Keeper:
    """Keeps a session that has just been made, and tells where.

    Attributes:
        answer: What is printed of the session that was kept last.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.answer = ""

    def __call__(
        self, *files: Path, asked: str = ASKED, pins: list[str] | None = None, **values: Any
    ) -> Path:
        if pins is None:
            pins = [warm.pin(str(file)) for file in files] or [warm.pin("/nowhere")]
        of = refresher(**values)
        self.answer = as_json(of.get())
        process_cache.keep(str(self.place), asked, pins, of, of.get())
        return self.place / warm.name_of(asked)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "process"


@pytest.fixture
def keep(place: Path) -> Keeper:
    return Keeper(place)


class Clocks:
    """This machine's clocks, as the warm path reads them."""

    def __init__(self) -> None:
        self.wall, self.boot, self.which = 1_800_000_000.0, 5_000.0, BOOT

    def __call__(self) -> tuple[float, float | None, str]:
        return self.wall, self.boot, self.which

    def tick(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Clocks that a test sets; the refresher's own run on, which costs less than a second."""
    made = Clocks()
    monkeypatch.setattr(warm, "clocks", made)
    return made


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def entry(clocks: Clocks, *, refresh_in: float = FRESH_SECONDS, asked: str = ASKED) -> str:
    """Return an entry without files to look at, as the module's description has it."""
    times = f"{clocks.wall!r} {clocks.boot!r} {clocks.which} {clocks.wall + refresh_in!r}"
    return "\n".join([warm.MAGIC, times, warm.pin("/nowhere"), asked, ANSWER])


# Whole, and the user's own


def test_what_was_kept_is_read(keep: Keeper) -> None:
    assert warm.read(str(keep()), ASKED) == keep.answer


def test_an_entry_answers_no_other_question_though_it_has_the_same_name(
    keep: Keeper,
) -> None:
    path = keep()

    assert warm.read(str(path), ASKED.replace("reader", "writer")) is None
    assert warm.read(str(path), ASKED + " ") is None
    assert warm.read(str(path), "") is None


def test_every_entry_that_is_cut_short_is_a_miss(keep: Keeper) -> None:
    path = keep()
    whole = path.read_bytes()

    # From where the answer begins on, it is the answer that is cut: writes are atomic for that.
    for length in range(len(whole) - len(keep.answer)):
        path.write_bytes(whole[:length])
        try:
            assert warm.read(str(path), ASKED) is None, length
        except ValueError:
            continue


@given(st.binary(max_size=200))
def test_no_noise_is_taken_for_an_answer(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(noise)
    path.chmod(0o600)

    try:
        found = warm.read(str(path), ASKED)
    except (OSError, ValueError):
        found = None

    assert found is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o610])
def test_an_entry_that_others_may_use_is_a_miss(keep: Keeper, mode: int) -> None:
    path = keep()
    path.chmod(mode)

    assert warm.read(str(path), ASKED) is None


def test_an_entry_of_somebody_elses_is_a_miss(
    keep: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keep()
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)

    assert warm.read(str(path), ASKED) is None


def test_a_link_a_directory_a_fifo_and_something_huge_are_misses_at_once(
    keep: Keeper, tmp_path: Path
) -> None:
    """Whoever opened a FIFO the plain way would wait until somebody writes into it."""
    path = keep()
    whole = path.rename(tmp_path / "moved")
    huge = tmp_path / "huge"
    write(huge, whole.read_text() + " " * warm.MOST_BYTES)
    path.symlink_to(whole)
    (tmp_path / "directory").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "fifo", 0o600)

    with pytest.raises(OSError, match=r"symbolic|link"):
        warm.read(str(path), ASKED)
    for name in ("directory", "fifo", "huge"):
        assert warm.read(str(tmp_path / name), ASKED) is None, name
    assert warm.read(str(whole), ASKED) == keep.answer


def test_no_descriptor_is_left_open_by_a_miss(keep: Keeper, tmp_path: Path) -> None:
    path = keep()
    path.chmod(0o644)
    (tmp_path / "directory").mkdir()
    before = set(os.listdir("/dev/fd"))

    for name in (path, tmp_path / "directory"):
        warm.read(str(name), ASKED)

    assert before == set(os.listdir("/dev/fd"))


# Until it is to be renewed


def test_an_entry_is_good_until_it_is_to_be_renewed_and_not_a_moment_longer(
    clocks: Clocks, place: Path
) -> None:
    path = place / "entry"
    write(path, entry(clocks))

    clocks.tick(FRESH_SECONDS - 1e-3)
    before = warm.read(str(path), ASKED)
    clocks.tick(1e-3)

    assert (before, warm.read(str(path), ASKED)) == (ANSWER, None)


def test_an_hours_session_is_printed_for_35_minutes(clocks: Clocks, keep: Keeper) -> None:
    clocks.wall, clocks.boot = SYSTEM_CLOCK.time(), SYSTEM_CLOCK.boottime()
    path = str(keep())

    clocks.tick(FRESH_SECONDS - 10)
    before = warm.read(path, ASKED)
    clocks.tick(10)

    assert (before, warm.read(path, ASKED)) == (keep.answer, None)


@pytest.mark.parametrize("seconds", [-86400.0, -6.0, 6.0, 600.0])
def test_whoever_sets_the_clock_makes_it_a_miss(
    clocks: Clocks, place: Path, seconds: float
) -> None:
    path = place / "entry"
    write(path, entry(clocks))
    clocks.tick(600.0)

    clocks.wall += seconds

    assert warm.read(str(path), ASKED) is None


def test_a_clock_that_is_corrected_by_a_second_changes_nothing(clocks: Clocks, place: Path) -> None:
    path = place / "entry"
    write(path, entry(clocks))
    clocks.tick(600.0)

    clocks.wall -= 1.0

    assert warm.read(str(path), ASKED) == ANSWER


def test_a_machine_that_was_suspended_has_aged_its_entries(clocks: Clocks, place: Path) -> None:
    """The clock that counts since the start counts the sleep as well."""
    path = place / "entry"
    write(path, entry(clocks))

    clocks.tick(FRESH_SECONDS + 1)

    assert warm.read(str(path), ASKED) is None


def test_after_another_start_the_wall_clock_alone_decides(clocks: Clocks, place: Path) -> None:
    path = place / "entry"
    write(path, entry(clocks))
    written_at = clocks.wall

    clocks.which, clocks.boot = "another-boot", 1.0

    for age, expected in ((60.0, ANSWER), (-60.0, None), (FRESH_SECONDS, None)):
        clocks.wall = written_at + age
        assert expected == warm.read(str(path), ASKED), age


def test_without_a_second_clock_the_wall_clock_decides(
    clocks: Clocks, keep: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SYSTEM_CLOCK.time()
    monkeypatch.setattr(warm, "clocks", lambda: (now, None, ""))
    path = str(keep())

    found = [warm.read(path, ASKED)]
    for age in (-1.0, FRESH_SECONDS + 1):
        monkeypatch.setattr(warm, "clocks", lambda age=age: (now + age, None, ""))
        found.append(warm.read(path, ASKED))

    assert found == [keep.answer, None, None]


def test_what_is_due_already_is_not_kept(keep: Keeper, clocks: Clocks) -> None:
    clocks.wall, clocks.boot = SYSTEM_CLOCK.time() + 3600, SYSTEM_CLOCK.boottime() + 3600

    assert not keep().exists()


# Files that it depends on


def changed(path: Path) -> None:
    """Change *path* within its size, and set its time back, as a tool that means well may do."""
    before = path.stat()
    path.write_bytes(bytes(reversed(path.read_bytes())))
    # The kernel stamps in ticks of some milliseconds; two changes within one look like one.
    while (
        path.stat().st_ctime_ns == before.st_ctime_ns
        or path.stat().st_mtime_ns != before.st_mtime_ns
    ):
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    """Put another file of the same text and time in the place of *path*."""
    before = path.stat()
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    copy.replace(path)


@pytest.mark.parametrize("change", [changed, replaced, Path.unlink])
@pytest.mark.parametrize("which", [0, 1])
def test_a_file_that_changed_in_any_way_makes_it_a_miss(
    keep: Keeper, tmp_path: Path, which: int, change: Callable[[Path], object]
) -> None:
    files = [tmp_path / "config", tmp_path / "credentials"]
    for file in files:
        file.write_text("[profile some]\n")
    path = str(keep(*files))
    before = warm.read(path, ASKED)

    change(files[which])

    assert (before, warm.read(path, ASKED)) == (keep.answer, None)


def test_a_file_that_comes_to_be_makes_it_a_miss(keep: Keeper, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    path = str(keep(file))
    before = warm.read(path, ASKED)

    file.touch()

    assert (before, warm.read(path, ASKED)) == (keep.answer, None)


@pytest.mark.parametrize("name", ["tab\there", "fünf", "\udcff", " ", "None"])
def test_files_may_have_any_name(keep: Keeper, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("a")
    path = str(keep(file))
    before = warm.read(path, ASKED)

    file.write_text("b")

    assert (before, warm.read(path, ASKED)) == (keep.answer, None)


def test_a_file_whose_name_has_lines_is_no_reason_to_keep_half_an_entry(
    keep: Keeper, tmp_path: Path
) -> None:
    assert not keep(tmp_path / "two\nlines").exists()


# Writing


def test_entries_are_of_the_user_alone_whatever_the_umask(keep: Keeper, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = keep()
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o600
    for directory in (path.parent, path.parent.parent):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_where_others_may_write_nothing_is_kept(keep: Keeper, place: Path) -> None:
    place.mkdir(parents=True)
    place.chmod(0o777)

    assert not keep().exists()


def test_where_no_directory_can_be_nothing_is_kept_and_nothing_said(
    keep: Keeper, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.parent.mkdir()
    place.write_text("a file")

    keep()

    assert capsys.readouterr() == ("", "")


def test_a_link_in_an_entrys_place_is_replaced_and_its_target_unharmed(
    keep: Keeper, place: Path, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    place.mkdir(parents=True, mode=0o700)
    (place / warm.name_of(ASKED)).symlink_to(target)

    path = keep()

    assert target.read_text() == "precious"
    assert not path.is_symlink()
    assert warm.read(str(path), ASKED) == keep.answer


def test_what_is_too_old_for_any_session_is_deleted_by_the_next_who_writes(
    keep: Keeper, place: Path
) -> None:
    place.mkdir(parents=True, mode=0o700)
    now = SYSTEM_CLOCK.time()
    for name, hours in (("0" * 16, 13), (".half-written.tmp", 13), ("1" * 16, 11)):
        (place / name).touch()
        os.utime(place / name, (now - hours * 3600,) * 2)

    kept = keep()

    assert {"1" * 16, kept.name} == {one.name for one in place.iterdir()}


def test_sixteen_writers_leave_readers_a_whole_entry_at_every_moment(place: Path) -> None:
    # Of different lengths, so that no two writes mixed could look like one.
    keepers = [Keeper(place) for _ in range(16)]
    ids = [f"ASIAFAKE{number:04d}{'0' * 100 * number}" for number in range(16)]
    path = keepers[0](access_key=ids[0])

    with ThreadPoolExecutor(16) as writers:
        writing = [
            writers.submit(keeper, access_key=access_key)
            for _ in range(4)
            for keeper, access_key in zip(keepers, ids, strict=True)
        ]
        read = []
        while not all(one.done() for one in writing):
            read.append(warm.read(str(path), ASKED))
    read.append(warm.read(str(path), ASKED))

    assert [one.result() for one in writing] == [path] * len(writing)
    assert {json.loads(str(one))["AccessKeyId"] for one in read} <= set(ids)
    assert [path] == list(path.parent.iterdir())


# What is not kept


def test_an_answer_is_kept_only_with_the_times_of_its_own_session(
    keep: Keeper, place: Path
) -> None:
    """A refresh that comes in late, while what was stored is printed, has later times."""
    late = refresher()
    printed = late.get()
    assert isinstance(late.source, FakeSource)
    late.source.answer = replace(printed, access_key="ASIAFAKELATE")
    late.refresh()

    process_cache.keep(str(place), ASKED, [], late, printed)
    assert not place.exists()
    process_cache.keep(str(place), ASKED, [], late, late.get())

    assert (place / warm.name_of(ASKED)).exists()


def test_what_depends_on_more_than_files_is_not_kept(place: Path) -> None:
    of = refresher()

    process_cache.keep(str(place), ASKED, None, of, of.get())

    assert not place.exists()


def test_a_session_of_which_nobody_knows_its_end_is_not_kept(keep: Keeper) -> None:
    of = refresher(expires_at=None)
    process_cache.keep(str(keep.place), ASKED, [], of, of.get())

    assert not keep.place.exists()


def test_a_session_of_which_nobody_knows_its_beginning_is_kept_while_it_is_long(
    keep: Keeper,
) -> None:
    """SSO does not say when it has issued one: how long before its end it is renewed counts."""
    now = datetime.fromtimestamp(SYSTEM_CLOCK.time(), timezone.utc)

    for minutes, kept in ((26, True), (24, False)):
        end = now + timedelta(minutes=minutes)
        path = keep(issued_at=None, expires_at=end, asked=f"{minutes}")
        assert path.exists() is kept, minutes


def test_where_nobody_says_how_long_before_its_end_it_is_not_kept(place: Path) -> None:
    of = refresher(issued_at=None)
    of = Refresher(of.source, policy=replace(HANDING_POLICY, ahead=None))
    of.get()

    process_cache.keep(str(place), ASKED, [warm.pin("/nowhere")], of, of.get())

    assert not place.exists()


def test_what_is_gone_on_with_while_sts_fails_is_not_kept(keep: Keeper) -> None:
    """By its whole life it is due, though whoever got it this moment counts from now on."""
    issued = datetime.fromtimestamp(SYSTEM_CLOCK.time(), timezone.utc)

    for age, kept in ((timedelta(minutes=34), True), (timedelta(minutes=36), False)):
        path = keep(issued_at=issued - age, expires_at=issued - age + HOUR, asked=f"{age}")
        assert path.exists() is kept, age
