"""Locks in Redis that end with whoever holds them, and the scripts that make them safe.

A lock is a lease of less than a second that its holder renews, for Redis does not notice that a
process was killed. Whoever loses the lease all the same, such as by being suspended, is overtaken:
each holder has a higher number than all before it, and what was stored with a higher number is not
replaced by one with a lower. [fencing tokens]
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from ..clock import Clock

#: Whoever was killed holds up the next one for this long at most. Renewed four times in it.
LEASE = timedelta(milliseconds=800)
RENEWALS = 4

#: Longer than a person looks for an MFA code; whatever holds it then hangs.
LONGEST_HELD = timedelta(minutes=10)

#: Shorter ones end before a busy machine has renewed them.
SHORTEST_LEASE = timedelta(milliseconds=100)

#: Between two looks at a lock that is taken: the first pause, its growth, and the longest.
FIRST_PAUSE_SECONDS = 0.1
PAUSE_GROWTH = 1.6
LONGEST_PAUSE_SECONDS = 0.5

# Numbers are the server's microseconds, or one more than what is stored if its clock was set back.
# A number is 2^53 at most, as Lua's are.
_NUMBERS = """
local function stored(key)
  if redis.call('TYPE', key).ok ~= 'hash' then return 0 end
  return tonumber(redis.call('HGET', key, 'fence') or '') or 0
end
local function following(number)
  local now = redis.call('TIME')
  return math.max(now[1] * 1000000 + now[2], number + 1)
end
"""

#: KEYS: lock, entry. ARGV: token, lease in ms, the number that was stored at first or "".
#: Answers {HELD, own number}, {BUSY, ms left of the other's lease} or {CHANGED, 0}; then what is
#: stored. A lock without an expiry is not one of ours, and would never end.
ACQUIRE = (
    _NUMBERS
    + """
local number = stored(KEYS[2])
local shown = string.format('%.0f', number)
if ARGV[3] ~= '' and number > tonumber(ARGV[3]) then return {2, '0', shown} end
if redis.call('PTTL', KEYS[1]) == -1 then redis.call('DEL', KEYS[1]) end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  local owner = redis.pcall('GET', KEYS[1])
  if owner ~= ARGV[1] then return {0, tostring(redis.call('PTTL', KEYS[1])), shown} end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return {1, string.format('%.0f', following(number)), shown}
"""
)
BUSY, HELD, CHANGED = 0, 1, 2

#: KEYS: lock. ARGV: token, lease in ms.
RENEW = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

#: KEYS: lock. ARGV: token.
RELEASE = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

#: KEYS: entry. ARGV: the holder's number or "", the entry, ms to live. 0: overtaken.
WRITE = (
    _NUMBERS
    + """
local number = stored(KEYS[1])
local own = ARGV[1]
if own == '' then
  own = string.format('%.0f', following(number))
elseif number > tonumber(own) then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'fence', own, 'entry', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
)

#: KEYS: entry. ARGV: most bytes. Answers {entry, ms to live}; nil: there is none that can be one.
READ = """
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return false end
local size = redis.call('HSTRLEN', KEYS[1], 'entry')
if size == 0 or size > tonumber(ARGV[1]) then return false end
return {redis.call('HGET', KEYS[1], 'entry'), redis.call('PTTL', KEYS[1])}
"""


class Unavailable(Exception):
    """Redis is of no help now, and that was said."""


T = TypeVar("T")
Read = Callable[[Any], T]


class Run(Protocol):
    """How a script is run."""

    def __call__(
        self, script: str, keys: Iterable[str], arguments: Iterable[Any], read: Read[T], /
    ) -> T:
        """Return what *read* makes of the answer of *script*.

        Raises:
            Unavailable: it could not be run, or answers what *read* raises an error at.
        """
        ...


@dataclass(slots=True, kw_only=True)
class Lease:
    """A lock that is held.

    Attributes:
        token: What the lock's value is, so that nobody ends another's.
        number: The holder's fencing number.
        ended: Done once the lock is given back.
    """

    name: str
    token: str
    number: str
    ended: Future[None] = field(default_factory=Future)


def acquire(
    run: Run,
    *,
    lock: str,
    entry: str,
    token: str,
    lease: timedelta,
    timeout: timedelta,
    clock: Clock,
    rng: Callable[[], float],
) -> Lease | None:
    """Return the lock; None: *timeout* has passed, or something new was stored meanwhile.

    Pauses grow with the time waited and end when the other's lease does, so that ten thousand who
    wait for one fetch of half a second look at the lock four or five times each.
    """
    until = clock.boottime() + max(timeout.total_seconds(), 0.0)
    pause = FIRST_PAUSE_SECONDS
    first_seen = ""
    while True:
        arguments = [token, milliseconds(lease), first_seen]
        verdict, number, seen = run(ACQUIRE, [lock, entry], arguments, _acquired)
        if verdict == HELD:
            return Lease(name=lock, token=token, number=number)
        left = until - clock.boottime()
        if verdict == CHANGED or left <= 0:
            return None
        first_seen = first_seen or seen
        others = max(int(number), 0) / 1000 + 0.02 * rng()
        clock.wait(Future(), min(pause * (0.5 + rng()), others + 0.001, left))
        pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)


def _acquired(answer: Any) -> tuple[int, str, str]:
    verdict, number, seen = answer
    if verdict not in (BUSY, HELD, CHANGED):
        raise ValueError
    return verdict, str(int(number)), str(int(seen))


def keep(run: Run, held: Lease, lease: timedelta, clock: Clock) -> None:
    """Renew *held* beside the work it guards, until it is given back or lost."""

    until = clock.boottime() + LONGEST_HELD.total_seconds()

    def renew() -> None:
        while not clock.wait(held.ended, lease.total_seconds() / RENEWALS):
            if clock.boottime() > until:
                return
            try:
                kept = run(RENEW, [held.name], [held.token, milliseconds(lease)], bool)
            except Unavailable:
                kept = True  # perhaps: the next time will show
            if not kept:
                return

    try:
        threading.Thread(target=renew, name=f"rolecall {held.name}", daemon=True).start()
    except RuntimeError:
        return  # the interpreter ends: what is left of the lease has to do


def milliseconds(duration: timedelta) -> int:
    """Return *duration* as Redis counts it."""
    return max(round(duration.total_seconds() * 1000), 1)
