"""The thread driver of the refresh rules: readers never wait for a lock or for I/O needlessly."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials, Source
from ..errors import CredentialsExpired, FetchError, Unreachable
from ..fork import tell_after_fork
from . import decide as rules
from . import transitions
from .decide import Do
from .events import Listener
from .flight import (
    Abandoned,
    Flight,
    aboard,
    anew,
    asked_by,
    attended,
    on_behalf_of,
)
from .policy import DEFAULT_POLICY, RefreshPolicy
from .state import EMPTY, Flying, Instant, Phase, State, phase, read
from .telling import Teller

#: A source that hangs costs a thread each time it is asked anew: not without end.
MOST_HANGING = 4

#: Whoever waited for an abandoned flight asks for another, on a loop that still runs. Several in a
#: row can only mean that the coroutine cancels itself.
MOST_ABANDONED = 3

#: An event loop that asks again after so long is likely to be there until a fetch has ended, which
#: takes less than a second mostly.
STAYS_SECONDS = 1.0

#: A slow request may come back with a key that was replaced a rotation or two ago.
RECENT_KEYS = 4


class Refresher:
    """A `Source` that keeps the credentials of another one fresh.

    Any number of threads may read from it. It refreshes ahead of time on a short-lived daemon
    thread, has at most one call of the source in the air, and bears the source's failures for as
    long as what it holds is valid. What it guarantees is written down in the engine's explanation
    page, and its rules are in `rolecall.refresh.decide`.
    """

    def __init__(
        self,
        source: Source,
        *,
        policy: RefreshPolicy = DEFAULT_POLICY,
        clock: Clock = SYSTEM_CLOCK,
        rng: Callable[[], float] = random.random,  # noqa: TID251 - jitter, not a secret
        on_event: Listener | None = None,
        name: str = "",
    ) -> None:
        self.source = source
        self.policy = policy
        self.name: str = name or repr(source)
        self.clock = clock
        self._boottime = clock.boottime
        self._time = clock.time
        self._rng = rng
        self._teller = Teller(self.name, on_event)
        # Guards writes of _state and _flight; never held over a call. Reentrant, because the
        # garbage collector may run a finalizer that reads from this very refresher.
        self._lock = threading.RLock()
        self._state: State = EMPTY
        self._inside: int | None = None  # the thread that holds _lock
        self._flight: Flight | None = None
        self._told_expired = 0  # the last generation whose being served expired was told
        self._lost: list[Flight] = []  # those that may still answer
        self._came: WeakKeyDictionary[Any, float] = WeakKeyDictionary()  # event loop → since when
        self._recent: deque[str] = deque(maxlen=RECENT_KEYS)
        tell_after_fork(self)

    def __repr__(self) -> str:
        return f"Refresher({self.name}, {self.phase})"

    # ── reading ──────────────────────────────────────────────────────────────────────────

    def get(self) -> Credentials:
        """Return credentials that are valid now; at once unless they are about to expire.

        Raises:
            FetchError: none are valid and none can be had. The source's own error where it
                gave one, each time as a fresh exception.
        """
        return self.fresh() or self._until_known(self._get)

    def _get(self) -> Credentials:
        asked = self.ask()
        return asked if isinstance(asked, Credentials) else self._wait(*asked)

    def _until_known(self, attempt: Callable[[], Credentials]) -> Credentials:
        """Ask again after a flight was abandoned, unless all who asked for this one are gone."""
        for _ in range(MOST_ABANDONED):
            try:
                return attempt()
            except Abandoned:
                askers = asked_by.get()
                if askers is not None and askers.gone:
                    raise
        raise self.cancelled()

    def cancelled(self) -> FetchError:
        """Return what is raised where one flight after the other is abandoned."""
        return FetchError(
            f"{self.name}: the coroutine that fetches was cancelled",
            hint="whoever ends tasks must not end this one; cancel the task that waits instead",
            context={"source": self.name},
        )

    def fresh(self) -> Credentials | None:
        """Return what is held if nothing is to be done about it yet."""
        held = self._state.held
        # The hot path: one state, both clocks, no lock.
        if (
            held is not None
            and self._boottime() < held.refresh_at
            and self._time() < held.fresh_until_wall
        ):
            return held.credentials
        return None

    def ask(self, loop: Any = None, *, person: bool = True) -> Credentials | tuple[Flight, float]:
        """Return credentials, or else the flight to wait for and for how many seconds.

        A fetch that is due is started. For the drivers, which differ in how they wait only.

        Args:
            loop: The event loop of whoever asks, which no source may hold up.
            person: Whether somebody may be asked at the terminal for whoever waits on *loop*.

        Raises:
            FetchError: as `get`.
        """
        now = read(self.clock)
        state, flight = self._state, self._flight
        flying = None if flight is None or flight.as_seen.lost(now) else flight.as_seen
        if self._inside == threading.get_ident() or self._aboard(flight):
            # The source, or a finalizer in our lock, reads what it holds up: it would wait for
            # itself.
            do = rules.after_waiting(state, now, self.policy).do
            return self._outcome(state, now, do, self._asked_by_itself())
        stays = state.abandoned is not None and self._stays(loop, now)
        decision = rules.decide(state, now, self.policy, flying, self.fetch_limit, stays=stays)
        if decision.start or decision.do is Do.WAIT:
            state, flight, leader, decision, lost = self._board(now, loop, stays=stays)
            waits = decision.do is Do.WAIT
            if flight is not None and leader:
                self._take_off(flight, asked=waits, loop=loop, person=person)
            self._teller.lost(lost, self._state)
            if flight is not None and waits:
                return flight, decision.wait
        elif loop is not None and flight is not None:
            flight.askers.add(loop)  # it may be there longer than those who wait
        return self._outcome(state, now, decision.do, None)

    def _stays(self, loop: Any, now: Instant) -> bool:
        """Return whether *loop* was here a while ago already, or there is none that may end."""
        return loop is None or now.boot - self._came.setdefault(loop, now.boot) >= STAYS_SECONDS

    def _aboard(self, flight: Flight | None) -> bool:
        """Return whether the code that runs is what *flight* waits for."""
        return flight is not None and (
            flight.thread == threading.get_ident() or flight in aboard.get()
        )

    @property
    def prompts(self) -> bool:
        """Whether whoever reads now may have to wait for a person at the terminal."""
        return self._interactive and self.phase not in (Phase.FRESH, Phase.STALE)

    @property
    def _interactive(self) -> bool:
        return bool(getattr(self.source, "interactive", False))

    @property
    def fetch_limit(self) -> float:
        """Seconds after which a call of the source counts as lost."""
        own: timedelta | None = getattr(self.source, "timeout", None)
        return (own or self.policy.fetch_timeout).total_seconds()

    def _board(
        self, now: Instant, loop: Any, *, force: bool = False, stays: bool = False
    ) -> tuple[State, Flight | None, bool, rules.Decision, Flight | None]:
        """Decide under the lock, for what was true a moment ago may not be, and join or start.

        Returns the state decided on, the flight, whether the caller must let it take off, the
        decision, and a flight that was given up; tell of that one after take-off, for whoever is
        told may wait for the new one.
        """
        lost = None
        with self._guard():
            state, flight = self._state, self._flight
            if flight is not None and flight.as_seen.lost(now):
                lost, flight = flight, None
                self._flight = None
                self._lost.append(lost)
            decision = rules.decide(
                state,
                now,
                self.policy,
                None if flight is None else flight.as_seen,
                self.fetch_limit,
                stays=stays,
            )
            leader = False
            if flight is None and (decision.start or force):
                flight = self._flight = Flight(Flying(now, self.fetch_limit))
                leader = True
            if flight is not None and (leader or force or decision.do is Do.WAIT):
                flight.askers.add(asked_by.get() if loop is None else loop)
            if (
                flight is not None
                and decision.do is Do.WAIT
                and flight.as_seen.critical_until is None
                and phase(state.held, now) is Phase.CRITICAL
            ):
                flight.as_seen = replace(flight.as_seen, critical_until=now.boot + decision.wait)
        return state, flight, leader, decision, lost

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Hold the lock, and note who does."""
        with self._lock:
            before, self._inside = self._inside, threading.get_ident()
            try:
                yield
            finally:
                self._inside = before

    def _asked_by_itself(self) -> FetchError:
        return FetchError(
            f"{self.name}: the source uses the very session that it is to give credentials to",
            hint="let it use a session of its own",
            context={"source": self.name},
            retryable=False,
        )

    def _wait(self, flight: Flight, seconds: float) -> Credentials:
        self.clock.wait(flight.future, seconds)
        longer = self.longer(flight)
        if longer is not None:
            self.clock.wait(flight.future, longer)
        return self.outcome(flight)

    @property
    def flying(self) -> tuple[Flight, float] | None:
        """The fetch in progress, and for how many seconds it is waited for; None: none is."""
        flight = self._flight
        if flight is None or self._aboard(flight):
            return None
        return flight, flight.as_seen.remaining(read(self.clock))

    def longer(self, flight: Flight) -> float | None:
        """Return how many seconds more must be waited for *flight*; None: no longer.

        Held credentials may have died meanwhile; then there is nothing to serve instead.
        """
        now = read(self.clock)
        if flight.future.done() or (
            rules.after_waiting(self._state, now, self.policy).do is not Do.RAISE
        ):
            return None
        return flight.as_seen.remaining(now)

    def outcome(self, flight: Flight) -> Credentials:
        """Return what whoever waited for *flight* gets now.

        Raises:
            FetchError: as `get`.
            Abandoned: ask again.
        """
        error = flight.future.result(0) if flight.future.done() else self._unanswered(flight)
        if isinstance(error, Abandoned):
            raise Abandoned
        now = read(self.clock)
        state = self._state
        return self._outcome(state, now, rules.after_waiting(state, now, self.policy).do, error)

    def _outcome(
        self, state: State, now: Instant, do: Do, error: BaseException | None
    ) -> Credentials:
        held = state.held
        if do is Do.RAISE or held is None:
            if error is None and state.failure is not None:
                error = state.failure.error
            if error is None:
                error = self._expired(state)
            raise anew(error) from error
        if phase(held, now) is Phase.EXPIRED and self._told_expired != held.generation:
            self._told_expired = held.generation
            self._teller.expired_served(state)
        return held.credentials

    def _unanswered(self, flight: Flight) -> FetchError:
        return Unreachable(
            f"{self.name}: the source has not answered within {flight.as_seen.limit:g} s",
            context={"source": self.name},
        )

    def _expired(self, state: State) -> FetchError:
        held = state.held
        when = "" if held is None else f" at {held.credentials.expires_at}"
        return CredentialsExpired(
            f"{self.name}: the credentials expired{when}", context={"source": self.name}
        )

    # ── flying ───────────────────────────────────────────────────────────────────────────

    def _take_off(self, flight: Flight, *, asked: bool, loop: Any, person: bool = True) -> None:
        """Let *flight* begin; *asked*: somebody waits for it, on *loop* if that is not None."""
        # Only the caller's own thread may prompt a person at a terminal; an event loop's must not.
        inline = asked and self._interactive and loop is None
        flight.attended = asked and person and (loop is not None or attended.get())
        fly = partial(self._fly, flight)
        with self._guard():
            self._lost = [lost for lost in self._lost if not lost.future.done()]
            hanging = len(self._lost)
        if hanging >= MOST_HANGING:
            self._keep_on_the_ground(
                flight,
                f"{hanging} calls of the source hang; it is not asked again until one of them ends",
            )
            return
        # A thread started while the interpreter goes down may never run, and its starter would
        # wait for it for ever (3.10, 3.11) or get RuntimeError (3.12 on): then fly right here.
        if not (inline or sys.is_finalizing()):
            with contextlib.suppress(RuntimeError):
                threading.Thread(target=fly, name="rolecall-refresh", daemon=True).start()
                return
        if loop is None:
            fly()
        else:
            self._keep_on_the_ground(flight, "no thread can be started, so the source is not asked")

    def _keep_on_the_ground(self, flight: Flight, why: str) -> None:
        error = Unreachable(f"{self.name}: {why}", context={"source": self.name})
        self._crash(flight, error)
        flight.future.set_result(error)

    def _fly(self, flight: Flight) -> None:
        flight.thread = threading.get_ident()
        error: BaseException | None = None
        interrupted: BaseException | None = None
        on_board = aboard.set((*aboard.get(), flight))
        try:
            with on_behalf_of(flight.askers, person=flight.attended):
                credentials = self.source.get()
            if not isinstance(credentials, Credentials):
                raise FetchError(
                    f"{self.name}: the source answered {type(credentials).__name__}, "
                    "not Credentials",
                    retryable=False,
                )
            self._land(flight, credentials)
        except Abandoned as caught:
            error = caught
            self._abandon(flight)
        except BaseException as caught:
            # Whatever a source raises, those who wait must hear of it; no word of what is not for
            # them, whose text nobody has looked through for secrets.
            error = caught
            if not isinstance(caught, Exception):
                interrupted = caught
                error = anew(caught)
            self._crash(flight, error)
        finally:
            aboard.reset(on_board)
            flight.thread = None
            flight.future.set_result(error)
        if interrupted is not None and threading.current_thread() is threading.main_thread():
            raise interrupted

    def _land(self, flight: Flight, credentials: Credentials) -> None:
        sent = flight.as_seen.started
        chance = self._rng()
        with self._guard():
            now = read(self.clock)
            late = self._flight is not flight
            before = self._state
            state = transitions.landed(before, credentials, sent, now, self.policy, chance)
            assert state.held is not None
            if late and before.held is not None and state.held.dead_at <= before.held.dead_at:
                state = before
            self._state = state
            if not late:
                self._flight = None
        if late:
            self._teller.late_answer(state)
        if state is not before:
            self._recent.append(credentials.access_key)
            self._teller.refreshed(state)

    def _crash(self, flight: Flight, error: BaseException) -> None:
        chance = self._rng()
        with self._guard():
            now = read(self.clock)
            if self._flight is not flight:
                return  # lost long ago; another one speaks for the source now
            state = self._state = transitions.failed(self._state, error, now, self.policy, chance)
            self._flight = None
        assert state.failure is not None
        self._teller.failed(state, now)

    def _abandon(self, flight: Flight) -> None:
        chance = self._rng()
        with self._guard():
            if self._flight is flight:
                self._flight = None
                self._state = transitions.abandoned(self._state, read(self.clock), chance)

    # ── steering ─────────────────────────────────────────────────────────────────────────

    def refresh(self) -> Credentials:
        """Fetch new credentials now, or join the fetch in progress, and return them.

        Raises:
            FetchError: the source failed. What is held stays in use.
        """
        return self._until_known(self._refresh)

    def _refresh(self) -> Credentials:
        flight, seconds = self.start()
        self.clock.wait(flight.future, seconds)
        self.check(flight)
        return self.get()

    def start(self, loop: Any = None) -> tuple[Flight, float]:
        """Start a fetch, or join the one in progress; return it and how long to wait for it.

        Raises:
            FetchError: the source itself asks.
        """
        now = read(self.clock)
        if self._aboard(self._flight):
            raise self._asked_by_itself()
        _, flight, leader, _, lost = self._board(now, loop, force=True)
        assert flight is not None
        if leader:
            self._take_off(flight, asked=True, loop=loop)
        self._teller.lost(lost, self._state)
        return flight, flight.as_seen.remaining(now)

    def check(self, flight: Flight) -> None:
        """Raise what became of *flight*, unless it brought credentials.

        Raises:
            FetchError: the source failed, or has not answered.
            Abandoned: ask again.
        """
        error = flight.future.result(0) if flight.future.done() else self._unanswered(flight)
        if isinstance(error, Abandoned):
            raise Abandoned
        if error is not None:
            raise anew(error) from error

    def invalidate(self, access_key: str) -> bool:
        """Count the held credentials as expired if their key is *access_key*.

        For a service that answered that the key is expired while it should not be. Returns
        whether new credentials will be fetched; False where another key is held by now.
        """
        with self._guard():
            before = self._state
            now = read(self.clock)
            self._state = state = transitions.invalidated(before, access_key, now, self.policy)
        if state is before:
            return False
        reject: Callable[[str], object] | None = getattr(self.source, "reject", None)
        if reject is not None:
            reject(access_key)
        self._teller.invalidated(state, access_key)
        return True

    def reinstate(self, access_key: str) -> None:
        """Take *access_key* back, which was invalidated, because nothing newer can be had."""
        with self._guard():
            now = read(self.clock)
            self._state = transitions.reinstated(self._state, access_key, now)

    def set_expiry(self, expires_at: datetime) -> None:
        """Let the held credentials expire at *expires_at*: for tests of programs on botocore."""
        with self._guard():
            self._state = transitions.expiring(self._state, expires_at, read(self.clock))

    # ── looking ──────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> State:
        """The state now: an immutable snapshot."""
        return self._state

    @property
    def recent_keys(self) -> Collection[str]:
        """The access key ids of the last few rotations, the current one included."""
        return tuple(self._recent)

    @property
    def phase(self) -> Phase:
        """How far the held credentials are on their way to expiry."""
        return phase(self._state.held, read(self.clock))

    @property
    def remaining(self) -> timedelta | None:
        """How long the held credentials still live. None: none are held, or they never expire."""
        held = self._state.held
        if held is None or held.credentials.expires_at is None:
            return None
        return timedelta(seconds=max(0.0, held.left(read(self.clock))))

    def after_fork(self) -> None:
        """Forget the parent's lock and flight; called in a forked child."""
        self._lock = threading.RLock()
        self._inside = None
        self._flight = None
        self._lost = []
