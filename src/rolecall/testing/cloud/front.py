"""The front door of the cloud: every request is counted, troubled, checked, answered and logged."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from email.utils import formatdate
from http.client import responses
from typing import Any

from .answers import Answer, Refused, code_of, refusal
from .backend import Backend
from .faults import Faults
from .keys import AwsClock, Keys
from .operations import rest_operation
from .request import UNSIGNED_STS, Request, forwarded, read_request
from .sts import Sts

#: Older calls are forgotten, so that a test of 100,000 rotations measures itself.
_LOG_LENGTH = 10_000

_DEFAULT_ACCOUNT = "123456789012"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request and how it was answered.

    Attributes:
        operation: As the API names it, such as ``AssumeRole``.
        service: As signatures name it, such as ``sts`` or ``s3``.
        access_key: Who signed it. None: nobody.
        account: The account of that key. None: the key is not known.
        status: The HTTP status. None: the connection was closed without an answer.
        code: The error code. None: it succeeded, or the error has none.
    """

    operation: str
    service: str
    access_key: str | None
    account: str | None = None
    status: int | None = None
    code: str | None = None


class Front:
    """The WSGI application of a `StrictCloud`."""

    def __init__(
        self, *, backend: Backend, keys: Keys, sts: Sts, faults: Faults, clock: AwsClock
    ) -> None:
        self._backend = backend
        self._keys = keys
        self._sts = sts
        self._faults = faults
        self._clock = clock
        self._lock = threading.Lock()  # guards the two below
        self._log: deque[Call] = deque(maxlen=_LOG_LENGTH)
        self._counts: Counter[tuple[str, str]] = Counter()

    @property
    def log(self) -> list[Call]:
        """The last 10,000 calls that were answered or dropped, oldest first."""
        with self._lock:
            return list(self._log)

    def calls(self, operation: str | None) -> int:
        """Return how many requests have arrived: for ``AssumeRole``, ``sts:AssumeRole`` or all."""
        with self._lock:
            return sum(
                count
                for (service, name), count in self._counts.items()
                if operation in (None, name, f"{service}:{name}")
            )

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request."""
        request = _named(read_request(environ))
        with self._lock:
            self._counts[request.service, request.operation] += 1
        call = self._call(request)
        try:
            answer = self._answer(request, environ)
            call = replace(call, status=answer.status, code=code_of(answer))
        finally:
            with self._lock:
                self._log.append(call)
        # The length of what a HEAD asks about is only known to moto.
        ours = {"date"} if request.method == "HEAD" else {"date", "content-length"}
        headers = [pair for pair in answer.headers if pair[0].lower() not in ours]
        headers.append(("Date", formatdate(self._clock.time(), usegmt=True)))
        if request.method != "HEAD":
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} {responses.get(answer.status, 'Unknown')}", headers)
        return [answer.body]

    def _call(self, request: Request) -> Call:
        signed = request.authorization
        key = None if signed is None else self._keys.find(signed.access_key)
        return Call(
            operation=request.operation,
            service=request.service,
            access_key=None if signed is None else signed.access_key,
            account=None if key is None else key.principal.account,
        )

    def _answer(self, request: Request, environ: dict[str, Any]) -> Answer:
        try:
            answer = self._faults.meet(request)
            if answer is None and request.service == "sts":
                answer = self._sts.answer(request)
            if answer is None:
                account = self._account(request)
                answer = self._backend.answer(forwarded(environ, request, account))
        except Refused as refused:
            return refusal(request, refused)
        return answer

    def _account(self, request: Request) -> str:
        if request.operation in UNSIGNED_STS and request.authorization is None:
            return _DEFAULT_ACCOUNT
        return self._keys.check(request).principal.account


def _named(request: Request) -> Request:
    if request.operation:
        return request
    name = rest_operation(request)
    return replace(request, operation=name or f"{request.method} {request.path}")
