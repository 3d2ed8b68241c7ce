"""How fast STS is called: one pace for all workers, which slows down when STS asks for it."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

from botocore.exceptions import ClientError, HTTPClientError

from ...clock import SYSTEM_CLOCK, Clock
from ...errors import FetchError, Throttled, meaning_of
from ...fork import ForkSafeLock
from ...sources.sts import code_of

log: logging.Logger = logging.getLogger("rolecall")

T = TypeVar("T")

#: How often one request is sent in all. STS hands out tokens by the second: whoever was refused so
#: often at a pace that fell each time has another trouble.
MOST_ATTEMPTS = 10

#: And where STS does not answer, or not as it should. [botocore's own number, standard mode]
_TRANSIENT_ATTEMPTS = 3
_PAUSE_SECONDS = 0.5

#: How much of a second's calls may be sent at once: STS counts by the second, and not by ours.
BURST_SECONDS = 0.2

#: What a throttled pace falls to, and the least it falls to, in calls a second.
_SLOWER = 0.7
_SLOWEST = 1.0
#: Many calls are refused at once when a limit is met: within this time they count as one refusal.
_ONE_REFUSAL_SECONDS = 1.0
#: Each call that was answered adds so much, which is 5 % a second whatever the pace is.
_FASTER = 0.05
#: Above this a pace that nobody has set is none.
_FASTEST = 1000.0


class Ended(FetchError):
    """The run was ended while a call waited for its turn."""

    retryable = False


class Pace:
    """Sends requests at no more than *rate* a second, in the order they come.

    Those that STS throttles are sent again, later and slower; the pace then rises bit by bit. Retry
    modes of botocore cannot do that: one client has one quota of retries, which hundreds of
    accounts use up together.

    Args:
        rate: Calls a second. None: as fast as they come, until STS says otherwise.
    """

    def __init__(self, rate: float | None = None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        if rate is not None and not (0 < rate < math.inf):
            raise ValueError(f"a rate must be a positive number of calls a second, got {rate!r}")
        self.clock = clock
        self._most = rate
        self._lock: ForkSafeLock = ForkSafeLock()  # guards all below
        self._rate = rate
        self._next = -math.inf  # when the next call would be due if none were ever early
        self._sent: deque[float] = deque()  # when calls were sent, in the last second
        self._refused = -math.inf  # when a call was last refused
        self._waiting: dict[Future[None], str | None] = {}  # what ends a wait, and who waits
        self._ended = False

    def __repr__(self) -> str:
        rate = self._rate
        return f"Pace({'free' if rate is None else f'{rate:.3g} calls a second'})"

    @property
    def rate(self) -> float | None:
        """Calls a second that are sent now. None: as many as there are."""
        return self._rate

    def __call__(self, send: Callable[[], T], whose: str | None = None) -> T:
        """Return what *send* returns, called when its turn has come.

        Args:
            whose: Who waits, for `drop`.

        Raises:
            ClientError: what *send* raises; throttling only after `MOST_ATTEMPTS`.
            Ended: nothing is sent any more.
        """
        over: Future[None] = Future()
        with self._lock:
            self._waiting[over] = whose
        try:
            return self._send(send, over)
        finally:
            with self._lock:
                del self._waiting[over]

    def _send(self, send: Callable[[], T], over: Future[None]) -> T:
        for attempt in range(1, MOST_ATTEMPTS + 1):
            wait = self._turn(self.clock.boottime())
            if wait > 0:
                self.clock.wait(over, wait)
            if over.done() or self._ended:
                self._give_back()
                raise Ended("the run was ended: no more roles are assumed for it")
            try:
                answer = send()
            except (ClientError, HTTPClientError) as error:
                if attempt == MOST_ATTEMPTS or not self._may_pass(error, attempt, over):
                    raise
            else:
                self._speed_up()
                return answer
        raise AssertionError("the last attempt returns or raises")

    def _may_pass(self, error: Exception, attempt: int, over: Future[None]) -> bool:
        """Return whether another attempt may help, after a pause if that is wanted."""
        if isinstance(error, ClientError):
            if _is_throttling(error):
                self._slow_down(self.clock.boottime())
                return True
            response: Mapping[str, Any] = error.response
            status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
            if not isinstance(status, int) or status < 500:
                return False
        if attempt >= _TRANSIENT_ATTEMPTS:
            return False
        self.clock.wait(over, _PAUSE_SECONDS * 2 ** (attempt - 1))
        return True

    def end(self) -> None:
        """Send nothing more, not even what waits for its turn."""
        with self._lock:
            self._ended = True
            waiting = list(self._waiting)
        _resolve(waiting)

    def drop(self, whose: str) -> None:
        """Do not send what waits for its turn now for *whose*."""
        with self._lock:
            waiting = [over for over, one in self._waiting.items() if one == whose]
        _resolve(waiting)

    def _turn(self, now: float) -> float:
        """Return in how many seconds the next call may be sent, and take its turn."""
        with self._lock:
            if self._rate is None:
                self._note(now)
                return 0.0
            early = max(0.0, BURST_SECONDS - 1 / self._rate)
            due = max(self._next, now - early)
            self._next = due + 1 / self._rate
            self._note(max(now, due))
            return max(0.0, due - now)

    def _give_back(self) -> None:
        """Let others have a turn that was not used."""
        with self._lock:
            if self._rate is not None:
                self._next -= 1 / self._rate

    def _note(self, at: float) -> None:
        while self._sent and self._sent[0] < at - 1.0:
            self._sent.popleft()
        self._sent.append(at)

    def _slow_down(self, now: float) -> None:
        with self._lock:
            if now - self._refused < _ONE_REFUSAL_SECONDS:
                return
            self._refused = now
            before = len(self._sent) if self._rate is None else self._rate
            slowest = _SLOWEST if self._most is None else min(_SLOWEST, self._most)
            self._rate = max(slowest, before * _SLOWER)
            # Nothing for half a second: whoever counts there has to come to rest as well.
            self._next = max(self._next, now) + _ONE_REFUSAL_SECONDS / 2
            rate = self._rate
        log.warning("STS throttles: now %.3g calls a second", rate)

    def _speed_up(self) -> None:
        with self._lock:
            if self._rate is None or self._rate == self._most:
                return
            self._rate += _FASTER
            if self._most is not None:
                self._rate = min(self._rate, self._most)
            elif self._rate > _FASTEST:
                self._rate = None


def _resolve(futures: Iterable[Future[None]]) -> None:
    for one in futures:
        with suppress(InvalidStateError):  # dropped and ended at once
            one.set_result(None)


def _is_throttling(error: ClientError) -> bool:
    return meaning_of(code_of(error)).kind is Throttled
