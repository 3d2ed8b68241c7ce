"""What an exception says went wrong, as text; and how to let go of what it holds."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from subprocess import TimeoutExpired
from typing import Any

import botocore.exceptions
from boto3.exceptions import Boto3Error
from botocore.exceptions import ClientError, HTTPClientError

from ...errors import RolecallError, Throttled
from ...sources import quote, redaction
from ...sources.refusals import STS_OPERATIONS, refusal_in
from ..regions import ALWAYS_ENABLED
from .outcomes import Failure, Kind

#: An outcome's message is a cell of a table.
MOST_MESSAGE = 1_000
#: A traceback of some thirty calls and two causes has 10,000 characters.
MOST_TRACEBACK = 20_000
#: What is longer is shortened before it is searched for secrets, too.
_MOST_SEARCHED = 10 * MOST_TRACEBACK
_MOST_CODE = 200

# Codes lose "Client." (EC2) and these endings before they are looked up: services spell
# the same refusal in all four ways.
_ENDING = re.compile(r"(?:Exception|Fault|Error)+$")

_DENIED = frozenset(
    {
        "401",  # HEAD requests have no body to put a code in
        "403",
        "AccessForbidden",
        "AllAccessDisabled",
        "Authorization",
        "Forbidden",
        "InsufficientPermissions",
        "NotAuthorized",
        "Unauthorized",
        "UnauthorizedAccess",
        "UnauthorizedClient",
        "UnauthorizedOperation",
        "UnauthorizedResourceAccess",
    }
)
_THROTTLED = frozenset(
    {
        "429",
        "BandwidthLimitExceeded",
        "CallRateLimitExceeded",
        "ClientLimitExceeded",  # Kinesis Video: calls, not things
        "ConcurrentLimitExceeded",  # EBS direct: calls at the same time
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceeded",
        "RateExceeded",
        "RateLimit",
        "RateLimitExceeded",
        "RequestLimitExceeded",
        "SlowDown",
        "TooManyRequest",
        "TooManyRequests",
        "TransactionInProgress",
    }
)
_REGION_DISABLED = frozenset({"OptInRequired", "AuthFailure", "RegionDisabled"})
#: What other services say to keys of an account in which their region is not enabled. The key is
#: good, or the role would not have been assumed.
_UNKNOWN_KEY = frozenset({"UnrecognizedClient", "InvalidClientTokenId"})
_TIMEOUTS = frozenset(
    {
        "408",
        "504",
        "ClientTimeout",
        "DependencyTimeout",
        "GatewayTimedOut",
        "GatewayTimeout",
        "OperationTimeout",
        "RequestTimedOut",
        "RequestTimeout",
    }
)
#: compute-optimizer's own: the account uses the service not yet, in no region.
_OTHER = frozenset({"OptInRequiredException"})


def _botocore(*names: str) -> tuple[type[Exception], ...]:
    """Return those of botocore's exceptions that this botocore has."""
    found = (getattr(botocore.exceptions, name, None) for name in names)
    return tuple(one for one in found if one is not None)


_NO_CREDENTIALS = _botocore(
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "NoAuthTokenError",
    "TokenRetrievalError",
    "MetadataRetrievalError",
    "RefreshWithMFAUnsupportedError",
    "UnknownCredentialError",
    "SSOError",
    "LoginError",  # since botocore 1.41
)
_TIMED_OUT: tuple[type[BaseException], ...] = (
    TimeoutError,
    FutureTimeout,  # the built-in one since Python 3.11
    TimeoutExpired,
    *_botocore("ConnectTimeoutError", "ReadTimeoutError"),
)
#: asyncio's before Python 3.11, by name: nobody is to load asyncio for it.
_ASYNCIO_TIMEOUT = ("asyncio.exceptions", "TimeoutError")
_CONNECTION: tuple[type[BaseException], ...] = (
    ConnectionError,
    HTTPClientError,
    *_botocore("ConnectionError", "IncompleteReadError"),
)


def failure_of(error: BaseException, *, region: str | None = None) -> Failure:
    """Return what *error* says went wrong, as text; nothing of it is kept.

    AWS's errors are told apart by their code, not by their class, which does not survive a pickle.

    Args:
        region: Where the target is: a key that a service there does not know then means that the
            region is not enabled.
    """
    response = _response(error)
    code = _code(error, response)
    status = _status(error, response)
    kind = _kind(error, code, status, region)
    return Failure(
        kind=kind,
        type=type(error).__name__,
        code=code,
        message=_shown(_said(error), MOST_MESSAGE, " […] "),
        traceback=_shown(_traceback(error), MOST_TRACEBACK, "\n  […]\n"),
        retryable=_retryable(error, kind, status),
    )


def release(error: BaseException) -> None:
    """Take the tracebacks off *error* and off all it was raised from, while handling, or holds.

    A traceback holds the frames of the calls, and they hold the session.
    """
    for one in _within(error):
        # Not `one.__traceback__ = None`, which an exception that is a frozen dataclass refuses.
        BaseException.__dict__["__traceback__"].__set__(one, None)


def _within(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and every exception that it leads to, each once."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        held = getattr(one, "__dict__", {})
        waiting += [one.__cause__, one.__context__, *one.args, *held.values()]
        # botocore's errors have the one of urllib3 in a mapping; groups have theirs in a tuple.
        for more in (*one.args, *held.values(), getattr(one, "exceptions", ())):
            if isinstance(more, dict):
                waiting += more.values()
            elif isinstance(more, (list, tuple)):
                waiting += more


def _response(error: BaseException) -> Mapping[str, Any]:
    """Return the answer that *error* is about; empty where there is none."""
    found = getattr(error, "response", None)
    if not isinstance(found, Mapping):
        found = getattr(error, "last_response", None)  # a waiter's
    if not isinstance(found, Mapping) and isinstance(error, Boto3Error):
        # A transfer that failed says so in an error of boto3's, raised while handling AWS's.
        found = getattr(error.__cause__ or error.__context__, "response", None)
    return found if isinstance(found, Mapping) else {}


def _code(error: BaseException, response: Mapping[str, Any]) -> str | None:
    code: Any = None
    if isinstance(error, RolecallError):
        code = error.context.get("code")
    elif response:
        detail: Any = refusal_in(response)
        code = detail.get("Code") if isinstance(detail, Mapping) else None
    if code is None or isinstance(code, bool) or not isinstance(code, (str, int)):
        return None
    return _encodable(str(code))[:_MOST_CODE] or None


def _status(error: BaseException, response: Mapping[str, Any]) -> int | None:
    metadata = response.get("ResponseMetadata")
    status = metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None
    if status is None and isinstance(error, RolecallError):
        status = error.context.get("status")
    return status if isinstance(status, int) else None


def _kind(error: BaseException, code: str | None, status: int | None, region: str | None) -> Kind:
    said = None if code is None else kind_of(code, status)
    if isinstance(error, RolecallError):
        if isinstance(error, Throttled):
            return "throttled"
        # What else STS says, "AccessDenied" first of all, is about assuming the role.
        return said if said in ("throttled", "region_disabled") else "assume_role"
    if isinstance(error, _NO_CREDENTIALS):
        return "assume_role"
    if code is not None:
        unknown_key = region is not None and _bare(code) in _UNKNOWN_KEY
        if unknown_key and getattr(error, "operation_name", None) not in STS_OPERATIONS:
            said = "region_disabled"
        assert said is not None
        # Where no account can lack the region, it is the key that is not good (any more).
        of_the_key = unknown_key or _bare(code) == "AuthFailure"
        return "access_denied" if of_the_key and region in ALWAYS_ENABLED else said
    if isinstance(error, ClientError):
        return kind_of(str(status), status)
    if isinstance(error, _TIMED_OUT) or any(
        (one.__module__, one.__name__) == _ASYNCIO_TIMEOUT for one in type(error).__mro__
    ):
        return "timeout"
    return "function"


def kind_of(code: str, status: int | None = None) -> Kind:
    """Return what error *code* means for a target, whichever service says it.

    Args:
        status: Of the HTTP answer. 429 means too many calls whatever the code; 408 and 504 that it
            took too long. 403 means nothing: quotas are refused so, too.
    """
    if code in _OTHER:
        return "function"
    bare = _bare(code)
    # KMSAccessDenied, DependentServiceAccessDenied, EC2AccessDenied, …
    if bare in _DENIED or bare.endswith(("AccessDenied", "AccessDeniedForDependency")):
        return "access_denied"
    # Throttling, RequestThrottled, EC2Throttled, DependencyThrottle, …
    if bare in _THROTTLED or "throttl" in bare.lower() or status == 429:
        return "throttled"
    if bare in _REGION_DISABLED:
        return "region_disabled"
    if bare in _TIMEOUTS or status in (408, 504):
        return "timeout"
    return "function"


def _bare(code: str) -> str:
    bare = code.rpartition("#")[2].partition(":")[0]  # JSON protocols: "namespace#Code:address"
    return _ENDING.sub("", bare.removeprefix("Client.").removeprefix("Server."))


def _retryable(error: BaseException, kind: Kind, status: int | None) -> bool:
    if isinstance(error, RolecallError):
        return error.retryable or kind == "throttled"
    if kind in ("throttled", "timeout"):
        return True
    if kind != "function":
        return False
    return isinstance(error, _CONNECTION) or (status is not None and 500 <= status < 600)


def _said(error: BaseException) -> str:
    try:
        return str(error).strip()
    except Exception:  # a __str__ of somebody else's, asked while handling another error
        return ""


def _traceback(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
    except Exception:  # attributes of somebody else's exception that are not what Python expects
        lines = traceback.format_tb(error.__traceback__)
    return "".join(lines)


def _shown(text: str, most: int, gap: str) -> str:
    """Return *text* without secrets, at most *most* characters of it; start and end stay."""
    # Where it is cut first, is where the middle is left out again: no half of a secret stays.
    text = _shortened(text, _MOST_SEARCHED, gap)
    return _shortened(redacted(_encodable(text)), most, gap)


def _shortened(text: str, most: int, gap: str) -> str:
    if len(text) <= most:
        return text
    half = (most - len(gap)) // 2
    return text[:half] + gap + text[-half:]


def _encodable(text: str) -> str:
    # File names that are no UTF-8 have lone surrogates, which neither files nor Parquet take.
    return text.encode("utf-8", "backslashreplace").decode()


#: What looks like a secret and is none: an ARN, which has the long names of its parts; where a
#: traceback was; and how an error begins, such as ``ExpiredToken: The …``. Lengths are limited, or
#: somebody's text of many like beginnings would take minutes.
_KEPT = re.compile(
    r"""
    \barn:aws[\w-]*:[\w-]*:[\w-]*:\d{0,12}:[\w+=,.@:/*-]+
    | ^[ \t]*File\ "[^"\n]*",\ line\ \d+.*$
    | \b\w{0,60}(?:Error|Exception|Credentials?Expired|MFARequired):\ (?=\S)
    | \b(?:Expired|Invalid|Missing|Bad)\w{0,40}Token\w{0,40}:\ (?=\S)
    | \bcredentials:\ (?=[a-z]+\ [A-Za-z])
    """,
    re.VERBOSE | re.MULTILINE,
)
#: A signed URL, a password in an address, and a bearer token.
_MORE_SECRETS = (
    (re.compile(r"(?i)(\bsignature=)[^\s&'\"<>,;)]+"), r"\g<1>[redacted]"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@'\"]*:)[^\s/@'\"]+(?=@)"), r"\g<1>[redacted]"),
    (re.compile(r"(?i)(\bbearer\s+)[\w.~+/=-]{8,}"), r"\g<1>[redacted]"),
)


def redacted(text: str) -> str:
    """Return *text* with what looks like a secret replaced; ARNs and places in code stay."""
    parts: list[str] = []
    end = 0
    for kept in _KEPT.finditer(text):
        parts += [_redacted(text[end : kept.start()]), kept[0]]
        end = kept.end()
    return "".join([*parts, _redacted(text[end:])])


def _redacted(text: str) -> str:
    text = redaction.redact(quote.redact(text))
    for pattern, instead in _MORE_SECRETS:
        text = pattern.sub(instead, text)
    return text
