"""Any callable as a source: botocore's "create_from_metadata" recipe, made safe."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials
from ..errors import CredentialsExpired, FetchError, RolecallError
from .answer import HINT, read_answer
from .quote import quote
from .refusals import translate


class CallableSource:
    """Hand out what a callable returns, once it has been checked.

    Args:
        fetch: Called without arguments, each time new credentials are needed; by one thread at a
            time, not always the same. Returns a botocore metadata dict, an STS response or the
            ``Credentials`` in it, what a credential_process prints, or a `Credentials`. Only the
            last may leave the expiry out.
        name: What messages call it; by default the callable's own name.

    Raises:
        TypeError: *fetch* cannot be called, or is a coroutine function.
    """

    __slots__ = ("__weakref__", "_clock", "_fetch", "_secrets", "name")

    def __init__(
        self,
        fetch: Callable[[], object],
        *,
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not callable(fetch):
            raise TypeError(
                f"fetch must be a callable that returns credentials, got {_kind(fetch)}"
            )
        self.name: str = name or _name_of(fetch)
        self._refuse(fetch)
        self._fetch = fetch
        self._clock = clock
        self._secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} does not pickle: a callable may hold secrets; pickle a RoleChain"
        )

    def get(self) -> Credentials:
        """Return what the callable answers, as `Credentials` that are valid now.

        Raises:
            FetchError: it raised something of its own, or its answer cannot be used; neither the
                message nor the chained exception shows a secret.
            RolecallError, ClientError, BotoCoreError: it raised that; passed on as it is.
        """
        credentials = read_answer(self._call(), who=self.name)
        self._secrets = (credentials.secret_key, credentials.token or "")
        self._refuse_expired(credentials)
        return credentials

    def _refuse(self, fetch: Callable[[], object]) -> None:
        if is_async(fetch):
            raise TypeError(
                f"{self.name} is a coroutine function, which nothing here awaits: give a plain "
                "function, or use rolecall.aio"
            )

    def _answer(self) -> object:
        """Return what the callable answers; overridden where that can be awaited."""
        return self._fetch()

    def _call(self) -> object:
        trouble: FetchError | None = None
        cause: Exception | None = None
        answer: object = None
        try:
            answer = self._answer()
        except RolecallError:
            raise
        except (ClientError, BotoCoreError) as error:
            raise translate(error, self.name) from error
        except Exception as error:  # user code: whatever it raises, its caller gets one of ours
            said = quote(error, secrets=self._secrets)
            trouble = self._error(f"raised {said.text}", retryable=_retryable(error))
            cause = error if said.clean else None
        if trouble is not None:
            # Out here, so that an exception that holds a secret is no context of ours either.
            raise trouble from cause
        if inspect.isawaitable(answer):
            if inspect.iscoroutine(answer):
                answer.close()  # or Python warns that it was never awaited
            raise self._error(
                f"returned {_kind(answer)}: nothing awaits it here",
                retryable=False,
                hint="give a plain function that returns the credentials",
            )
        if answer is None:
            raise self._error("returned None", hint=HINT)
        return answer

    def _refuse_expired(self, credentials: Credentials) -> None:
        if credentials.expires_at is None:
            return
        now = datetime.fromtimestamp(self._clock.time(), timezone.utc) + credentials.clock_offset
        if credentials.expires_at <= now:
            ago = timedelta(seconds=round((now - credentials.expires_at).total_seconds()))
            raise CredentialsExpired(
                f"{self.name} returned credentials that expired at "
                f"{credentials.expires_at.isoformat()}, {ago} ago",
                hint="let it fetch new ones each time it is called, and check the local clock",
                context={"source": self.name, "expires_at": credentials.expires_at.isoformat()},
            )

    def _error(self, what: str, *, retryable: bool = True, hint: str = "") -> FetchError:
        return FetchError(
            f"{self.name} {what}", hint=hint, context={"source": self.name}, retryable=retryable
        )


def is_async(function: object) -> bool:
    """Return whether calling *function* would give a coroutine or an async generator."""
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(type(function), "__call__", None)  # noqa: B004 - asked for itself
    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        for one in (function, call)
    )


def _retryable(error: BaseException) -> bool:
    said = getattr(error, "retryable", None)
    return said if isinstance(said, bool) else True


def _kind(value: object) -> str:
    return type(value).__name__


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None) or ""
    return f"{module}.{name}" if module else str(name)
