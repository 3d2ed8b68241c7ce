"""Chunks of a run on an executor: what goes out, what comes back, and what is left."""

from __future__ import annotations

import pickle
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import workers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scripted import START, Scripted, Truthful

from rolecall.clock import SYSTEM_CLOCK, Clock
from rolecall.errors import StoreError
from rolecall.fleet import fan_out
from rolecall.fleet.results.outcomes import Outcome
from rolecall.fleet.run import FanOut
from rolecall.fleet.running.orders import OrdersFile
from rolecall.fleet.running.travel import packed_bytes
from rolecall.fleet.running.worker import Report, Share, run_chunk
from rolecall.fleet.targets import Account
from rolecall.testing import StrictCloud

REGIONS = ("eu-west-1", "eu-west-2", "us-east-1", "us-west-2", "ap-south-1", "sa-east-1")


def accounts(number: int) -> list[str]:
    return [f"{111111111111 + one:012d}" for one in range(number)]


@pytest.fixture(scope="module")
def cloud_clock() -> Clock:
    """Workers have the system's."""
    return SYSTEM_CLOCK


@pytest.fixture
def base(cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """A session of a user of the environment, which workers have as well."""
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return boto3.Session()


def scripted_run(base: boto3.Session, executor: Scripted, number: int, **options: Any) -> FanOut:
    options = {"chunk_size": 10, **options}
    return fan_out(
        base, accounts(number), role="Reader", executor=executor, clock=executor, **options
    )


def all_of(run: FanOut) -> list[Outcome]:
    with run:
        return list(run.map(workers.account_of))


def counted(run: FanOut) -> int:
    summary = run.summary
    return summary.ok + summary.failures + summary.skipped + len(summary.not_run)


# ── whatever happens, all targets are accounted for ──────────────────────────────────────


def _pick(executor: Scripted, number: int) -> Any:
    return executor.out[number % len(executor.out)]


def _stops(executor: Scripted, run: FanOut, *, hard: bool) -> None:
    executor.stopped = True
    if hard:
        run.kill()
    else:
        run.stop()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "ends",
                "fails",
                "fails",
                "begins",
                "dies",
                "cancelled",
                "partly",
                "breaks",
                "stops",
                "kills",
                "late",
                "refuses",
            ]
        ),
        st.integers(0, 9),
    ),
    max_size=12,
)


def step(run: Callable[[], FanOut], what: str, number: int) -> Callable[[Scripted], None]:
    """Return what makes one thing happen."""

    def do(executor: Scripted) -> None:
        chunk = _pick(executor, number)
        if what == "ends":
            chunk.ends()
        elif what == "fails":
            chunk.ends(failing=1 + number % 3)
        elif what == "begins":
            if not chunk.future.running():
                chunk.future.set_running_or_notify_cancel()
        elif what == "dies":
            chunk.dies(MemoryError("in the worker"))
        elif what == "cancelled":
            chunk.future.cancel()
        elif what == "partly":
            chunk.ends(not_run=1, stopped="deadline")
        elif what == "breaks":
            executor.breaks(BrokenExecutor("a worker died"))
        elif what == "stops":
            _stops(executor, run(), hard=False)
        elif what == "kills":
            _stops(executor, run(), hard=True)
        elif what == "late":
            executor.passes(45)
        elif number % 2:
            executor.refusals.append(RuntimeError("cannot schedule new futures after shutdown"))
        else:
            executor.refusals.append(TypeError("cannot pickle what was submitted"))

    return do


def test_all_targets_are_accounted_for_in_whatever_order_chunks_end(base: boto3.Session) -> None:
    @given(
        sizes=st.lists(st.integers(1, 5), min_size=1, max_size=25),
        max_workers=st.integers(1, 12),
        chunk_size=st.integers(1, 8),
        tolerance=st.none() | st.integers(0, 6),
        deadline=st.none() | st.just(100),
        script=STEPS,
        truthful=st.booleans(),
    )
    @example([1] * 25, 11, 8, None, None, [], False)
    @example([1] * 25, 4, 4, None, None, [("refuses", 0)], True)
    @example([5] * 5, 2, 2, 0, 100, [("late", 0), ("late", 0), ("late", 0)], True)
    @settings(max_examples=80)
    def law(
        sizes: list[int],
        max_workers: int,
        chunk_size: int,
        tolerance: int | None,
        deadline: int | None,
        script: list[tuple[str, int]],
        truthful: bool,
    ) -> None:
        ids = accounts(len(sizes))
        kind = Truthful if truthful else Scripted
        executor = kind(step(lambda: run, *one) for one in script)
        run = fan_out(
            base,
            ids,
            role="Reader",
            regions={one: REGIONS[:size] for one, size in zip(ids, sizes, strict=True)},
            executor=executor,
            clock=executor,
            max_workers=max_workers,
            chunk_size=chunk_size,
            failure_tolerance=tolerance,
            deadline=deadline,
        )
        outcomes: list[Outcome] = []
        refused = False
        try:
            with run:
                outcomes.extend(run.map(workers.account_of))
        except (RuntimeError, TypeError):
            refused = True

        assert sum(sizes) == counted(run)
        seen = Counter(str(one.target) for one in outcomes)
        seen.update(map(str, run.summary.not_run))
        assert max(seen.values(), default=1) == 1
        if not refused:
            assert sum(sizes) == len(seen)
        assert executor.most_at_once <= max_workers
        sent = Counter(errand.account.id for chunk in executor.sent for errand in chunk.errands)
        assert max(sent.values(), default=1) == 1
        assert not executor.late
        assert bool(run.summary.not_run) == (run.summary.stopped is not None)

    law()


@pytest.mark.parametrize(
    ("max_workers", "chunk_size"), [(20, 10), (15, 10), (11, 10), (5, 10), (8, 3), (1, 10), (7, 1)]
)
def test_no_more_targets_are_out_than_max_workers(
    base: boto3.Session, max_workers: int, chunk_size: int
) -> None:
    executor = Scripted()

    all_of(scripted_run(base, executor, 40, max_workers=max_workers, chunk_size=chunk_size))

    assert executor.most_at_once <= max_workers
    assert executor.most_at_once > max_workers // 2


@pytest.mark.parametrize(("max_workers", "chunk_size"), [(20, 10), (15, 10), (5, 10), (7, 2)])
def test_accounts_are_sent_no_faster_than_the_sts_rate(
    base: boto3.Session, max_workers: int, chunk_size: int
) -> None:
    """Whatever processes take them: each of them may have rested until then."""
    executor = Scripted(ticks=True)
    rate = 5

    all_of(
        scripted_run(
            base, executor, 40, max_workers=max_workers, chunk_size=chunk_size, sts_rate=rate
        )
    )

    first = executor.sent[0].sent_at
    before = 0
    for chunk in executor.sent:
        assert before <= rate * (chunk.sent_at - first) + 0.001
        before += len(chunk.errands)
    assert before == 40
    assert {True} == {(chunk.travelling.rate or 99) <= rate for chunk in executor.sent}


def test_an_account_with_more_regions_than_a_chunk_has_places_goes_alone_and_whole(
    base: boto3.Session,
) -> None:
    executor = Scripted()
    run = fan_out(
        base,
        accounts(3),
        role="Reader",
        regions=REGIONS,
        executor=executor,
        clock=executor,
        chunk_size=4,
        max_workers=8,
    )

    outcomes = all_of(run)

    assert [len(chunk.targets) for chunk in executor.sent] == [6, 6, 6]
    assert len(outcomes) == 18


def test_accounts_share_a_chunk_as_long_as_their_targets_fit(base: boto3.Session) -> None:
    executor = Scripted()
    run = fan_out(
        base,
        accounts(5),
        role="Reader",
        regions=REGIONS[:3],
        executor=executor,
        clock=executor,
        chunk_size=6,
        max_workers=12,
    )

    all_of(run)

    assert [len(chunk.targets) for chunk in executor.sent] == [6, 6, 3]


# ── executors that take nothing, or lose what they took ──────────────────────────────────


def test_an_executor_that_is_shut_down_runs_nothing_and_says_so(
    base: boto3.Session, tmp_path: Path
) -> None:
    executor = Scripted()
    executor.refusals.append(RuntimeError("cannot schedule new futures after shutdown"))
    journal = tmp_path / "run.jsonl"
    run = scripted_run(base, executor, 30, journal=journal)

    with pytest.raises(RuntimeError, match="after shutdown"):
        all_of(run)

    assert run.summary.stopped == "executor"
    assert accounts(30) == [target.account.id for target in run.summary.not_run]
    all_of(scripted_run(base, Scripted(), 30, journal=journal))  # nobody has it any more


@pytest.mark.parametrize("error", [TypeError("cannot pickle"), OSError("no more processes")])
def test_a_chunk_that_cannot_be_submitted_is_not_run(base: boto3.Session, error: Exception) -> None:
    executor = Scripted([lambda executor: executor.refusals.append(error)])
    run = scripted_run(base, executor, 40, max_workers=10)
    executor.refusals.clear()

    with pytest.raises(type(error)):
        all_of(run)

    assert counted(run) == 40
    assert run.summary.stopped == "executor"


def test_a_broken_executor_fails_what_was_out_and_leaves_the_rest(base: boto3.Session) -> None:
    executor = Scripted([lambda executor: executor.breaks(BrokenExecutor("a worker died"))])
    run = scripted_run(base, executor, 50, max_workers=20)

    outcomes = all_of(run)

    assert {("executor", "BrokenExecutor")} == {
        (one.error.kind, one.error.type) for one in outcomes if one.error is not None
    }
    assert len(outcomes) == 20
    assert accounts(50)[20:] == [target.account.id for target in run.summary.not_run]
    assert run.summary.stopped == "executor"


def test_one_chunk_that_dies_does_not_stop_the_others(base: boto3.Session) -> None:
    executor = Scripted([lambda executor: executor.out[0].dies(MemoryError("no room"))])
    run = scripted_run(base, executor, 50)

    outcomes = all_of(run)

    assert run.summary.ok == 40
    assert run.summary.failed == {"executor": 10}
    died = next(one.error for one in outcomes if one.error is not None)
    assert (died.type, died.message) == ("MemoryError", "no room")
    assert None is run.summary.stopped


def test_chunks_that_somebody_else_cancels_are_not_run(base: boto3.Session) -> None:
    executor = Scripted([lambda executor: _cancel(executor.out[0].future)])
    run = scripted_run(base, executor, 50)

    outcomes = all_of(run)

    assert len(outcomes) == 40
    assert accounts(10) == [target.account.id for target in run.summary.not_run]


def _cancel(future: Future[Report]) -> None:
    future.cancel()


def test_a_value_that_cannot_be_unpickled_here_is_that_targets_failure_only(
    base: boto3.Session,
) -> None:
    # As that of a class which only the worker can import.
    strange = pickle.dumps(workers.account_of).replace(b"workers", b"strange")
    executor = Scripted([lambda executor: executor.out[0].ends(value=strange)])
    run = scripted_run(base, executor, 40)

    outcomes = all_of(run)

    assert run.summary.failed == {"executor": 10}
    assert run.summary.ok == 30
    error = next(one.error for one in outcomes if one.error is not None)
    assert error is not None
    assert error.type == "ModuleNotFoundError"


def test_a_journal_that_cannot_be_written_ends_the_run(
    base: boto3.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    def end_with_a_full_disk(executor: Scripted) -> None:
        monkeypatch.setattr("os.write", full)
        executor.out[0].ends()

    executor = Scripted([end_with_a_full_disk])
    run = scripted_run(base, executor, 60, journal=tmp_path / "run.jsonl", max_workers=10)

    with pytest.raises(StoreError, match="No space left"):
        all_of(run)

    monkeypatch.undo()
    # The journal has a success when its reader comes for the next: until then, there is room for
    # some more chunks, but not for all.
    assert run.summary.not_run
    assert counted(run) == 60
    assert run.summary.stopped == "journal"


# ── stopping ─────────────────────────────────────────────────────────────────────────────


def test_the_third_failure_of_two_that_are_tolerated_sends_nothing_more(
    base: boto3.Session,
) -> None:
    executor = Scripted([lambda executor: executor.out[0].ends(failing=3)])
    run = scripted_run(base, executor, 100, failure_tolerance=2, max_workers=20)

    outcomes = all_of(run)

    assert run.summary.stopped == "tolerance"
    assert len(executor.sent) == 2
    assert len(outcomes) + len(run.summary.not_run) == 100
    assert run.summary.failed == {"function": 3}


def test_a_chunk_may_fail_as_often_as_the_run_still_may(base: boto3.Session) -> None:
    executor = Scripted(
        [
            lambda executor: executor.out[0].ends(failing=2),
            lambda executor: executor.out[0].ends(failing=1),
        ]
    )

    all_of(scripted_run(base, executor, 40, failure_tolerance=5, max_workers=10))

    assert [chunk.share.tolerance for chunk in executor.sent] == [5, 3, 2, 2]


def test_stopping_takes_back_what_no_worker_has_begun(base: boto3.Session) -> None:
    def stop(executor: Scripted) -> None:
        executor.out[0].future.set_running_or_notify_cancel()
        run.stop()

    executor = Truthful([stop])
    run = scripted_run(base, executor, 50, max_workers=20)

    outcomes = all_of(run)

    assert accounts(10) == [one.account.id for one in outcomes]
    assert accounts(50)[10:] == sorted(target.account.id for target in run.summary.not_run)
    assert run.summary.stopped == "interrupted"


def test_what_may_run_though_it_says_that_it_was_cancelled_is_waited_for(
    base: boto3.Session,
) -> None:
    """As on dask, where a future is never running."""
    executor = Scripted([lambda executor: run.stop()])
    run = scripted_run(base, executor, 50, max_workers=20)

    outcomes = all_of(run)

    assert accounts(20) == [one.account.id for one in outcomes]
    assert len(run.summary.not_run) == 30


def test_a_deadline_takes_back_what_waits_in_the_executor_though_all_is_sent(
    base: boto3.Session,
) -> None:
    def too_late(executor: Scripted) -> None:
        executor.out[0].future.set_running_or_notify_cancel()
        executor.passes(61)

    executor = Truthful([too_late])
    run = scripted_run(base, executor, 20, max_workers=20, deadline=60)

    outcomes = all_of(run)

    assert accounts(10) == [one.account.id for one in outcomes]
    assert accounts(20)[10:] == [target.account.id for target in run.summary.not_run]
    assert run.summary.stopped == "deadline"


def test_a_chunk_that_ran_out_of_time_by_itself_ended_by_the_deadline(
    base: boto3.Session,
) -> None:
    def partly(executor: Scripted) -> None:
        executor.passes(59)  # by this machine's clock
        executor.out[0].ends(not_run=4, stopped="deadline")

    executor = Scripted([partly])
    run = scripted_run(base, executor, 5, deadline=60)

    outcomes = all_of(run)

    assert len(outcomes) == 1
    assert len(run.summary.not_run) == 4
    assert run.summary.stopped == "deadline"


def test_a_chunk_has_the_time_that_the_run_has_left(base: boto3.Session) -> None:
    def slowly(executor: Scripted) -> None:
        executor.passes(25)
        executor.out[0].ends()

    executor = Scripted([slowly, slowly])

    all_of(scripted_run(base, executor, 25, deadline=60, max_workers=10))

    assert [chunk.seconds for chunk in executor.sent] == [60, 35, 10]


def test_kill_ends_the_wait_for_an_executor_that_never_runs_anything(
    base: boto3.Session,
) -> None:
    def begin_and_kill(executor: Scripted) -> None:
        executor.out[0].future.set_running_or_notify_cancel()
        run.kill()

    executor = Truthful([begin_and_kill])
    run = scripted_run(base, executor, 50, max_workers=20)

    outcomes = all_of(run)

    assert accounts(10) == [one.account.id for one in outcomes]
    assert {("executor", "Interrupted")} == {
        (one.error.kind, one.error.type) for one in outcomes if one.error is not None
    }
    assert len(run.summary.not_run) == 40


def test_what_is_killed_is_not_said_to_have_not_run_where_that_is_not_known(
    base: boto3.Session,
) -> None:
    executor = Scripted([lambda executor: run.kill()])
    run = scripted_run(base, executor, 50, max_workers=20)

    outcomes = all_of(run)

    assert accounts(20) == [one.account.id for one in outcomes]
    assert run.summary.failed == {"executor": 20}
    assert len(run.summary.not_run) == 30


def test_a_second_ctrl_c_ends_the_wait_for_a_worker_that_hangs(base: boto3.Session) -> None:
    def hang(executor: Scripted) -> None:
        for chunk in executor.out:
            if not chunk.future.running():
                chunk.future.set_running_or_notify_cancel()
        if not run._driver._wanted:  # type: ignore[union-attr] # nobody reads: the block is left
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:
            begun.set()

    begun = threading.Event()
    executor = _Hanging([hang] * 50)
    run = scripted_run(base, executor, 50, max_workers=20)

    with pytest.raises(KeyboardInterrupt), run:  # noqa: PT012 - it is the block that is left
        run.map(workers.account_of)
        assert begun.wait(10)
        raise KeyboardInterrupt

    assert run.summary.failed == {"executor": 20}
    assert len(run.summary.not_run) == 30


class _Hanging(Truthful):
    """Takes a step, then waits for whatever else happens."""

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        if super().wait(future, timeout):
            return True
        woken = threading.Event()
        future.add_done_callback(lambda _: woken.set())
        return woken.wait(10)


def test_a_worker_that_tells_nothing_of_a_target_has_lost_it(base: boto3.Session) -> None:
    def forgetful(executor: Scripted) -> None:
        chunk = executor.out[0]
        chunk.future.set_running_or_notify_cancel()
        told = Outcome(target=chunk.targets[0], started=START, elapsed=timedelta(0))
        chunk.future.set_result(
            Report(outcomes=[(told, b"")], not_run=chunk.targets[1:2], stopped=None, found={})
        )

    run = scripted_run(base, Scripted([forgetful]), 4, max_workers=4)

    outcomes = all_of(run)

    assert {("executor", "Silence")} == {
        (one.error.kind, one.error.type) for one in outcomes if one.error is not None
    }
    assert (run.summary.ok, run.summary.failures, len(run.summary.not_run)) == (1, 2, 1)
    assert not run.summary.all_ok


@pytest.mark.parametrize("order", ["stop", "kill"])
def test_chunks_that_are_out_are_told_by_the_orders_file(base: boto3.Session, order: str) -> None:
    seen: list[str | None] = []

    def look(executor: Scripted) -> None:
        seen.append(OrdersFile(executor.sent[0].share.orders).given())
        executor.out[0].ends()

    def stop(executor: Scripted) -> None:
        look(executor)
        run.stop()

    run = scripted_run(base, executor := Scripted([stop, look]), 50, max_workers=20)
    all_of(run)
    if order == "kill":
        run = scripted_run(base, executor := Scripted([lambda _: run.kill()]), 50)
        all_of(run)
        orders = OrdersFile(executor.sent[0].share.orders)
        assert orders.given() == "kill"  # it stays: who was given up has yet to see it
        orders.remove()
    else:
        assert seen == [None, "stop"]
        assert not Path(executor.sent[0].share.orders).parent.exists()


# ── in the worker ────────────────────────────────────────────────────────────────────────


def one_chunk(
    base: boto3.Session, function: Callable[..., Any], number: int, **options: Any
) -> tuple[Any, ...]:
    """Return what an executor is given for *function*."""
    given: list[tuple[Any, ...]] = []

    class Recording(Scripted):
        def submit(self, function: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
            given.append(arguments)
            return super().submit(function, *arguments)

    executor = Recording()
    with scripted_run(base, executor, number, **options) as run:
        list(run.map(function))
    return given[0]


def test_ctrl_c_in_a_worker_process_stops_its_chunk_and_brings_back_what_ran(
    base: boto3.Session,
) -> None:
    sent = one_chunk(base, _interrupts, 1, max_workers=1)
    several = one_chunk(base, workers.account_of, 5, max_workers=5)
    # One thread, and five accounts.
    given: list[Any] = [
        more if isinstance(more, tuple) else one for one, more in zip(sent, several, strict=True)
    ]

    report = run_chunk(*given)

    assert len(report.outcomes) == 1
    assert len(report.not_run) == 4


def _interrupts(session: boto3.Session) -> None:
    """Do what the terminal does to all its processes, and wait until this one has seen it."""
    seen = threading.Event()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    seen.wait(0.2)


def given_with(base: boto3.Session, **changes: Any) -> list[Any]:
    """Return what a worker with one thread is given: five accounts that all fail."""
    sent = one_chunk(base, workers.fails, 1, max_workers=1)
    several = one_chunk(base, workers.fails, 5, max_workers=5)
    given: list[Any] = [
        more if isinstance(more, tuple) else one for one, more in zip(sent, several, strict=True)
    ]
    return [replace(one, **changes) if isinstance(one, Share) else one for one in given]


def test_a_worker_stops_a_chunk_in_which_too_many_fail(base: boto3.Session) -> None:
    report = run_chunk(*given_with(base, tolerance=1))

    assert len(report.outcomes) == 2
    assert len(report.not_run) == 3
    assert report.stopped == "tolerance"


def test_a_worker_in_which_too_many_fail_stops_all_others(base: boto3.Session) -> None:
    orders = OrdersFile.new()

    first = run_chunk(*given_with(base, tolerance=1, orders=orders.path))
    second = run_chunk(*given_with(base, tolerance=1, orders=orders.path))
    given = orders.given()
    orders.remove()

    assert (len(first.outcomes), given) == (2, "stop")
    assert (list(second.outcomes), len(second.not_run)) == ([], 5)
    assert second.stopped == "interrupted"


def test_a_worker_opens_its_session_anew_when_what_is_around_it_has_changed(
    base: boto3.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from rolecall.fleet.running import worker

    opened: list[Any] = []
    before = worker.Travelling.opener
    monkeypatch.setattr(
        worker.Travelling, "opener", lambda self: opened.append(self) or before(self)
    )
    monkeypatch.setattr(worker, "_opened", type(worker._opened)(4))
    sent = one_chunk(base, workers.region_of, 1)

    run_chunk(*sent)
    run_chunk(*sent)
    assert len(opened) == 1
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    run_chunk(*sent)
    assert len(opened) == 2


def test_a_run_after_one_that_was_killed_has_sessions_of_its_own(base: boto3.Session) -> None:
    orders = OrdersFile.new()
    orders.give("kill")
    sent = one_chunk(base, workers.region_of, 1)
    killed = [replace(one, orders=orders.path) if isinstance(one, Share) else one for one in sent]

    first = run_chunk(*killed)
    orders.remove()
    second = run_chunk(*sent)

    assert (list(first.outcomes), len(first.not_run)) == ([], 1)
    assert [outcome.error for outcome, _ in second.outcomes] == [None]


def test_a_chunk_that_begins_after_the_deadline_runs_nothing(base: boto3.Session) -> None:
    report = run_chunk(*given_with(base, until=1_000.0))

    assert list(report.outcomes) == []
    assert accounts(5) == [target.account.id for target in report.not_run]
    assert report.stopped == "deadline"


def test_values_come_back_as_bytes_and_a_bad_one_is_a_failure(base: boto3.Session) -> None:
    sent = one_chunk(base, _lock_or_region, 2)

    report = run_chunk(*sent)

    ended = {outcome.account.id: (outcome.error, value) for outcome, value in report.outcomes}
    error, value = ended[accounts(2)[1]]
    assert value == b""
    assert error is not None
    assert error.kind == "executor"
    error, value = ended[accounts(2)[0]]
    assert error is None
    assert pickle.loads(value) == "eu-west-1"


def _lock_or_region(session: boto3.Session, target: Any) -> Any:
    return session.region_name if target.account.id == accounts(1)[0] else threading.Lock()


class Meets:
    """Something that two threads can only unpickle together."""

    barrier = threading.Barrier(2)

    def __reduce__(self) -> Any:
        return _meet, ()


def _meet() -> str:
    Meets.barrier.wait(10)
    return "met"


def test_two_chunks_that_begin_together_in_one_process_share_its_sessions(
    base: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    sent = one_chunk(base, workers.region_of, 2, chunk_size=1)
    from rolecall.fleet.running import worker

    arrived = threading.Semaphore(0)
    before = worker.Travelling.opener

    def opener(self: Any) -> Any:
        opened.append(self)
        arrived.release()
        # As long as opening takes: the other one comes in between, or waits for this one.
        arrived.acquire(timeout=0.3)
        return before(self)

    monkeypatch.setattr(worker.Travelling, "opener", opener)
    monkeypatch.setattr(worker, "_opened", type(worker._opened)(4))
    both = threading.Barrier(2)

    def run() -> Report:
        both.wait(10)
        return run_chunk(*sent)

    with ThreadPoolExecutor(2) as pool:
        reports = [one.result(20) for one in (pool.submit(run), pool.submit(run))]

    assert [len(report.outcomes) for report in reports] == [1, 1]
    assert len(opened) == 1


def test_the_account_as_such_stands_for_regions_that_were_never_asked_for(
    base: boto3.Session,
) -> None:
    executor = Scripted([lambda executor: executor.out[0].dies(MemoryError("no room"))])
    run = scripted_run(base, executor, 3, regions="enabled")

    outcomes = all_of(run)

    assert [(one, None) for one in accounts(3)] == [
        (outcome.account.id, outcome.region) for outcome in outcomes
    ]


def test_what_is_sent_of_an_account_is_small(base: boto3.Session) -> None:
    named = [Account(one, name=f"team-{one}", ou_path="/prod/eu") for one in accounts(10)]
    executor = Scripted()
    with fan_out(
        base, named, role="Reader", executor=executor, clock=executor, chunk_size=10
    ) as run:
        list(run.map(workers.account_of))
    (chunk,) = executor.sent

    errands = len(pickle.dumps((chunk.errands, chunk.share)))
    common = len(packed_bytes(chunk.travelling, "it", ""))

    assert errands / 10 < 600
    assert common < 3_000
