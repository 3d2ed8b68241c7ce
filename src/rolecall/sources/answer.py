"""Read credentials out of an answer: every shape that AWS and boto3 give them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from ..credentials import Credentials
from ..errors import FetchError

HINT = (
    "return a dict with access_key, secret_key, token and expiry_time, or the response of an "
    "AssumeRole call, or a rolecall.Credentials"
)

#: Keys longer than this, or with other characters, may be data; data may be secret.
_SAFE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_MOST_KEYS = 12

# Python 3.10's datetime.fromisoformat takes neither Z, nor +0000, nor botocore's own "UTC".
_INSTANT = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[Tt ]"
    r"(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?\s*"
    r"(?:(Z|z|UTC|GMT)|([+-])(\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)
#: A string of these characters is a date of some kind, so it may be shown.
_LOOKS_LIKE_A_DATE = re.compile(r"[0-9TZtzUTCGM:+., -]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a dict of credentials calls its parts."""

    access_key: str
    secret_key: str
    token: str
    expires_at: str
    account_id: str

    @property
    def required(self) -> tuple[str, ...]:
        """The keys that must be there."""
        return (self.access_key, self.secret_key, self.token, self.expires_at)


#: What botocore's ``RefreshableCredentials.create_from_metadata`` takes.
METADATA = Shape(
    access_key="access_key",
    secret_key="secret_key",
    token="token",
    expires_at="expiry_time",
    account_id="account_id",
)
#: ``Credentials`` of an STS response; also what a credential_process prints.
STS = Shape(
    access_key="AccessKeyId",
    secret_key="SecretAccessKey",
    token="SessionToken",
    expires_at="Expiration",
    account_id="AccountId",
)


def read_answer(answer: object, *, who: str) -> Credentials:
    """Return the credentials in *answer*; whether they have expired is not looked at.

    Args:
        answer: A `Credentials`, a botocore metadata dict, an STS response or the
            ``Credentials`` inside it, or what a credential_process prints.
        who: Who answered, for the message.

    Raises:
        FetchError: it has another shape. The message names types and keys, never a value.
    """
    if isinstance(answer, Credentials):
        return answer
    if not isinstance(answer, Mapping):
        raise _refusal(who, f"returned {_described(answer)}")
    said = f"returned {type(answer).__name__} with keys {_keys(answer)}"
    inner: Any = answer
    if "Credentials" in answer:
        inner = answer["Credentials"]
        if not isinstance(inner, Mapping):
            raise _refusal(who, f"{said}: Credentials is {type(inner).__name__}, not a dict")
        said += f", and in Credentials {_keys(inner)}"
    shape = max((METADATA, STS), key=lambda one: sum(key in inner for key in one.required))
    problems, expires_at = _problems(inner, shape)
    if problems:
        raise _refusal(who, f"{said}: {'; '.join(problems)}")
    return Credentials(
        access_key=inner[shape.access_key],
        secret_key=inner[shape.secret_key],
        token=inner[shape.token],
        expires_at=expires_at,
        account_id=_account(inner.get(shape.account_id)) or _account_of_user(answer),
    )


def _problems(inner: Mapping[str, Any], shape: Shape) -> tuple[list[str], datetime | None]:
    problems = []
    expires_at = None
    missing = [key for key in shape.required if inner.get(key) in (None, "")]
    if missing:
        problems.append(f"missing {', '.join(missing)}")
    # Only a credential_process has a Version. [AWS CLI guide, sourcing with an external process]
    if shape is STS and inner.get("Version", 1) != 1:
        problems.append("Version is not 1")
    for key in (shape.access_key, shape.secret_key, shape.token):
        value = inner.get(key)
        if key in missing:
            continue
        if not isinstance(value, str):
            problems.append(f"{key} is {type(value).__name__}, not str")
        elif value != value.strip():
            problems.append(f"{key} has white space around it")
    if shape.expires_at not in missing:
        try:
            expires_at = read_instant(inner[shape.expires_at])
        except ValueError as error:
            problems.append(f"{shape.expires_at} {error}")
    return problems, expires_at


def read_instant(value: object) -> datetime:
    """Return *value*, an aware datetime or ISO 8601 text, as an aware UTC datetime.

    Raises:
        ValueError: it is neither, or has no time zone. The text starts with "is" and shows
            *value* only where it looks like a date.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(
                f"is {value.isoformat()} without a time zone: make it aware, such as with "
                "tzinfo=timezone.utc"
            )
        try:
            return value.astimezone(timezone.utc)
        except OverflowError as error:
            raise ValueError(f"is not a date there is in UTC: {value.isoformat()}") from error
    if not isinstance(value, str):
        raise ValueError(f"is {type(value).__name__}, not an aware datetime or ISO 8601 text")
    shown = value if _LOOKS_LIKE_A_DATE.fullmatch(value) else f"str of {len(value)} characters"
    match = _INSTANT.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"is not ISO 8601: {shown}")
    year, month, day, hour, minute, second, fraction, utc, sign, hours, minutes = match.groups()
    if not utc and not sign:
        raise ValueError(f"is {shown} without a time zone: add Z or an offset")
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        local = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]),
            timezone(-offset if sign == "-" else offset),
        )
        return local.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is not a date there is: {shown}") from error


def _refusal(who: str, what: str) -> FetchError:
    return FetchError(f"{who} {what}", hint=HINT, context={"source": who}, retryable=False)


def _described(answer: object) -> str:
    kind = type(answer)
    home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    name = home + kind.__qualname__
    # botocore's frozen credentials, and its Credentials: the keys alone.
    if hasattr(answer, "access_key") and hasattr(answer, "secret_key"):
        return f"{name}, which does not say when it expires"
    return f"{name}, not credentials"


def _keys(mapping: Mapping[Any, Any]) -> str:
    keys = [
        key if isinstance(key, str) and _SAFE_KEY.fullmatch(key) else f"<{type(key).__name__}>"
        for key in list(mapping)[:_MOST_KEYS]
    ]
    more = len(mapping) - len(keys)
    return (", ".join(keys) or "(none)") + (f" and {more} more" if more > 0 else "")


def _account(value: object) -> str | None:
    text = f"{value:012d}" if isinstance(value, int) and value > 0 else value
    return text if isinstance(text, str) and re.fullmatch("[0-9]{12}", text) else None


def _account_of_user(answer: Mapping[str, Any]) -> str | None:
    user = answer.get("AssumedRoleUser") or answer.get("FederatedUser")
    arn = user.get("Arn") if isinstance(user, Mapping) else None
    parts = arn.split(":") if isinstance(arn, str) else []
    return _account(parts[4]) if len(parts) > 5 else None
