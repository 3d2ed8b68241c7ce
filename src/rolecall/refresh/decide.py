"""The rulebook: what a reader gets and when a refresh is due. Pure: no clock, no lock, no I/O.

Threads, asyncio and the vectors all drive these functions::

              refresh_at         block_at          dead_at
    ──── FRESH ────┤──── STALE ────┤── CRITICAL ──┤──── EXPIRED ────
      returns at      returns; one    returns; waits    waits, then
      once, no I/O    refresh runs    at most 1 s an    raises
                      beside it       attempt first

What follows from an answer, a failure or a rejection is in `rolecall.refresh.transitions`.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from .policy import RefreshPolicy
from .state import Failure, Flying, Instant, Phase, State, phase


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


def decide(
    state: State,
    now: Instant,
    policy: RefreshPolicy,
    flying: Flying | None,
    fetch_limit: float,
    *,
    stays: bool = False,
) -> Decision:
    """Return what a reader who comes at *now* gets.

    Args:
        flying: The fetch in progress, unless it is lost.
        fetch_limit: Seconds a new fetch may take.
        stays: Whether the reader is likely to be there until a fetch has ended.
    """
    where = phase(state.held, now)
    if where is Phase.FRESH:
        return _SERVE

    failure = state.failure
    paused = failure is not None and failure.pauses(now)
    if paused and _raised_at_once(failure, policy):
        return _RAISE
    if where is Phase.STALE:
        # What ended with its event loops is no failure, but others that end as soon need not begin
        # the next attempt. Later on whoever comes does, before there is nothing left to serve.
        quiet = not stays and state.abandoned is not None and state.abandoned.pauses(now)
        if flying is not None or paused or quiet:
            return _SERVE
        if policy.refresh_in == "caller":
            return Decision(Do.WAIT, _patience(policy, fetch_limit), start=True)
        return _SERVE_AND_REFRESH
    if where is Phase.CRITICAL:
        return _decide_critical(state, now, policy, flying, fetch_limit, paused)

    # EMPTY or EXPIRED: join what is in the air, or start it unless the source is left alone.
    if flying is not None:
        return Decision(Do.WAIT, flying.remaining(now))
    if failure is not None and failure.pauses(now):
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
