"""`Anchor`: the right time for who finds an entry, whatever became of the clocks meanwhile."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall.clock import SYSTEM_CLOCK
from rolecall.stores import FileStore, Stored
from rolecall.stores.aws_time import MOST_OFFSET_SECONDS, Anchor, offset_by, this_boot
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.contracts import KEY

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
NONE = timedelta(0)

#: How far a time that is not known to the second may be off.
SLACK = 2.0


def boot(name: str | None) -> Callable[[], str | None]:
    return lambda: name


HERE = boot("this boot")


def later(
    noted: timedelta, *, jump: timedelta = NONE, slept: timedelta = NONE, ticked: timedelta = NONE
) -> timedelta:
    """Return the offset that is found after what became of the clocks of one machine."""
    clock = FakeClock()
    anchor = Anchor.now(clock, noted, boot=HERE)
    clock.tick(ticked)
    clock.jump(jump + slept)
    return anchor.offset(clock, noted, boot=HERE)


# ── one machine ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("noted", [NONE, HOUR, -HOUR, -timedelta(seconds=3660.5)], ids=str)
@pytest.mark.parametrize("ticked", [NONE, HOUR, timedelta(days=3)], ids=str)
def test_a_clock_that_nobody_set_is_as_wrong_as_it_was(noted: timedelta, ticked: timedelta) -> None:
    """Also on a suspended machine: its boot-time clock counts that."""
    assert noted == later(noted, ticked=ticked)


@pytest.mark.parametrize("noted", [NONE, timedelta(minutes=5)], ids=str)
def test_a_clock_set_back_is_found_behind(noted: timedelta) -> None:
    assert noted + HOUR == later(noted, jump=-HOUR, ticked=HOUR)


@pytest.mark.parametrize("wrong", [HOUR, -HOUR], ids=["slow", "fast"])
def test_a_clock_that_was_set_right_is_right(wrong: timedelta) -> None:
    """As NTP does after a start: sessions from before are as good as they were."""
    assert later(wrong, jump=wrong) == NONE
    assert later(wrong, jump=wrong + SECOND) == NONE


@pytest.mark.parametrize("seconds", [-1, 1, 2])
def test_a_step_of_a_second_changes_nothing(seconds: int) -> None:
    assert later(NONE, jump=seconds * SECOND) == NONE
    assert later(HOUR, jump=seconds * SECOND) == HOUR


def test_a_clock_set_forward_is_believed_for_the_other_may_have_stood_still() -> None:
    """A virtual machine's boot-time clock stands still while its host sleeps."""
    assert later(NONE, slept=8 * HOUR) == NONE


SECONDS = st.floats(-1e7, 1e7) | st.sampled_from([-3600.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3600.0])


@given(noted=SECONDS, jump=SECONDS, ticked=st.floats(0, 1e6))
@example(noted=3600.0, jump=3602.0, ticked=0.0)
@example(noted=0.0, jump=-2.000001, ticked=0.0)
def test_no_jump_makes_a_life_longer(noted: float, jump: float, ticked: float) -> None:
    offset = timedelta(seconds=noted)
    found = later(offset, jump=timedelta(seconds=jump), ticked=timedelta(seconds=ticked))

    truth = offset.total_seconds() - jump
    assert found.total_seconds() >= truth - SLACK - 1e-3


@given(slept=st.floats(0, 1e7), ticked=st.floats(0, 1e6))
@example(slept=2.5, ticked=0.0)
def test_no_standstill_makes_a_life_longer(slept: float, ticked: float) -> None:
    found = later(NONE, slept=timedelta(seconds=slept), ticked=timedelta(seconds=ticked))

    assert found >= NONE


# ── another one ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "read"),
    [("this", "other"), ("this", None), (None, "this")],
    ids=["another boot", "then known", "not known then"],
)
@given(noted=SECONDS, jump=SECONDS, ticked=st.floats(0, 1e6))
def test_what_another_boot_noted_never_makes_a_life_longer(
    written: str | None, read: str | None, noted: float, jump: float, ticked: float
) -> None:
    clock = FakeClock()
    offset = timedelta(seconds=noted)
    anchor = Anchor.now(clock, offset, boot=boot(written))
    clock.tick(ticked)
    clock.jump(jump)

    assert anchor.offset(clock, offset, boot=boot(read)) == max(offset, NONE)


def test_a_boot_time_clock_that_runs_back_is_of_another_boot() -> None:
    """Two machines may come from one image: the boot's name alone is no proof."""
    clock = FakeClock()
    late = FakeClock()
    late.tick(HOUR)

    anchor = Anchor.now(late, -HOUR, boot=HERE)

    assert anchor.offset(clock, -HOUR, boot=HERE) == NONE


def test_where_no_boot_is_known_a_clock_that_is_set_back_lengthens_no_life() -> None:
    clock = FakeClock()
    anchor = Anchor.now(clock, NONE, boot=boot(None))
    clock.tick(minutes=10)
    clock.jump(-HOUR)

    assert anchor.offset(clock, NONE, boot=boot(None)) == HOUR


def test_where_no_boot_is_known_what_was_noted_holds_while_the_clocks_agree() -> None:
    clock = FakeClock()
    anchor = Anchor.now(clock, -HOUR, boot=boot(None))
    clock.tick(HOUR)
    assert anchor.offset(clock, -HOUR, boot=boot(None)) == -HOUR

    clock.jump(-HOUR)

    assert anchor.offset(clock, -HOUR, boot=boot(None)) == NONE


@pytest.mark.parametrize(
    ("ahead", "offset"), [(HOUR, HOUR), (2 * SECOND, NONE), (NONE, NONE), (-HOUR, NONE)], ids=str
)
def test_another_machines_word_never_makes_a_life_longer(
    ahead: timedelta, offset: timedelta
) -> None:
    clock = FakeClock()

    assert offset == offset_by(clock.now + ahead + HOUR, HOUR, clock)


# ── which boot ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "self/ns").mkdir(parents=True)
    return tmp_path


def test_a_container_with_a_time_of_its_own_is_another_boot(proc: Path) -> None:
    (proc / "sys/kernel/random/boot_id").write_text("0c1d\n")
    assert this_boot.__wrapped__(str(proc)) == "0c1d"

    (proc / "self/ns/time").symlink_to("time:[1]")
    one = this_boot.__wrapped__(str(proc))
    (proc / "self/ns/time").unlink()
    (proc / "self/ns/time").symlink_to("time:[2]")

    assert one == "0c1d time:[1]"
    assert this_boot.__wrapped__(str(proc)) == "0c1d time:[2]"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"], ids=repr)
def test_a_system_that_does_not_name_its_boot_has_none(proc: Path, content: bytes | None) -> None:
    if content is not None:
        (proc / "sys/kernel/random/boot_id").write_bytes(content)

    assert this_boot.__wrapped__(str(proc)) is None


def test_an_anchor_of_now_is_of_here_where_the_boot_is_known() -> None:
    assert Anchor.now(SYSTEM_CLOCK, NONE).is_here == (this_boot() is not None)
    assert not Anchor.now(SYSTEM_CLOCK, NONE, boot=boot(None)).is_here
    assert not Anchor.now(SYSTEM_CLOCK, NONE, boot=HERE).is_here


# ── as JSON ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["this", None])
def test_it_comes_back_from_json_as_it_was(name: str | None) -> None:
    anchor = Anchor.now(FakeClock(), HOUR, boot=boot(name))

    assert anchor == Anchor.from_document(json.loads(json.dumps(anchor.to_document())))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries({}, optional={"boot": JSON, "boottime": JSON, "aws_time": JSON}) | JSON
)
@example({"boot": this_boot(), "boottime": 0, "aws_time": 9.9e11})
@example({"boot": this_boot(), "boottime": -9.9e11, "aws_time": 0})
@example({"boot": this_boot(), "boottime": math.nan, "aws_time": 0})
@example({"boot": this_boot(), "boottime": 10**400, "aws_time": 0})
def test_rubbish_is_no_anchor_or_gives_an_offset_that_can_be_reckoned_with(document: Any) -> None:
    anchor = Anchor.from_document(document)

    if anchor is not None:
        found = anchor.offset(FakeClock(), NONE)
        assert abs(found.total_seconds()) <= MOST_OFFSET_SECONDS


# ── through a file ───────────────────────────────────────────────────────────────────────


class Scene:
    """Two processes on one machine: one saves a session, another finds it later."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.source = FakeSource(self.clock)
        self.path = path
        self.environ = {"HOME": str(path), "XDG_CACHE_HOME": str(path / "cache")}
        self.saved = self.process().get()

    def process(self) -> Stored:
        store = FileStore(self.path / "entries", environ=self.environ, clock=self.clock)
        return Stored(self.source, store, KEY, clock=self.clock)

    def set_clock(self, by: timedelta) -> None:
        """Set the wall clock; AWS's stays."""
        self.clock.jump(by)
        self.source.offset -= by

    def finds(self) -> timedelta | None:
        """Return how long another process takes the entry to live; None: it fetches instead."""
        before = self.source.calls
        found = self.process().get()
        if self.source.calls > before:
            return None
        assert found.access_key == self.saved.access_key
        assert found.expires_at is not None
        now = datetime.fromtimestamp(self.clock.time(), timezone.utc)
        return found.expires_at - now - found.clock_offset


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("jump", [-HOUR, -SECOND, NONE, SECOND], ids=str)
def test_a_process_that_comes_after_the_clock_was_set_takes_a_good_session(
    scene: Scene, jump: timedelta
) -> None:
    scene.clock.tick(minutes=30)
    scene.set_clock(jump)

    left = scene.finds()

    assert left is not None
    assert abs(left - HOUR / 2) <= SECOND


@pytest.mark.parametrize("jump", [-HOUR, -SECOND, NONE, SECOND, HOUR], ids=str)
def test_a_session_that_is_over_is_over_however_the_clock_was_set(
    scene: Scene, jump: timedelta
) -> None:
    scene.clock.tick(HOUR)
    scene.set_clock(jump)

    assert scene.finds() is None


def test_a_session_costs_one_fetch_at_most_when_the_clock_was_set_forward(scene: Scene) -> None:
    scene.set_clock(HOUR)

    assert scene.finds() is None

    scene.saved = scene.process().get()
    assert scene.finds() == HOUR


def test_a_virtual_machine_whose_host_slept_does_not_start_on_what_ended_meanwhile(
    scene: Scene,
) -> None:
    scene.clock.jump(8 * HOUR)

    assert scene.finds() is None


def test_a_suspended_machine_knows_how_long_it_slept(scene: Scene) -> None:
    scene.clock.tick(minutes=20)

    assert scene.finds() == timedelta(minutes=40)


def test_an_entry_of_another_boot_is_judged_by_the_local_clock(scene: Scene) -> None:
    (file,) = (scene.path / "entries").iterdir()
    document = json.loads(file.read_text())
    document["rolecall"]["anchor"]["boot"] = "another"
    file.write_text(json.dumps(document))
    assert scene.finds() == HOUR

    scene.clock.jump(HOUR)

    assert scene.finds() is None
