"""STS: it issues the keys that this cloud accepts, and lets them die in time."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from .answers import Answer, Refused, sts_answer
from .keys import AwsClock, Key, Keys, Principal, fake_id
from .request import Request
from .trust import Trusts

_NAME = r"[\w+=,.@-]*"
_ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[\x21-\x7e]*/)?([\w+=,.@-]+)")
_CHAINED_LIMIT = 3600
_PLAIN_TEXT_LIMIT = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """What STS's service model allows for one parameter."""

    least: int
    most: int
    pattern: str = ""
    number: bool = False
    required: bool = False


#: [STS service model]
_ROLE_LIMITS = {
    "RoleArn": _Limit(least=20, most=2048, required=True),
    "RoleSessionName": _Limit(least=2, most=64, pattern=_NAME, required=True),
    "DurationSeconds": _Limit(least=900, most=43200, number=True),
    "ExternalId": _Limit(least=2, most=1224, pattern=r"[\w+=,.@:\/-]*"),
    "SerialNumber": _Limit(least=9, most=256, pattern=r"[\w+=/:,.@-]*"),
    "TokenCode": _Limit(least=6, most=6, pattern=r"[\d]*"),
    "SourceIdentity": _Limit(least=2, most=64, pattern=_NAME),
    "WebIdentityToken": _Limit(least=4, most=20000),
}
_USER_LIMITS = {
    "DurationSeconds": _Limit(least=900, most=129600, number=True),
    "SerialNumber": _ROLE_LIMITS["SerialNumber"],
    "TokenCode": _ROLE_LIMITS["TokenCode"],
    "Name": _Limit(least=2, most=32, pattern=_NAME),
}


class Roles(Protocol):
    """What STS asks IAM about roles."""

    def role_facts(self, role_arn: str) -> tuple[str, int] | None:
        """Return id and MaxSessionDuration (seconds) of a role; None: it was never created."""
        ...


class Sts:
    """The operations of STS that hand out keys or say whose they are."""

    def __init__(
        self,
        keys: Keys,
        trusts: Trusts,
        roles: Roles,
        *,
        clock: AwsClock,
        longest: Callable[[], timedelta | None],
    ) -> None:
        self._keys = keys
        self._trusts = trusts
        self._roles = roles
        self._clock = clock
        self._longest = longest

    def answer(self, request: Request) -> Answer | None:
        """Answer *request*; None: another operation of STS, which moto answers.

        Raises:
            Refused: STS refuses.
        """
        given = request.parameters
        match request.operation:
            case "AssumeRoleWithWebIdentity":
                return self._assume_role_with_web_identity(given)
            case "AssumeRole":
                return self._assume_role(given, self._keys.check(request).principal)
            case "GetSessionToken":
                return self._get_session_token(given, self._keys.check(request).principal)
            case "GetFederationToken":
                return self._get_federation_token(given, self._keys.check(request).principal)
            case "GetCallerIdentity":
                whose = self._keys.check(request).principal
                return sts_answer(
                    "GetCallerIdentity",
                    {"Arn": whose.arn, "UserId": whose.user_id, "Account": whose.account},
                )
        return None

    def _assume_role(self, given: Mapping[str, str], caller: Principal) -> Answer:
        _validate(given, _ROLE_LIMITS)
        arn = given["RoleArn"]
        chained = caller.kind == "role"
        duration = self._duration(given, arn, chained=chained)
        mfa = self._trusts.mfa_given(given) or caller.mfa
        self._trusts.check(caller, arn, given.get("ExternalId"), mfa)
        role = replace(self._role_session(arn, given["RoleSessionName"]), mfa=mfa)
        return self._issued("AssumeRole", given, role, duration)

    def _assume_role_with_web_identity(self, given: Mapping[str, str]) -> Answer:
        limits = dict(_ROLE_LIMITS)
        limits["WebIdentityToken"] = replace(limits["WebIdentityToken"], required=True)
        _validate(given, limits)
        arn = given["RoleArn"]
        claims = self._claims(given["WebIdentityToken"])
        duration = self._duration(given, arn, chained=False)
        self._trusts.check_issuer(str(claims.get("iss")), arn)
        role = self._role_session(arn, given["RoleSessionName"])
        return self._issued(
            "AssumeRoleWithWebIdentity",
            given,
            role,
            duration,
            SubjectFromWebIdentityToken=claims.get("sub"),
            Audience=claims.get("aud"),
            Provider=claims.get("iss"),
        )

    def _get_session_token(self, given: Mapping[str, str], caller: Principal) -> Answer:
        _validate(given, _USER_LIMITS)
        _long_term_only("GetSessionToken", caller)
        user = replace(caller, kind="session", mfa=self._trusts.mfa_given(given))
        duration = timedelta(seconds=int(given.get("DurationSeconds", "43200")))
        key = self._issue(user, duration)
        return sts_answer("GetSessionToken", {"Credentials": self._credentials(key)})

    def _get_federation_token(self, given: Mapping[str, str], caller: Principal) -> Answer:
        _validate(given, {**_USER_LIMITS, "Name": replace(_USER_LIMITS["Name"], required=True)})
        _long_term_only("GetFederationToken", caller)
        name = given["Name"]
        user = Principal(
            kind="federated",
            account=caller.account,
            arn=f"arn:{caller.partition}:sts::{caller.account}:federated-user/{name}",
            user_id=f"{caller.account}:{name}",
            partition=caller.partition,
        )
        duration = timedelta(seconds=int(given.get("DurationSeconds", "43200")))
        key = self._issue(user, duration)
        who = {"FederatedUserId": user.user_id, "Arn": user.arn}
        return sts_answer(
            "GetFederationToken",
            {"Credentials": self._credentials(key), "FederatedUser": who},
        )

    def _duration(self, given: Mapping[str, str], arn: str, *, chained: bool) -> timedelta:
        seconds = int(given.get("DurationSeconds", "3600"))
        # AWS refuses more than 1 h when chaining, whatever the role allows. [IAM, role chaining]
        if chained and seconds > _CHAINED_LIMIT:
            raise Refused(
                "ValidationError",
                400,
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed "
                "by role chaining",
            )
        facts = self._roles.role_facts(arn)
        if facts is not None and seconds > facts[1]:
            raise Refused(
                "ValidationError",
                400,
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            )
        return timedelta(seconds=seconds)

    def _role_session(self, arn: str, session_name: str) -> Principal:
        match = _ROLE_ARN.fullmatch(arn)
        if match is None:
            raise Refused("ValidationError", 400, f"{arn} is invalid")
        partition, account, name = match.groups()
        facts = self._roles.role_facts(arn)
        role_id = facts[0] if facts else fake_id("AROA", arn)
        return Principal(
            kind="role",
            account=account,
            arn=f"arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}",
            user_id=f"{role_id}:{session_name}",
            partition=partition,
            role_arn=arn,
        )

    def _issue(self, principal: Principal, duration: timedelta) -> Key:
        longest = self._longest()
        return self._keys.issue(principal, duration if longest is None else min(duration, longest))

    def _issued(
        self,
        operation: str,
        given: Mapping[str, str],
        role: Principal,
        duration: timedelta,
        **more: Any,
    ) -> Answer:
        packed = _packed_size(given)
        key = self._issue(role, duration)
        return sts_answer(
            operation,
            {
                "AssumedRoleUser": {"AssumedRoleId": role.user_id, "Arn": role.arn},
                "Credentials": self._credentials(key),
                "PackedPolicySize": packed,
                "SourceIdentity": given.get("SourceIdentity"),
                **more,
            },
        )

    def _credentials(self, key: Key) -> Mapping[str, object]:
        return {
            "AccessKeyId": key.access_key,
            "SecretAccessKey": key.secret_key,
            "SessionToken": key.token,
            "Expiration": None if key.dies_at is None else self._clock.stamp(key.dies_at),
        }

    def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            _, payload, _ = token.split(".")
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            expires_at = float(claims["exp"])
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(
                "InvalidIdentityToken", 400, "The ID Token provided is not a valid JWT."
            ) from error
        if expires_at <= self._clock.time():
            raise Refused("ExpiredTokenException", 400, "Token expired")
        found: Mapping[str, Any] = claims
        return found


def _packed_size(given: Mapping[str, str]) -> int | None:
    policy = given.get("Policy")
    if policy is None:
        return None
    try:
        json.loads(policy)
    except ValueError as error:
        raise Refused("MalformedPolicyDocument", 400, "The policy is not valid JSON.") from error
    size = len(policy) * 100 // _PLAIN_TEXT_LIMIT
    if size > 100:
        raise Refused(
            "PackedPolicyTooLarge", 400, f"Packed policy consumes {size}% of allotted space"
        )
    return size


def _long_term_only(operation: str, caller: Principal) -> None:
    if caller.kind != "user":
        raise Refused("AccessDenied", 403, f"Cannot call {operation} with session credentials")


def _validate(given: Mapping[str, str], limits: Mapping[str, _Limit]) -> None:
    problems = [
        f"Value '{given.get(name, 'null')}' at '{name[0].lower()}{name[1:]}' failed to satisfy "
        f"constraint: {constraint}"
        for name, limit in limits.items()
        for constraint in _broken(given.get(name), limit)
    ]
    if problems:
        found = "1 validation error" if len(problems) == 1 else f"{len(problems)} validation errors"
        raise Refused("ValidationError", 400, f"{found} detected: {'; '.join(problems)}")


def _broken(value: str | None, limit: _Limit) -> list[str]:
    if value is None:
        return ["Member must not be null"] if limit.required else []
    what, size = "length", len(value)
    if limit.number:
        if not value.lstrip("-").isdecimal():
            return ["Member must be a whole number"]
        what, size = "value", int(value)
    broken = []
    if size < limit.least:
        broken.append(f"Member must have {what} greater than or equal to {limit.least}")
    if size > limit.most:
        broken.append(f"Member must have {what} less than or equal to {limit.most}")
    if limit.pattern and not re.fullmatch(limit.pattern, value, re.ASCII):
        broken.append(f"Member must satisfy regular expression pattern: {limit.pattern}")
    return broken
