"""Retry a call once when the service says that its key is expired, with new credentials.

Through botocore's public events, registered on the session, so that every client has them.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

from botocore.session import Session

from ..errors import Unreachable
from ..refresh import Refresher
from ..refresh.flight import Flight
from ..refresh.state import read
from ..sources.upstream import raw_of

log: logging.Logger = logging.getLogger("rolecall")

#: What services answer to an expired key: S3 and STS, the JSON services, S3 for a broken token.
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken"})

#: What EC2 answers to an expired key; also the answer to a request that took too long, so the
#: key must be old enough for it.
AMBIGUOUS_CODES = frozenset({"RequestExpired"})
OLD_ENOUGH = 0.5

_CONTEXT = "rolecall"
_KEY = re.compile(r"(?:Credential=|AWS )([A-Za-z0-9_-]{8,128})[/:]")


class Rejected(NamedTuple):
    """A request that a service refused because of its key, and that may be sent again.

    Attributes:
        ours: What we noted of it.
        flying: The fetch of another key that is in progress, and for how many seconds it is waited
            for: also where the rejected one is still given out, or again.
    """

    refresher: Refresher
    access_key: str
    code: str
    ours: MutableMapping[str, Any]
    flying: tuple[Flight, float] | None


class Rejections:
    """Watches the calls of one session's clients.

    Args:
        refresher: Gives what keeps the session's credentials; None before there is one.
    """

    def __init__(self, refresher: Callable[[], Refresher | None]) -> None:
        self._refresher = refresher

    def register(self, session: Session) -> None:
        """Watch every client that *session* makes from now on."""
        events = session.get_component("event_emitter")
        events.register("before-sign", self.before_sign, unique_id="rolecall-before-sign")
        events.register("needs-retry", self.needs_retry, unique_id="rolecall-needs-retry")

    def before_sign(self, request: Any, **_: Any) -> None:
        """Keep the headers that the signer will write the key into."""
        context: MutableMapping[str, Any] = request.context
        ours = context.setdefault(_CONTEXT, {})
        ours["headers"] = request.headers

    def needs_retry(
        self, response: Any, request_dict: Mapping[str, Any] | None = None, **_: Any
    ) -> int | None:
        """Return 0 (retry at once) if a rejected key could be replaced; None: not our matter."""
        rejected = self.rejected(response, request_dict)
        if rejected is None:
            return None
        refresher = rejected.refresher
        try:
            if rejected.flying is not None:
                flight, seconds = rejected.flying
                refresher.clock.wait(flight.future, seconds)
                if not flight.future.done():
                    raise Unreachable("the key that is on its way has not come")
            return self.replaced(rejected, refresher.get().access_key)
        except Exception:  # the service's own answer is the better one then
            self.not_replaced(rejected)
            return None

    def rejected(self, response: Any, request_dict: Mapping[str, Any] | None) -> Rejected | None:
        """Return what was rejected, its key counted as expired; None: not our matter."""
        refresher = self._refresher()
        if response is None or request_dict is None or refresher is None:
            return None
        _, parsed = response
        code = ((parsed or {}).get("Error") or {}).get("Code")
        if code not in EXPIRED_CODES and code not in AMBIGUOUS_CODES:
            return None
        ours = request_dict.get("context", {}).get(_CONTEXT)
        if ours is None or ours.get("retried"):
            return None
        found = _KEY.search(_text(ours.get("headers", {}).get("Authorization")))
        if found is None or not _replaceable(refresher, found.group(1), code):
            return None
        if not _rewind(request_dict.get("body")):
            return None
        held = refresher.state.held
        flying = None
        if held is not None and held.credentials.access_key == found.group(1):
            refresher.invalidate(found.group(1))
            flying = refresher.flying
        return Rejected(refresher, found.group(1), code, ours, flying)

    def replaced(self, rejected: Rejected, access_key: str) -> int | None:
        """Return what botocore is to do now that *access_key* is there."""
        if access_key == rejected.access_key:
            return None
        rejected.ours["retried"] = True
        log.info(
            "%s: %s with %s is retried once with new credentials",
            rejected.refresher.name,
            rejected.code,
            rejected.access_key,
        )
        return 0

    def not_replaced(self, rejected: Rejected) -> None:
        """Take the rejected key back; called while what went wrong is handled."""
        refresher = rejected.refresher
        log.debug("%s: no new credentials", refresher.name, exc_info=True)
        # One service's mistake must not take the key from all the others while STS is down.
        refresher.reinstate(rejected.access_key)


def _replaceable(refresher: Refresher, access_key: str, code: str) -> bool:
    held = refresher.state.held
    if held is None:
        return False
    if held.credentials.access_key != access_key:
        # Replaced meanwhile, unless the client signs with keys of its own.
        return access_key in refresher.recent_keys
    if code in AMBIGUOUS_CODES:
        left = held.left(read(refresher.clock))
        return left <= held.lifetime * (1 - OLD_ENOUGH)
    return True


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")


def _rewind(body: Any) -> bool:
    # The query protocol's body is a mapping until it is sent.
    if body is None or isinstance(body, (bytes, bytearray, str, Mapping)):
        return True
    if inspect.iscoroutinefunction(getattr(raw_of(body), "seek", None)):
        # An asynchronous stream: aiobotocore's wrapper calls that and does not await it.
        return False
    try:
        done = body.seek(0)
    except Exception:  # whatever a caller's stream raises: then the service's error stands
        return False
    if inspect.iscoroutine(done):
        done.close()
        return False
    return True
