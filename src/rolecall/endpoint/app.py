"""What the endpoint answers: the protocol that AWS's SDKs know as container credentials.

``GET`` with ``Authorization: <token>`` gives 200 and the keys as JSON; anything else a status and
JSON with ``code`` and ``message``. [AWS SDKs and tools guide, container credential provider]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import timezone
from typing import Any, Protocol

from starlette.responses import Response

from ..credentials import Credentials
from ..errors import MFARequired, RolecallError
from ..refresh import Refresher
from ..refresh.aio import AsyncRefresher
from ..refresh.state import Phase
from ..sessions.handing import local_expiry
from ..sources.quote import quote
from .guard import Refusal, admit

log: logging.Logger = logging.getLogger("rolecall")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: The JavaScript SDK gives up after one second. [credential-provider-imds, its default]
ANSWER_SECONDS = 0.7

#: What the SDKs parse: UTC, whole seconds.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Page(Protocol):
    """What is at one path."""

    async def answer(self) -> tuple[int, Mapping[str, Any]]:
        """Return an HTTP status, and what is sent as JSON."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One role's credentials at the endpoint.

    Attributes:
        name: What the user calls it.
        refresher: What keeps them; asked on the endpoint's own event loop.
        role_arn: None: it is no role's session, or not known which.
        account_id: Twelve digits. None: not known.
        at_a_terminal: What is to be done where a code is needed: nobody is asked here, for the
            child has the terminal.
    """

    name: str
    refresher: Refresher = field(repr=False)
    role_arn: str | None = None
    account_id: str | None = None
    at_a_terminal: str = "use the session itself in the program, which asks"

    async def answer(self) -> tuple[int, Mapping[str, Any]]:
        """Return the credentials as SDKs parse them, within `ANSWER_SECONDS`.

        What is held is never kept back for a call to STS, and nobody is ever asked for an MFA code
        because of a request: whoever is at the terminal talks to the program that asks.
        """
        try:
            # Not asyncio.timeout, which is of Python 3.11.
            credentials = await asyncio.wait_for(
                AsyncRefresher(self.refresher, person=False).get(), ANSWER_SECONDS
            )
            return 200, self._document(credentials)
        except (asyncio.TimeoutError, TimeoutError):
            return 503, _trouble("Pending", f"{self.name}: the source has not answered yet")
        except MFARequired as error:
            return 503, _trouble("MFARequired", f"{error.message}: {self.at_a_terminal}")
        except RolecallError as error:
            return 503 if error.retryable else 500, _trouble(type(error).__name__, str(error))
        except Exception as error:  # whatever a source raises, the one who asks must be answered
            return 500, _trouble("InternalError", quote(error).text)

    def seconds_until_due(self) -> float:
        """Return in how many seconds the credentials are to be renewed; 0 where they are due."""
        held = self.refresher.state.held
        if held is None:
            return 0.0
        clock = self.refresher.clock
        return max(
            0.0, min(held.refresh_at - clock.boottime(), held.fresh_until_wall - clock.time())
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing valid is held, and the source refuses for good."""
        failure = self.refresher.state.failure
        gone = self.refresher.phase in (Phase.EMPTY, Phase.EXPIRED)
        return gone and failure is not None and failure.permanent

    def renew(self) -> None:
        """Start a fetch if one is due; to be called on the endpoint's event loop."""
        with contextlib.suppress(Exception):  # those who ask are told; the refresher has logged it
            self.refresher.ask(asyncio.get_running_loop(), person=False)

    def _document(self, credentials: Credentials) -> Mapping[str, Any]:
        expires = local_expiry(credentials).astimezone(timezone.utc)
        document = {
            "AccessKeyId": credentials.access_key,
            "SecretAccessKey": credentials.secret_key,
            "Token": credentials.token,
            "Expiration": expires.strftime(TIME_FORMAT),
            "AccountId": credentials.account_id or self.account_id,
            "RoleArn": self.role_arn,
        }
        return {name: value for name, value in document.items() if value is not None}


class App:
    """The endpoint as an ASGI application.

    Args:
        host: Address and port, as it must be in ``Host``.
        pages: Path → its token, and what is there.
    """

    def __init__(self, host: str, pages: Mapping[str, tuple[str, Page]]) -> None:
        self._host = host.encode("ascii")
        self.serve(pages)

    def serve(self, pages: Mapping[str, tuple[str, Page]]) -> None:
        """Have *pages* instead of those there were, from the next request on; from any thread."""
        self._pages = {
            path.encode("ascii"): (token.encode("ascii"), page)
            for path, (token, page) in pages.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        query = scope["query_string"]
        found = admit(
            self._pages,
            host=self._host,
            method=scope["method"],
            version=scope["http_version"],
            target=scope["raw_path"] + (b"?" + query if query else b""),
            headers=scope["headers"],
        )
        if isinstance(found, Refusal):
            # The same for all: who is refused learns nothing of why.
            refused = {"code": "Refused", "message": "no credentials here"}
            response = _json(found.status, refused, close=True)
        else:
            status, content = await found.answer()
            response = _json(status, content)
        await response(scope, receive, send)


def _json(status: int, content: Mapping[str, Any], *, close: bool = False) -> Response:
    headers = {**_HEADERS, **({"Connection": "close"} if close else {})}
    return Response(
        json.dumps(content), status_code=status, headers=headers, media_type="application/json"
    )


def _trouble(code: str, message: str) -> Mapping[str, Any]:
    return {"code": code, "message": message}
