"""Retry a call once when the service says that its key is expired, with new credentials.

Through botocore's public events, registered on the session, so that every client has them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from botocore.session import Session

from ..refresh import Refresher
from ..refresh.state import read

log: logging.Logger = logging.getLogger("rolecall")

#: What services answer to an expired key: S3 and STS, the JSON services, S3 for a broken token.
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken"})

#: What EC2 answers to an expired key; also the answer to a request that took too long, so the
#: key must be old enough for it.
AMBIGUOUS_CODES = frozenset({"RequestExpired"})
OLD_ENOUGH = 0.5

_CONTEXT = "rolecall"
_KEY = re.compile(r"(?:Credential=|AWS )([A-Za-z0-9_-]{8,128})[/:]")


class Rejections:
    """Watches the calls of one session's clients."""

    def __init__(self, refresher: Refresher) -> None:
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
        if response is None or request_dict is None:
            return None
        _, parsed = response
        code = ((parsed or {}).get("Error") or {}).get("Code")
        if code not in EXPIRED_CODES and code not in AMBIGUOUS_CODES:
            return None
        ours = request_dict.get("context", {}).get(_CONTEXT)
        if ours is None or ours.get("retried"):
            return None
        found = _KEY.search(_text(ours.get("headers", {}).get("Authorization")))
        if found is None or not self._replaceable(found.group(1), code):
            return None
        if not _rewind(request_dict.get("body")):
            return None
        if not self._replace(found.group(1)):
            return None
        ours["retried"] = True
        log.info(
            "%s: %s with %s is retried once with new credentials",
            self._refresher.name,
            code,
            found.group(1),
        )
        return 0

    def _replaceable(self, access_key: str, code: str) -> bool:
        held = self._refresher.state.held
        if held is None:
            return False
        if held.credentials.access_key != access_key:
            # Replaced meanwhile, unless the client signs with keys of its own.
            return access_key in self._refresher.recent_keys
        if code in AMBIGUOUS_CODES:
            left = held.left(read(self._refresher.clock))
            return left <= held.lifetime * (1 - OLD_ENOUGH)
        return True

    def _replace(self, access_key: str) -> bool:
        held = self._refresher.state.held
        if held is not None and held.credentials.access_key == access_key:
            self._refresher.invalidate(access_key)
        try:
            return self._refresher.get().access_key != access_key
        except Exception:  # the service's own answer is the better one then
            log.debug("%s: no new credentials", self._refresher.name, exc_info=True)
            # One service's mistake must not take the key from all the others while STS is down.
            self._refresher.reinstate(access_key)
            return False


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")


def _rewind(body: Any) -> bool:
    # The query protocol's body is a mapping until it is sent.
    if body is None or isinstance(body, (bytes, bytearray, str, Mapping)):
        return True
    try:
        body.seek(0)
    except Exception:  # whatever a caller's stream raises: then the service's error stands
        return False
    return True
