"""Every error rolecall raises, and what an STS error code means.

::

    RolecallError
    ├── InvalidChain          fix the arguments: all problems at once in .problems
    ├── ConfigError           fix ~/.aws/config, the environment or the call
    ├── StoreError            the shared cache cannot be used
    └── FetchError            credentials could not be had
        ├── AccessDenied      change a policy
        ├── Throttled         wait: STS asks for fewer calls
        ├── Unreachable       wait, or mend the network
        ├── CredentialsExpired  renew the source credentials
        └── MFARequired       give an MFA code

Each class answers one question: what can the caller do. Where botocore raises an error of its
own today, what rolecall raises is caught by that ``except`` clause too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar


class RolecallError(Exception):
    """The root of all errors rolecall raises.

    Attributes:
        hint: One sentence to act on; empty where there is none.
        context: Facts that are safe to log.
        retryable: Whether the same call may succeed later with nothing changed.
    """

    retryable: bool = False
    default_hint: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        context: Mapping[str, Any] | None = None,
        retryable: bool | None = None,
    ) -> None:
        # Not super(): a class that is botocore's too has an initializer there with other arguments.
        Exception.__init__(self, message)
        self.message = message
        self.hint: str = hint or self.default_hint
        self.context: Mapping[str, Any] = MappingProxyType(dict(context or {}))
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def _arguments(self) -> dict[str, Any]:
        return {"hint": self.hint, "context": dict(self.context), "retryable": self.retryable}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self._arguments())

    def copy(self) -> RolecallError:
        """Return an equal error without a traceback, to raise anew."""
        return _rebuild(type(self), self.message, self._arguments())


def _rebuild(kind: type[RolecallError], message: str, arguments: dict[str, Any]) -> RolecallError:
    return kind(message, **arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a chain.

    Attributes:
        field: The argument as boto3 spells it, such as ``DurationSeconds``.
        message: What is wrong and what is allowed.
        hop: Which role of the chain, from 0. None: the origin or the call as a whole.
        source: Where the limit is written down.
    """

    field: str
    message: str
    hop: int | None = None
    source: str = ""

    def __str__(self) -> str:
        where = "" if self.hop is None else f"hop {self.hop}: "
        cite = f" [{self.source}]" if self.source else ""
        return f"{where}{self.field}: {self.message}{cite}"


class InvalidChain(RolecallError):
    """The arguments break documented limits of STS or IAM; nothing was sent.

    Attributes:
        problems: Every problem found, not the first only.
    """

    def __init__(self, problems: Iterable[Problem], **arguments: Any) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(
            "Parameter validation failed:\n" + "\n".join(map(str, self.problems)), **arguments
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.problems, self._arguments())

    def copy(self) -> RolecallError:
        """Return an equal error without a traceback, to raise anew."""
        return type(self)(self.problems, **self._arguments())


class ConfigError(RolecallError):
    """The configuration or the environment does not add up."""


class StoreError(RolecallError):
    """A shared store cannot be used."""

    retryable = True


class FetchError(RolecallError):
    """Credentials could not be had."""

    retryable = True


class AccessDenied(FetchError):
    """STS refused; only a change of policy mends it."""

    retryable = False
    default_hint = (
        "check that the role's trust policy names the caller, and that the caller may call "
        "sts:AssumeRole on the role"
    )


class Throttled(FetchError):
    """STS asks for fewer calls."""

    default_hint = "too many STS calls in this account and region: they are retried with pauses"


class Unreachable(FetchError):
    """The source did not answer, or answered nothing usable."""

    default_hint = "check the network, proxy and endpoint"


class CredentialsExpired(FetchError):
    """Credentials are expired and no new ones could be had."""

    default_hint = "renew the source credentials, such as by signing in again"


class MFARequired(FetchError):
    """A new MFA code is needed."""

    retryable = False
    default_hint = (
        "pass mfa_token_provider (a callable or a command that gives six digits), or "
        "mfa_session=timedelta(hours=12) to be asked once"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What an STS error code means for the caller."""

    kind: type[FetchError]
    retryable: bool
    hint: str = ""


_WAIT = Meaning(kind=Throttled, retryable=True)
_LATER = Meaning(kind=Unreachable, retryable=True)
_SOURCE_EXPIRED = Meaning(kind=CredentialsExpired, retryable=True)


def _never(hint: str) -> Meaning:
    return Meaning(kind=FetchError, retryable=False, hint=hint)


#: STS error code → what it means. [STS API reference, AssumeRole and AssumeRoleWithWebIdentity]
STS_CODES: Mapping[str, Meaning] = MappingProxyType(
    {
        "AccessDenied": Meaning(kind=AccessDenied, retryable=False),
        "AccessDeniedException": Meaning(kind=AccessDenied, retryable=False),
        "Throttling": _WAIT,
        "ThrottlingException": _WAIT,
        "ThrottledException": _WAIT,
        "RequestLimitExceeded": _WAIT,
        "TooManyRequestsException": _WAIT,
        "SlowDown": _WAIT,
        "ExpiredToken": _SOURCE_EXPIRED,
        "ExpiredTokenException": _SOURCE_EXPIRED,
        "InvalidClientTokenId": Meaning(
            kind=AccessDenied,
            retryable=False,
            hint="the source's access key does not exist (any more), or its token is of another "
            "partition or of a region that is not enabled",
        ),
        "UnrecognizedClientException": Meaning(
            kind=AccessDenied, retryable=False, hint="the source's access key does not exist"
        ),
        "SignatureDoesNotMatch": Meaning(
            kind=AccessDenied,
            retryable=False,
            hint="the source's secret key is wrong, or the local clock is more than 15 minutes off",
        ),
        "InvalidSignatureException": Meaning(
            kind=AccessDenied, retryable=False, hint="the source's secret key is wrong"
        ),
        "RequestExpired": Meaning(
            kind=Unreachable,
            retryable=True,
            hint="the local clock is more than 15 minutes off",
        ),
        "RequestTimeTooSkewed": Meaning(
            kind=Unreachable, retryable=True, hint="the local clock is more than 15 minutes off"
        ),
        "MalformedPolicyDocument": _never("Policy is not a valid session policy"),
        "PackedPolicyTooLarge": _never("shorten Policy, PolicyArns and Tags: together too large"),
        "RegionDisabledException": _never(
            "STS is not enabled in this region: enable it in IAM's account settings, or give "
            'sts_client_kwargs={"region_name": …}'
        ),
        "ValidationError": _never("STS finds an argument invalid"),
        "InvalidParameterValue": _never("STS finds an argument invalid"),
        "InvalidIdentityToken": _never(
            "the web identity token is not one this role's provider accepts"
        ),
        "IDPRejectedClaim": _never("the identity provider rejected the token, or it was revoked"),
        "IDPCommunicationError": _LATER,
        # Other servers' words. [Ceph RGW]
        "InvalidArgument": _never("STS finds an argument invalid"),
        "MethodNotAllowed": _never("this server does not have the operation"),
        "InternalFailure": _LATER,
        "InternalError": _LATER,
        "ServiceUnavailable": _LATER,
    }
)

#: For codes that are not in the table: a refusal may be mended by waiting, we cannot know.
UNKNOWN_CODE = Meaning(kind=FetchError, retryable=True)


def meaning_of(code: str | None, status: int | None = None) -> Meaning:
    """Return what STS error *code* means; *status* (HTTP) decides where the code is not known."""
    if code is not None and code in STS_CODES:
        return STS_CODES[code]
    if status is not None and status >= 500:
        return _LATER
    if status == 403:
        return Meaning(kind=AccessDenied, retryable=False)
    return UNKNOWN_CODE
