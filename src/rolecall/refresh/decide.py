"""The rulebook: what a reader gets and when a refresh is due. Pure: no clock, no lock, no I/O.

Threads, asyncio and the vectors all drive these functions::

              refresh_at         block_at          dead_at
    ──── FRESH ────┤──── STALE ────┤── CRITICAL ──┤──── EXPIRED ────
      returns at      returns; one    returns; waits    waits, then
      once, no I/O    refresh runs    at most 1 s an    raises
                      beside it       attempt first

Instants are float seconds on the boot clock; see `Instant` for why there are two of them.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from ..clock import Clock
from ..credentials import Credentials
from ..errors import CredentialsExpired, FetchError
from .policy import RefreshPolicy

#: After a rejected key was replaced, the next rejection is believed only after
#: ``2^rejections`` seconds, at most this: a revoked role rejects every new key at once.
LONGEST_DISBELIEF_SECONDS = 300.0


class Phase(str, enum.Enum):
    """How far credentials are on their way to expiry."""

    EMPTY = "empty"
    FRESH = "fresh"
    STALE = "stale"
    CRITICAL = "critical"
    EXPIRED = "expired"

    def __str__(self) -> str:
        return self.value


class Instant(NamedTuple):
    """One reading of both clocks.

    The boot clock never goes back and counts a suspended machine; but a sandbox may freeze it.
    The wall clock goes on while frozen, but people set it. Taking the later of the two means a
    clock set back never lengthens a life, and a freeze never hides one.
    """

    boot: float
    wall: float


def read(clock: Clock) -> Instant:
    """Return what both of *clock*'s hands show."""
    return Instant(clock.boottime(), clock.time())


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Credentials and the instants at which their phases begin, on the boot clock.

    Attributes:
        credentials: What readers get.
        wall_offset: Wall clock minus boot clock when they were received.
        dead_at: When AWS stops accepting them. Infinite: never.
        refresh_at: From here on a refresh is due.
        block_at: From here on readers wait for it.
        fresh_until_wall: `refresh_at` on the wall clock, to spare the hot path a subtraction.
        lifetime: Seconds from the request to `dead_at`.
        rejected: Whether a service said that the key is expired.
        generation: Counts the rotations of one refresher, from 1.
    """

    credentials: Credentials
    wall_offset: float
    dead_at: float
    refresh_at: float
    block_at: float
    fresh_until_wall: float
    lifetime: float
    rejected: bool = False
    generation: int = 1

    def now(self, instant: Instant) -> float:
        """Return the later of both clocks, on the boot clock's scale."""
        return max(instant.boot, instant.wall - self.wall_offset)

    def left(self, instant: Instant) -> float:
        """Return the seconds until expiry; 0 or less: expired or rejected."""
        return 0.0 if self.rejected else self.dead_at - self.now(instant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last attempt's failure, and until when the source is left alone, by either clock."""

    error: BaseException
    until: float
    until_wall: float
    count: int
    permanent: bool

    def pauses(self, now: Instant) -> bool:
        """Return whether the source is to be left alone at *now*; a frozen sandbox ends it too."""
        return now.boot < self.until and now.wall < self.until_wall


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything a reader needs, in one immutable object that is published at once."""

    held: Held | None = None
    failure: Failure | None = None
    rejections: int = 0
    rejected_at: float = -math.inf


EMPTY = State()


@dataclass(frozen=True, slots=True)
class Flying:
    """A fetch that is in progress, as the rules see it.

    Attributes:
        started: When it was sent.
        limit: Seconds after which it counts as lost.
        critical_until: Until when (boot clock) critical readers wait for it. None: nobody has yet.
    """

    started: Instant
    limit: float
    critical_until: float | None = None

    def lost(self, now: Instant) -> bool:
        """Return whether it took longer than its own time-outs allow.

        By either clock: a frozen sandbox stops one of them, and its connections are dead.
        """
        return max(now.boot - self.started.boot, now.wall - self.started.wall) > self.limit

    def remaining(self, now: Instant) -> float:
        """Return the seconds after which it will count as lost."""
        return max(0.0, self.started.boot + self.limit - now.boot)


class Do(enum.Enum):
    """What a driver does for a reader."""

    SERVE = "serve"
    SERVE_AND_REFRESH = "serve and refresh"
    WAIT = "wait"
    RAISE = "raise"


class Decision(NamedTuple):
    """What to do; for `Do.WAIT` at most how long, and whether a fetch must be started first."""

    do: Do
    wait: float = 0.0
    start: bool = False


_SERVE = Decision(Do.SERVE)
_SERVE_AND_REFRESH = Decision(Do.SERVE_AND_REFRESH, start=True)
_RAISE = Decision(Do.RAISE)


def phase(held: Held | None, now: Instant) -> Phase:
    """Return how far *held* is at *now*."""
    if held is None:
        return Phase.EMPTY
    if held.rejected:
        return Phase.EXPIRED
    moment = held.now(now)
    if moment < held.refresh_at:
        return Phase.FRESH
    if moment < held.block_at:
        return Phase.STALE
    if moment < held.dead_at:
        return Phase.CRITICAL
    return Phase.EXPIRED


def decide(
    state: State, now: Instant, policy: RefreshPolicy, flying: Flying | None, fetch_limit: float
) -> Decision:
    """Return what a reader who comes at *now* gets.

    Args:
        flying: The fetch in progress, unless it is lost.
        fetch_limit: Seconds a new fetch may take.
    """
    where = phase(state.held, now)
    if where is Phase.FRESH:
        return _SERVE

    failure = state.failure
    paused = failure is not None and failure.pauses(now)
    if paused and _raised_at_once(failure, policy):
        return _RAISE
    if where is Phase.STALE:
        if flying is not None or paused:
            return _SERVE
        if policy.refresh_in == "caller":
            return Decision(Do.WAIT, _patience(policy, fetch_limit), start=True)
        return _SERVE_AND_REFRESH
    if where is Phase.CRITICAL:
        return _decide_critical(state, now, policy, flying, fetch_limit, paused)

    # EMPTY or EXPIRED: join what is in the air, or start it unless the source is left alone.
    if flying is not None:
        return Decision(Do.WAIT, flying.remaining(now))
    if paused:
        return _SERVE if where is Phase.EXPIRED and policy.on_expired == "serve" else _RAISE
    return Decision(Do.WAIT, fetch_limit, start=True)


def _decide_critical(
    state: State,
    now: Instant,
    policy: RefreshPolicy,
    flying: Flying | None,
    fetch_limit: float,
    paused: bool,
) -> Decision:
    assert state.held is not None
    left = state.held.left(now)
    if flying is None:
        if paused:
            return _SERVE
        return Decision(Do.WAIT, min(left, _patience(policy, fetch_limit)), start=True)
    if flying.critical_until is None:
        patience = _patience(policy, flying.remaining(now))
    else:
        patience = flying.critical_until - now.boot
    patience = min(left, patience)
    # Once per attempt: after the first to wait has waited in vain, nobody waits for it again.
    return Decision(Do.WAIT, patience) if patience > 0 else _SERVE


def _raised_at_once(failure: Failure | None, policy: RefreshPolicy) -> bool:
    return failure is not None and failure.permanent and policy.on_permanent_error == "raise"


def _patience(policy: RefreshPolicy, limit: float) -> float:
    if policy.critical_wait is None:
        return limit
    return min(limit, policy.critical_wait.total_seconds())


def after_waiting(state: State, now: Instant, policy: RefreshPolicy) -> Decision:
    """Return what a reader gets who has waited for a fetch, whatever became of it."""
    where = phase(state.held, now)
    if where is Phase.EMPTY:
        return _RAISE
    failure = state.failure
    if failure is not None and failure.pauses(now) and _raised_at_once(failure, policy):
        return _RAISE
    if where is Phase.EXPIRED and policy.on_expired != "serve":
        return _RAISE
    return _SERVE


def landed(
    state: State,
    credentials: Credentials,
    sent: Instant,
    now: Instant,
    policy: RefreshPolicy,
    chance: float,
) -> State:
    """Return the state after the source answered *credentials* to a request sent at *sent*.

    Raises:
        FetchError: the answer cannot be used; the state stays as it is.
    """
    held = state.held
    if credentials.expires_at is None:
        lifetime = math.inf
    else:
        expires = (credentials.expires_at - credentials.clock_offset).timestamp()
        # The clock may have been set between the request and its answer: the shorter life counts.
        lifetime = min(expires - sent.wall, expires - now.wall + now.boot - sent.boot)
    dead_at = sent.boot + lifetime
    windows = policy.windows_for(lifetime)
    refresh_at = (
        math.inf if math.isinf(dead_at) else dead_at - windows.ahead * (1 - policy.jitter * chance)
    )
    new = Held(
        credentials=credentials,
        wall_offset=now.wall - now.boot,
        dead_at=dead_at,
        refresh_at=refresh_at,
        block_at=math.inf if math.isinf(dead_at) else max(dead_at - windows.margin, refresh_at),
        fresh_until_wall=refresh_at + (now.wall - now.boot),
        lifetime=lifetime,
        generation=1 if held is None else held.generation + 1,
    )
    if new.left(now) <= 0:
        raise CredentialsExpired(
            f"the source answered credentials that expired at {credentials.expires_at}",
            context={"expires_at": str(credentials.expires_at)},
            hint="check the source, and the local clock",
        )
    if held is not None:
        _same_identity(held, new)
    return replace(state, held=new, failure=None)


def _same_identity(held: Held, new: Held) -> None:
    if held.rejected and held.credentials.access_key == new.credentials.access_key:
        raise CredentialsExpired(
            f"the source answered {new.credentials.access_key} again, which a service has rejected "
            "as expired"
        )
    before, after = held.credentials.account_id, new.credentials.account_id
    if before and after and before != after:
        raise FetchError(
            f"the source answered credentials of account {after}; this session is of {before}",
            hint="make a new session for the other account",
            retryable=False,
        )


def failed(
    state: State, error: BaseException, now: Instant, policy: RefreshPolicy, chance: float
) -> State:
    """Return the state after an attempt failed with *error*: held credentials stay."""
    count = 1 if state.failure is None else state.failure.count + 1
    permanent = getattr(error, "retryable", True) is False
    left = None if state.held is None else state.held.left(now)
    pause = policy.backoff.pause(count, left, permanent, chance)
    return replace(
        state,
        failure=Failure(
            error=error,
            until=now.boot + pause,
            until_wall=now.wall + pause,
            count=count,
            permanent=permanent,
        ),
    )


def invalidated(state: State, access_key: str, now: Instant, policy: RefreshPolicy) -> State:
    """Return the state after a service rejected *access_key* as expired.

    The same state where another key is held by now, and where rejections come so fast that new
    keys do not help: then the service's own error is the truth.
    """
    held = state.held
    if held is None or held.rejected or held.credentials.access_key != access_key:
        return state
    if held.credentials.expires_at is None:
        return state  # these do not expire: the service means something else
    disbelief = min(2.0**state.rejections, LONGEST_DISBELIEF_SECONDS) if state.rejections else 0.0
    since = now.boot - state.rejected_at
    if since < disbelief:
        return state
    calm = since > 2 * LONGEST_DISBELIEF_SECONDS
    return replace(
        state,
        # Instants in the past keep the hot path from serving it.
        held=replace(held, rejected=True, refresh_at=-math.inf, fresh_until_wall=-math.inf),
        failure=None if policy.invalidation_ends_pause else state.failure,
        rejections=1 if calm else state.rejections + 1,
        rejected_at=now.boot,
    )


def reinstated(state: State, access_key: str, now: Instant) -> State:
    """Return the state after no new credentials could be had for *access_key*, which was rejected.

    It may be good for every service but the one that rejected it; a refresh stays due.
    """
    held = state.held
    if held is None or not held.rejected or held.credentials.access_key != access_key:
        return state
    if held.now(now) >= held.dead_at:
        return state
    return replace(state, held=replace(held, rejected=False))


def expiring(state: State, expires_at: datetime, now: Instant) -> State:
    """Return *state* with held credentials that expire at *expires_at*, phases moved along.

    For those who set botocore's ``_expiry_time`` by hand, as tests of botocore programs do.
    """
    held = state.held
    if held is None:
        return state
    credentials = replace(held.credentials, expires_at=expires_at)
    left = expires_at.timestamp() - now.wall - credentials.clock_offset.total_seconds()
    dead_at = held.now(now) + left
    mortal = not math.isinf(held.dead_at)
    refresh_at = dead_at - (held.dead_at - held.refresh_at if mortal else 0.0)
    return replace(
        state,
        held=replace(
            held,
            credentials=credentials,
            dead_at=dead_at,
            refresh_at=refresh_at,
            block_at=dead_at - (held.dead_at - held.block_at if mortal else 0.0),
            fresh_until_wall=refresh_at + held.wall_offset,
            rejected=False,
        ),
        failure=None,
    )
