"""`Journal`: a run that was killed goes on where it stopped, whatever the kill left in the file."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from rolecall.errors import ConfigError, StoreError
from rolecall.fleet.results.journal import Journal
from rolecall.fleet.results.outcomes import Failure, Outcome
from rolecall.fleet.targets import Account, Target
from rolecall.testing.source import FAKE_SECRET

JOB = "audit.count_buckets"
STARTED = datetime(2026, 11, 21, 20, 42, 37, 250_000, tzinfo=timezone.utc)
DENIED = Failure(kind="access_denied", type="ClientError", code="AccessDenied", message="not you")


def role_of(account: str, name: str = "Auditor") -> str:
    return f"arn:aws:iam::{account}:role/{name}"


def target(
    account: str = "111122223333",
    region: str | None = "eu-west-1",
    role: str | None = role_of("111122223333"),
) -> Target:
    return Target(account=Account(account), region=region, role=role)


def outcome(of: Target | None = None, error: Failure | None = None, **more: Any) -> Outcome:
    elapsed = timedelta(seconds=1.5)
    return Outcome(target=of or target(), error=error, started=STARTED, elapsed=elapsed, **more)


def rows(path: Path) -> list[dict[str, Any]]:
    text = path.read_bytes()
    assert text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


# ── what is done ─────────────────────────────────────────────────────────────────────────


def test_what_succeeded_is_done_in_this_run_and_in_the_next(path: Path) -> None:
    with Journal.open(path, job=JOB) as journal:
        assert not journal.is_done(target())
        journal.write(outcome())
        assert journal.is_done(target())

    with Journal.open(path, job=JOB) as journal:
        assert journal.is_done(target())
        assert journal.done == 1


def test_what_failed_is_not_done(path: Path) -> None:
    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome(error=DENIED))
        assert not journal.is_done(target())

    with Journal.open(path, job=JOB) as journal:
        assert not journal.is_done(target())
        assert journal.done == 0


def test_what_succeeded_stays_done_though_it_failed_later(path: Path) -> None:
    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome(error=DENIED))
        journal.write(outcome())
        journal.write(outcome(error=DENIED))
        assert journal.is_done(target())

    with Journal.open(path, job=JOB) as journal:
        assert journal.is_done(target())


@pytest.mark.parametrize(
    "other",
    [
        target(account="444455556666"),
        target(region="eu-west-2"),
        target(region=None),
        target(role=role_of("111122223333", "Admin")),
        target(role=None),
        replace(target(), details="0123456789abcdef"),
    ],
    ids=lambda one: f"{one}-{one.role}-{one.details}",
)
def test_another_account_region_role_or_policy_is_not_done(path: Path, other: Target) -> None:
    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome())
    with Journal.open(path, job=JOB) as journal:
        assert not journal.is_done(other)

        journal.write(outcome(other))

        assert journal.is_done(other)
        assert journal.done == 2


def test_what_else_is_known_of_an_account_does_not_count(path: Path) -> None:
    """It may be renamed between two runs."""
    renamed = Target(
        account=Account("111122223333", name="new", tags={"a": "b"}),
        region=target().region,
        role=target().role,
    )
    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome())

        assert journal.is_done(renamed)


def test_the_regions_found_in_an_account_are_those_of_the_next_run(path: Path) -> None:
    role = role_of("111122223333")
    with Journal.open(path, job=JOB) as journal:
        assert journal.regions_of("111122223333", role, since=STARTED) is None
        journal.write_regions("111122223333", role, ["us-east-1", "eu-west-1"], at=STARTED)
        journal.write_regions("444455556666", None, (), at=STARTED)
        journal.write_regions("444455556666", None, iter(["eu-west-3"]), at=STARTED)

    with Journal.open(path, job=JOB) as journal:
        found = journal.regions_of("111122223333", role, since=STARTED)
        assert found == ("us-east-1", "eu-west-1")
        assert journal.regions_of("444455556666", None, since=STARTED) == ("eu-west-3",)
        assert journal.regions_of("111122223333", None, since=STARTED) is None
        later = STARTED + timedelta(microseconds=1)
        assert journal.regions_of("111122223333", role, since=later) is None
        assert journal.done == 0


# ── what is in the file ──────────────────────────────────────────────────────────────────


def test_each_outcome_is_a_line(path: Path) -> None:
    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome(attempts=2))
        journal.write(outcome(error=DENIED))

    common = {
        "account": "111122223333",
        "region": "eu-west-1",
        "role": role_of("111122223333"),
        "started": "2026-11-21T20:42:37.250000+00:00",
        "elapsed_seconds": 1.5,
    }
    ok = {"ok": True, "kind": None, "code": None, "message": None, "attempts": 2}
    failed = {
        "ok": False,
        "kind": "access_denied",
        "code": "AccessDenied",
        "message": "not you",
        "attempts": 1,
    }
    assert rows(path) == [{"rolecall_journal": 1, "job": JOB}, common | ok, common | failed]


def test_nothing_secret_is_in_it(path: Path) -> None:
    account = Account("111122223333", email="root@example.com", tags={"owner": "fake-tag-value"})
    failure = Failure(
        kind="function",
        type="ValueError",
        code=f"token={FAKE_SECRET}",
        message=f"secret_key={FAKE_SECRET} is wrong",
        traceback="fake-traceback",
    )
    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome(Target(account=account), failure))
        journal.write(outcome(Target(account=account), value="fake-value"))

    text = path.read_text()
    for hidden in (FAKE_SECRET, "root@", "fake-tag", "fake-traceback", "fake-value"):
        assert hidden not in text
    assert "secret_key=[redacted] is wrong" in text


def test_a_message_of_many_lines_or_none_of_this_world_is_one_line(path: Path) -> None:
    message = 'a\nb\r\u2028"\udc80\x00é' + "x" * 100_000
    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome(error=Failure(kind="function", type="E", code=None, message=message)))

    assert path.read_bytes().isascii()
    assert message[:2000] == rows(path)[1]["message"]


def test_a_line_is_there_as_soon_as_it_is_written(path: Path) -> None:
    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome())

        assert len(rows(path)) == 2


def test_threads_write_whole_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the system takes a part of a line at a time."""
    targets = [target(f"{n:012d}") for n in range(400)]
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:40]))
    with Journal.open(path, job=JOB) as journal, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: journal.write(outcome(one)), targets))

        assert all(map(journal.is_done, targets))

    assert {one.account.id for one in targets} == {row["account"] for row in rows(path)[1:]}


def test_only_its_owner_can_use_it_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        Journal.open(path, job=JOB).close()
    finally:
        os.umask(before)

    assert {"run.jsonl", "run.jsonl.lock"} == {one.name for one in path.parent.iterdir()}
    assert {0o600} == {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}


# ── a disk that is full ──────────────────────────────────────────────────────────────────


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let the system take a part of what is written beyond *size*, and then refuse."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_that_does_not_fit_is_cut_off_again(path: Path) -> None:
    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome())
        before = path.read_bytes()

        with (
            no_file_larger_than(len(before) + 20),
            pytest.raises(StoreError, match=r"run\.jsonl: cannot be written: File too large"),
        ):
            journal.write(outcome(target(region="eu-west-2")))

        assert before == path.read_bytes()
        assert not journal.is_done(target(region="eu-west-2"))
        journal.write(outcome(target(region="eu-west-3")))

    assert [row["region"] for row in rows(path)[1:]] == ["eu-west-1", "eu-west-3"]


def test_half_a_line_that_cannot_be_cut_off_yet_is_before_the_next_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with Journal.open(path, job=JOB) as journal:
        size = path.stat().st_size
        with monkeypatch.context() as broken:
            broken.setattr(os, "ftruncate", fail)
            with no_file_larger_than(size + 20), pytest.raises(StoreError, match="too large"):
                journal.write(outcome())
            assert size + 20 == path.stat().st_size
            with pytest.raises(StoreError, match="Input/output"):
                journal.write(outcome())
        journal.write(outcome(target(region="eu-west-3")))

    assert [row["region"] for row in rows(path)[1:]] == ["eu-west-3"]


def test_a_write_that_a_signal_ends_half_way_leaves_no_half_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        real(descriptor, data[:10])
        raise KeyboardInterrupt

    with Journal.open(path, job=JOB) as journal:
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                journal.write(outcome())
        assert len(rows(path)) == 1


def test_a_journal_that_cannot_be_begun_can_be_begun_later(path: Path) -> None:
    with no_file_larger_than(5), pytest.raises(StoreError, match="too large"):
        Journal.open(path, job=JOB)

    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome())
    assert len(rows(path)) == 2


# ── what a kill or a power cut leaves ────────────────────────────────────────────────────

TARGETS = [target(role=role) for role in (role_of("111122223333"), None)] + [
    target(region=None),
    target("444455556666", role=role_of("444455556666")),
]
FAILURES = st.builds(
    Failure,
    kind=st.just("function"),
    type=st.just("ValueError"),
    code=st.none(),
    message=st.sampled_from(["", "line\nbreak", "é\u2028", '{"ok": true}', "\0"]),
)
OUTCOMES = st.builds(outcome, st.sampled_from(TARGETS), st.one_of(st.none(), st.none(), FAILURES))
WRITTEN = st.lists(st.one_of(OUTCOMES, st.just("regions")), max_size=5)
#: What a power cut may leave behind the last byte that was written.
LITTER = st.sampled_from([b"", b"", b"\0" * 7, b"\xc3", b"\xe2\x80", b"\0" * 5000])


def written_to(path: Path, job: str, what: list[Any]) -> list[tuple[bytes, Any]]:
    """Write *what*, and return each line with what it was written for."""
    with Journal.open(path, job=job) as journal:
        for one in what:
            if isinstance(one, str):
                journal.write_regions("111122223333", None, ["eu-west-1"], at=STARTED)
            else:
                journal.write(one)
    return list(zip(path.read_bytes().splitlines(), [None, *what], strict=True))


@settings(max_examples=150)
@given(WRITTEN, st.floats(0, 1), LITTER)
@example([outcome()], 1.0, b"")
@example([outcome()], 1.0, b"\0")
@example([], 0.0, b"\0" * 5000)
@example([outcome()], 0.999, b"\0")
def test_after_a_kill_at_any_byte_what_is_done_are_the_whole_lines_that_are_ok(
    tmp_path_factory: pytest.TempPathFactory, what: list[Any], share: float, litter: bytes
) -> None:
    path = tmp_path_factory.mktemp("torn") / "run.jsonl"
    lines = written_to(path, JOB, what)
    whole = path.read_bytes()
    cut = round(share * len(whole))
    # What is in a file without a header, and is not NUL, may be somebody else's.
    assume(cut > len(lines[0][0]) or not litter.strip(b"\0"))
    path.write_bytes(whole[:cut] + litter)
    kept, end = 0, 0
    for line, _ in lines:
        end += len(line) + 1
        # A line that lacks nothing but its newline is whole, unless there is litter after it.
        kept += end <= cut or (end - 1 == cut and not litter)
    succeeded = [
        one.target for _, one in lines[:kept] if isinstance(one, Outcome) and one.error is None
    ]

    before = path.read_bytes()
    looked_at = Journal.read(path, job=JOB)
    assert before == path.read_bytes()
    with Journal.open(path, job=JOB) as journal:
        done = [one for one in TARGETS if journal.is_done(one)]
        regions = journal.regions_of("111122223333", None, since=STARTED)
        journal.write(outcome(target("777788889999")))

    assert done == [one for one in TARGETS if one in succeeded]
    assert done == [one for one in TARGETS if looked_at.is_done(one)]
    assert (regions is not None) == any(one == "regions" for _, one in lines[:kept])
    # It is a journal again, with what it had and what was added.
    assert [line for line, _ in lines[: max(kept, 1)]] == path.read_bytes().splitlines()[:-1]
    assert rows(path)[-1]["account"] == "777788889999"
    with Journal.open(path, job=JOB) as journal:
        assert journal.done == len(done) + 1


def test_a_journal_that_is_looked_at_is_not_held_and_takes_nothing(path: Path) -> None:
    assert (Journal.read(path, job=JOB).done, path.exists()) == (0, False)
    with Journal.open(path, job=JOB) as journal:
        journal.write(outcome())

        looked_at = Journal.read(path, job=JOB)

    assert looked_at.done == 1
    with pytest.raises(ValueError, match="is closed"):
        looked_at.write(outcome())
    assert len(rows(path)) == 2


def test_what_is_cut_off_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written_to(path, JOB, [outcome()])
    whole = path.read_bytes()
    assert warnings(caplog) == []
    path.write_bytes(whole + b'{"account": "4444')

    Journal.open(path, job=JOB).close()

    assert whole == path.read_bytes()
    (warning,) = warnings(caplog)
    assert "cut off its last 17 bytes" in warning
    assert "4444" not in warning


@pytest.mark.parametrize(
    "last",
    [
        b"[]",
        b'{"account": 1}',
        b'{"account": "1", "ok": 1}',
        b"[" * 100_000,
        '{"account": "444455556666", "ok": true}'.encode("utf-16-le"),
    ],
)
def test_a_last_line_that_is_no_row_is_cut_off_if_it_has_no_end(path: Path, last: bytes) -> None:
    written_to(path, JOB, [outcome()])
    whole = path.read_bytes()
    path.write_bytes(whole + last)

    with Journal.open(path, job=JOB) as journal:
        assert journal.done == 1

    assert whole == path.read_bytes()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "it is no JSON object"),
        (b'{"account": "4444', "it is no JSON object"),
        (b"\0\0\0", "it is no JSON object"),
        (b"\xff", "it is no JSON object"),
        (b"[]", "it is no JSON object"),
        (b"{}", "it has no account"),
        (b'{"account": 1, "ok": true}', "it has no account"),
        (b'{"account": "1", "role": 1, "ok": true}', "its role is no text"),
        (b'{"account": "1", "region": 1, "ok": true}', "its region is no text"),
        (b'{"account": "1"}', "whether it is ok"),
        (b'{"account": "1", "ok": 1}', "whether it is ok"),
        (b'{"account": "1", "regions": "eu-west-1"}', "no list of names"),
        (b'{"account": "1", "regions": [1]}', "no list of names"),
    ],
)
@pytest.mark.parametrize("behind", [True, False], ids=["last", "in between"])
def test_a_broken_line_with_an_end_is_refused_with_its_number(
    path: Path, line: bytes, why: str, behind: bool
) -> None:
    """No kill leaves such a one; somebody edited it, and what it said is not known."""
    written_to(path, JOB, [outcome(), outcome(target(region="eu-west-2"))])
    lines = path.read_bytes().splitlines()
    lines.insert(len(lines) if behind else 2, line)
    path.write_bytes(b"\n".join([*lines, b""]))
    before = path.read_bytes()

    for use in (Journal.open, Journal.read):
        with pytest.raises(ConfigError) as refused:
            use(path, job=JOB)

        assert f"run.jsonl: line {4 if behind else 3} is broken: it" in refused.value.message
        assert why in refused.value.message
        assert "delete this line" in refused.value.hint
        assert before == path.read_bytes()


# ── whose it is ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "content",
    [
        b"\n",
        b"account,region\n",
        b"account",
        b"{}\n",
        b"[]",
        b'{"version": 1, "job": "x"}',
        b'{"rolecall_plan": 1,\n"accounts": []\n}\n',
        b'{"rolecall_journal": 1, "jo\n',
        b"\0\n",
        b"\0" * 65536,
        b'{"rolecall_journal": 1' + b" " * 70_000,
        b"\x89PNG\r\n\x1a\n",
        b"\xef\xbb\xbf",
    ],
    ids=range(13),
)
def test_a_file_that_is_no_journal_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    before = path.stat()

    for use in (Journal.open, Journal.read):
        with pytest.raises(ConfigError, match="no journal of rolecall's, and was left as it is"):
            use(path, job=JOB)

    assert content == path.read_bytes()
    assert before.st_mtime_ns == path.stat().st_mtime_ns
    assert [path] == list(path.parent.iterdir())


def test_the_journal_of_another_job_is_refused(path: Path) -> None:
    written_to(path, JOB, [outcome()])
    before = path.read_bytes()

    with pytest.raises(ConfigError) as refused:
        Journal.open(path, job="mend.close_buckets")

    assert "its job is 'audit.count_buckets', and this is 'mend.close_buckets'" in str(
        refused.value
    )
    assert "give another file" in refused.value.hint
    assert before == path.read_bytes()


def test_the_journal_of_a_later_version_is_refused(path: Path) -> None:
    path.write_text('{"rolecall_journal": 2, "job": "x"}\n')

    with pytest.raises(ConfigError, match="its version is 2, and this rolecall's is 1"):
        Journal.open(path, job=JOB)


def _link(path: Path) -> None:
    real = path.with_name("real.jsonl")
    written_to(real, JOB, [outcome()])
    path.symlink_to(real)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_link, "it is a link"),
        (lambda path: path.symlink_to(path.with_name("not there")), "it is a link"),
        (os.mkfifo, "it is not a plain file"),
        (os.mkdir, "it is not a plain file"),
    ],
    ids=["link", "dangling link", "FIFO", "directory"],
)
def test_only_a_plain_file_is_taken(
    path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(path)
    before = sorted(path.parent.iterdir())

    with pytest.raises(ConfigError, match=message):
        Journal.open(path, job=JOB)

    assert before == sorted(path.parent.iterdir())


def test_its_directory_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no directory .*nowhere \(make it first\)"):
        Journal.open(tmp_path / "nowhere" / "run.jsonl", job=JOB)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [252, 300])
def test_a_name_that_is_too_long_is_refused(tmp_path: Path, length: int) -> None:
    """252 characters fit, but not with the lock's ending."""
    with pytest.raises(ConfigError, match="File name too long"):
        Journal.open(tmp_path / ("x" * length), job=JOB)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("job", "error"), [("", ValueError), ("x" * 4097, ValueError), (None, TypeError)]
)
def test_a_job_has_a_name(path: Path, job: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="job must"):
        Journal.open(path, job=job)

    assert not path.exists()


def test_the_longest_job_can_be_gone_on_with(path: Path) -> None:
    for _ in range(2):
        Journal.open(path, job="\U0001f512" * 4096).close()


# ── two runs ─────────────────────────────────────────────────────────────────────────────


def test_a_second_run_is_refused_until_the_first_has_ended(path: Path) -> None:
    with (
        Journal.open(path, job=JOB) as first,
        pytest.raises(ConfigError, match="another run is using it"),
    ):
        Journal.open(path, job=JOB)
    first.close()

    Journal.open(path, job=JOB).close()


def test_a_run_that_is_refused_leaves_the_lock_free(path: Path) -> None:
    written_to(path, JOB, [])
    path.write_bytes(path.read_bytes() + b"broken\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match="line 2 is broken"):
            Journal.open(path, job=JOB)


def test_once_closed_it_takes_nothing_more(path: Path) -> None:
    journal = Journal.open(path, job=JOB)
    journal.close()

    with pytest.raises(ValueError, match="is closed"):
        journal.write(outcome())


def test_a_ctrl_c_while_the_disk_is_slow_leaves_the_lock_free(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    journal = Journal.open(path, job=JOB)
    journal.write(outcome())
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.close()

    with Journal.open(path, job=JOB) as again:
        assert again.is_done(target())
    journal.close()


def test_a_forked_child_neither_writes_nor_frees_the_lock(
    path: Path, fork: Callable[[Callable[[], object]], Any]
) -> None:
    def in_child() -> bool:
        try:
            journal.write(outcome())
        except RuntimeError:
            journal.close()
            return True
        return False

    with Journal.open(path, job=JOB) as journal:
        assert fork(in_child).said_yes()

        with pytest.raises(ConfigError, match="another run"):
            Journal.open(path, job=JOB)
        journal.write(outcome())

    assert len(rows(path)) == 2


KILLED = """
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from rolecall.fleet.results.journal import Journal
from rolecall.fleet.results.outcomes import Outcome
from rolecall.fleet.targets import Account, Target

path = Path(sys.argv[1])
journal = Journal.open(path, job=sys.argv[2])
target = Target(account=Account("111122223333"))
journal.write(
    Outcome(target=target, started=datetime.now(timezone.utc), elapsed=timedelta(seconds=1))
)
with path.open("ab") as file:
    file.write(b'{"account": "4444')
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_run_that_was_killed_is_gone_on_with(path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), JOB],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"ready\n"
            with pytest.raises(ConfigError, match="another run"):
                Journal.open(path, job=JOB)
        finally:
            other.kill()
        assert other.wait(timeout=20) == -signal.SIGKILL

    with Journal.open(path, job=JOB) as journal:
        assert journal.is_done(Target(account=Account("111122223333")))
        assert journal.done == 1
    assert len(rows(path)) == 2
