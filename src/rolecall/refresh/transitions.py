"""What follows from an answer, a failure or a rejection: the next state. Pure, like `decide`."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

from ..credentials import Credentials
from ..errors import CredentialsExpired, FetchError
from .policy import ExponentialBackoff, RefreshPolicy
from .state import Abandonment, Failure, Held, Instant, State

#: After a rejected key was replaced, the next rejection is believed only after
#: ``2^rejections`` seconds, at most this: a revoked role rejects every new key at once.
LONGEST_DISBELIEF_SECONDS = 300.0

#: Whatever the policy: it is not the source that failed.
_ABANDONED = ExponentialBackoff()

#: A source that hands out what is old already is asked again no sooner than that.
SOONEST_REFRESH_SECONDS = 30.0


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
    # Of a session that somebody else fetched a while ago, the whole life counts, as it does for
    # them; but never is what has just landed due at once.
    windows = policy.windows_for(_whole_life(credentials, lifetime))
    soonest = sent.boot + min(lifetime / 2, SOONEST_REFRESH_SECONDS)
    refresh_at = (
        math.inf
        if math.isinf(dead_at)
        else max(dead_at - windows.ahead * (1 - policy.jitter * chance), soonest)
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
    return replace(state, held=new, failure=None, abandoned=None)


def _whole_life(credentials: Credentials, left: float) -> float:
    """Return how many seconds *credentials* live from first to last; *left*, if it is not known."""
    if credentials.issued_at is None or credentials.expires_at is None:
        return left
    return max(left, (credentials.expires_at - credentials.issued_at).total_seconds())


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


def abandoned(state: State, now: Instant, chance: float) -> State:
    """Return the state after an attempt ended with the event loops of all who waited for it."""
    left = 0.0 if state.held is None else state.held.left(now)
    if left <= 0:
        return state  # there is nothing to serve meanwhile
    count = 1 if state.abandoned is None else state.abandoned.count + 1
    pause = _ABANDONED.pause(count, left, False, chance)
    return replace(
        state,
        abandoned=Abandonment(until=now.boot + pause, until_wall=now.wall + pause, count=count),
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
