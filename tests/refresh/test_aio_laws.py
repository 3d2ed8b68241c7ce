"""One law of the asyncio driver, over any mixture of loops that end and tasks that give up."""

from __future__ import annotations

from concurrent.futures import Future

from drivers import settle
from hypothesis import example, given, settings
from hypothesis import strategies as st
from programs import Program, run

from rolecall import Credentials
from rolecall.refresh import Refresher
from rolecall.refresh.aio import AsyncRefresher, awaited, until_done
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.clock import PATIENCE_SECONDS

PROGRAMS = 3

#: Which program a reader is in, and whether it gives up.
READERS = st.lists(st.tuples(st.integers(0, PROGRAMS - 1), st.booleans()), min_size=1, max_size=8)


class Held:
    """A source that answers once it is let: from a thread, or on the loops of those who wait."""

    def __init__(self, clock: FakeClock, *, on_loops: bool) -> None:
        self.made = FakeSource(clock)
        self.let: Future[None] = Future()
        self._on_loops = on_loops

    def get(self) -> Credentials:
        if self._on_loops:
            return awaited(self._fetch)
        self.let.result(PATIENCE_SECONDS)
        return self.made.get()

    async def _fetch(self) -> Credentials:
        await until_done(self.let, PATIENCE_SECONDS)
        return self.made.get()


@settings(max_examples=40)
@given(READERS, st.lists(st.integers(0, PROGRAMS - 1), unique=True), st.booleans())
@example([(0, True), (0, False)], [], False)
@example([(0, False), (1, False), (2, True)], [0, 1], True)
@example([(0, False), (1, False), (2, False)], [2, 1, 0], True)
def test_whoever_is_left_gets_the_one_answer_whoever_gave_up_and_whatever_loops_ended(
    readers: list[tuple[int, bool]], ending: list[int], on_loops: bool
) -> None:
    clock = FakeClock()
    source = Held(clock, on_loops=on_loops)
    session = AsyncRefresher(Refresher(source, clock=clock, rng=lambda: 0.0, name="the session"))
    programs = [Program() for _ in range(PROGRAMS)]
    started = []
    for number, (program, _) in enumerate(readers, 1):
        started.append(programs[program].start(session.get))
        clock.wait_for_waiters(number)

    for (program, gives_up), reader in zip(readers, started, strict=True):
        if gives_up:
            programs[program].cancel(reader)
    for program in ending:
        programs[program].end()
    source.let.set_result(None)

    stayed = [
        reader
        for (program, gives_up), reader in zip(readers, started, strict=True)
        if not gives_up and program not in ending
    ]
    got = [reader.result(PATIENCE_SECONDS) for reader in stayed]
    assert all(one is got[0] for one in got)
    assert sum(reader.cancelled() for reader in started) == len(started) - len(stayed)
    settle(session.refresher)
    assert session.refresher.state.failure is None
    assert run(session.get()).access_key == "ASIAFAKE000000000001"
    assert source.made.calls == 1
    for program in programs:
        if not program.loop.is_closed():
            program.end()
