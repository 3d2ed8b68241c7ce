"""The border where botocore's exceptions become ours: each stays what botocore raised, too.

``except botocore.exceptions.ClientError`` goes on working, ``.response`` included, and
``except rolecall.AccessDenied`` works beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    InfiniteLoopConfigError,
    InvalidConfigError,
    NoCredentialsError,
    ParamValidationError,
    ProfileNotFound,
)
from botocore.parsers import ResponseParserError

from ..errors import (
    ConfigError,
    CredentialsExpired,
    FetchError,
    InvalidChain,
    Meaning,
    MFARequired,
    RolecallError,
    Unreachable,
    meaning_of,
)

#: In STS's message, beside AccessDenied, when the MFA code was wrong, late or used before.
INVALID_CODE = "invalid MFA one time pass code"
WRONG_CODE = Meaning(
    kind=MFARequired,
    retryable=False,
    hint="the code was wrong, too late (it lives 30 s) or used before (it works once): wait for "
    "the next one",
)

STS_OPERATIONS = frozenset(
    {
        "AssumeRole",
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "AssumeRoot",
        "GetCallerIdentity",
        "GetFederationToken",
        "GetSessionToken",
    }
)

_made: dict[tuple[type[RolecallError], type[Exception]], type[RolecallError]] = {}


def both(ours: type[RolecallError], theirs: type[Exception]) -> type[RolecallError]:
    """Return a class that is *ours* and *theirs*, named and pickled like *ours*."""
    if issubclass(ours, theirs):
        return ours
    found = _made.get((ours, theirs))
    if found is None:
        # Two threads at once may make two: setdefault lets one of them win.
        found = _made.setdefault((ours, theirs), _combined(ours, theirs))
    return found


def _combined(ours: type[RolecallError], theirs: type[Exception]) -> type[RolecallError]:
    return type(
        ours.__name__,
        (ours, theirs),
        {
            "__doc__": ours.__doc__,
            "__module__": ours.__module__,
            # botocore's initializers and pickling want other arguments.
            "__init__": _init_as(ours),
            "__reduce__": _reduce,
            "__str__": ours.__str__,
            "copy": _copy,
            "_both": (ours, theirs),
        },
    )


def _init_as(ours: type[RolecallError]) -> Any:
    def __init__(self: Any, *arguments: Any, **keywords: Any) -> None:
        # What botocore's own __init__ would set.
        self.kwargs = {}
        ours.__init__(self, *arguments, **keywords)

    return __init__


def _reduce(self: Any) -> tuple[Any, ...]:
    ours, theirs = self._both
    return _again, (ours, theirs, _first_argument(self), self._arguments(), _theirs(self))


def _copy(self: Any) -> RolecallError:
    ours, theirs = self._both
    return _again(ours, theirs, _first_argument(self), self._arguments(), _theirs(self))


def _first_argument(error: Any) -> Any:
    return error.problems if isinstance(error, InvalidChain) else error.message


def _theirs(error: Any) -> dict[str, Any]:
    return {
        name: getattr(error, name)
        for name in ("response", "operation_name", "kwargs")
        if hasattr(error, name)
    }


def _again(
    ours: type[RolecallError],
    theirs: type[Exception],
    first: Any,
    arguments: dict[str, Any],
    attributes: Mapping[str, Any],
) -> RolecallError:
    error = both(ours, theirs)(first, **arguments)
    vars(error).update(attributes)
    return error


def invalid(error: InvalidChain) -> RolecallError:
    """Return *error* so that ``except ParamValidationError`` catches it."""
    return _again(
        InvalidChain,
        ParamValidationError,
        error.problems,
        error._arguments(),
        {"kwargs": {"report": "\n".join(map(str, error.problems))}},
    )


def misconfigured(error: ConfigError, *, missing: bool) -> RolecallError:
    """Return *error* about a profile so that what botocore raises for it catches it, too.

    Args:
        missing: Whether the profile that was asked for is not there.
    """
    theirs: type[BotoCoreError] = InvalidConfigError
    if missing:
        theirs = ProfileNotFound
    elif "path" in error.context:
        theirs = InfiniteLoopConfigError
    return alike(ConfigError, theirs, error.message, hint=error.hint, context=error.context)


def alike(
    ours: type[RolecallError], theirs: type[Exception], message: str, **arguments: Any
) -> RolecallError:
    """Return an error of *ours* that ``except theirs`` catches."""
    return both(ours, theirs)(message, **arguments)


def translate(error: Exception, what: str, *, hint: str = "") -> RolecallError:
    """Return botocore's *error*, raised while fetching *what*, as one of ours that is both.

    Args:
        what: Which credentials were fetched, such as ``hop 1: arn:…``; starts the message.
        hint: Replaces the code's own hint.
    """
    if isinstance(error, RolecallError):
        return error
    if isinstance(error, ClientError):
        return _refusal(error, what, hint)
    name = type(error).__name__
    if isinstance(error, ResponseParserError):
        # Its text quotes the answer, which may be a truncated one with keys in it.
        return alike(
            Unreachable,
            ResponseParserError,
            f"{what}: STS answered something that is not an STS answer ({name})",
            hint=hint or "check endpoint and proxy: a login page or an error page answers there",
        )
    if isinstance(error, (HTTPClientError, ConnectionError)):
        translated = alike(Unreachable, type(error), f"{what}: {error}", hint=hint)
        vars(translated).update(request=None, response=None)
        return translated
    if isinstance(error, NoCredentialsError):
        return alike(
            CredentialsExpired,
            NoCredentialsError,
            f"{what}: there are no source credentials to assume it with",
            hint="sign in, set AWS_PROFILE, or configure credentials",
        )
    if isinstance(error, ParamValidationError):
        return alike(FetchError, ParamValidationError, f"{what}: {error}", retryable=False)
    if isinstance(error, BotoCoreError):
        kind = ConfigError if "Config" in name or "Profile" in name else FetchError
        return alike(kind, type(error), f"{what}: {error}", hint=hint)
    return FetchError(f"{what}: {name}: {error}", hint=hint)


def refusal_in(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the Code and Message of an error *response*, as far as it has them.

    Ceph RGW and SeaweedFS answer S3's bare ``<Error>`` where AWS wraps it, and botocore then puts
    its parts beside ``ResponseMetadata``.
    """
    return response.get("Error") or {
        name: response[name] for name in ("Code", "Message") if isinstance(response.get(name), str)
    }


def _refusal(error: ClientError, what: str, hint: str) -> RolecallError:
    response: Mapping[str, Any] = error.response or {}
    detail = refusal_in(response)
    metadata = response.get("ResponseMetadata") or {}
    status = metadata.get("HTTPStatusCode")
    code = detail.get("Code")
    meaning = meaning_of(code, status)
    if INVALID_CODE in str(detail.get("Message")):
        meaning = WRONG_CODE
    said = code or (f"HTTP {status}" if status else "no, without a reason")
    text = detail.get("Message")
    if error.operation_name in STS_OPERATIONS:
        who = "STS"
    else:
        # A callable may ask any service.
        who = str(error.operation_name)
        hint = hint or f"check what {what} may do: {who} was refused to it"
    message = f"{what}: {who} says {said}" + (f": {text}" if text else "")
    safe = dict(response)
    safe["Error"] = response.get("Error") or {"Code": code or "Unknown", "Message": text or ""}
    return _again(
        meaning.kind,
        ClientError,
        message,
        {
            "hint": hint or meaning.hint,
            "retryable": meaning.retryable,
            "context": {
                "code": code,
                "status": status,
                "request_id": metadata.get("RequestId"),
                "operation": error.operation_name,
            },
        },
        {"response": safe, "operation_name": error.operation_name, "kwargs": {}},
    )
