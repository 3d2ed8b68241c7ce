"""The trust policy a role needs, so that those who shall assume it may."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..errors import InvalidChain, Problem
from . import limits
from .arn import ACCOUNT_ID, PARTITION, shown
from .canonical import kind

_AWS_PRINCIPAL = re.compile(
    rf"arn:({PARTITION.pattern}):"
    r"(?:iam::[0-9]{12}:(?:root|(?:user|role)/[\x21-\x7e]+)"
    r"|sts::[0-9]{12}:(?:assumed-role/[^\s/]+/[^\s/]+|federated-user/[^\s/]+))"
)
_OIDC_PROVIDER = re.compile(rf"arn:({PARTITION.pattern}):iam::[0-9]{{12}}:oidc-provider/(\S+)")
_SERVICE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")  # [Organizations, Organization, Id]
_ANYBODY = "*"

_EXAMPLES = (
    "the ARN of a user, a role, a session of a role or an OIDC provider, an account's 12 digits, "
    "or a service such as lambda.amazonaws.com"
)

Conditions = dict[str, dict[str, Any]]


class TrustPolicy(dict[str, Any]):
    """A trust policy: a plain dict for ``iam.create_role``, and JSON to paste."""

    def json(self, indent: int | None = 2) -> str:
        """Return the policy as JSON, as the console and ``aws iam create-role`` take it."""
        return json.dumps(self, indent=indent)


def trust_policy(
    principals: str | int | Iterable[str | int],
    *,
    external_id: str | None = None,
    mfa: bool | timedelta = False,
    org_id: str | None = None,
    tags: bool | Iterable[str] | Mapping[str, str | Iterable[str]] | None = None,
    claims: Mapping[str, str | Iterable[str]] | None = None,
) -> TrustPolicy:
    """Return the trust policy that lets *principals* assume a role.

    Each kind of principal gets a statement of its own, since each meets other conditions: a
    service has no external id, and an OIDC token no MFA.

    Args:
        principals: One or more of: ARNs of users, roles, sessions of roles or OIDC providers;
            account ids; services such as ``lambda.amazonaws.com``; ``*``, with *org_id* only.
        external_id: What the caller must send as ExternalId.
        mfa: The caller must have signed in with MFA; a timedelta: no longer ago than that.
        org_id: The caller's account must be in this organization, ``o-…``.
        tags: Let the caller pass session tags. A mapping: only with these values.
        claims: What the OIDC token must say, such as ``{"aud": …, "sub": "repo:owner/name:*"}``;
            ``*`` and ``?`` match as in a shell. Without one, every token of the provider will do.

    Raises:
        InvalidChain: with all that is wrong with the arguments.
    """
    found: list[Problem] = []
    aws, services, providers = _sorted_out(principals, org_id, found)
    conditions = _conditions(external_id, mfa, org_id, found)
    tag_conditions = _tag_conditions(tags, found)
    claim_conditions = _claim_conditions(claims, providers, found)
    if conditions and not aws and not found:
        given = [
            n for n, v in (("external_id", external_id), ("mfa", mfa), ("org_id", org_id)) if v
        ]
        message = "is a condition for users, roles and accounts, and none is among the principals"
        found += [Problem(field=name, message=message) for name in given]
    if found:
        raise InvalidChain(found)

    tagging = ["sts:TagSession"] if _allows_tags(tags) else []
    statements = []
    if aws:
        actions = ["sts:AssumeRole", *tagging]
        statements.append(_statement("AWS", aws, actions, _merged(conditions, tag_conditions)))
    if services:
        actions = ["sts:AssumeRole", *tagging]
        statements.append(_statement("Service", services, actions, tag_conditions))
    if providers:
        actions = ["sts:AssumeRoleWithWebIdentity", *tagging]
        merged = _merged(claim_conditions, tag_conditions)
        statements.append(_statement("Federated", list(providers), actions, merged))
    return TrustPolicy(Version="2012-10-17", Statement=statements)


def _statement(
    kind_of_principal: str, names: list[str], actions: list[str], conditions: Conditions
) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": "*" if names == [_ANYBODY] else {kind_of_principal: _one_or_all(names)},
        "Action": _one_or_all(actions),
    }
    return {**statement, "Condition": conditions} if conditions else statement


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _merged(*all_conditions: Conditions) -> Conditions:
    merged: Conditions = {}
    for conditions in all_conditions:
        for operator, tests in conditions.items():
            merged.setdefault(operator, {}).update(tests)
    return merged


def _sorted_out(
    principals: Any, org_id: object, found: list[Problem]
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return AWS principals, services, and the URL of each OIDC provider by its ARN."""
    if isinstance(principals, (str, int)):
        principals = [principals]
    if isinstance(principals, (bytes, Mapping)) or not isinstance(principals, Iterable):
        message = f"must be {_EXAMPLES}, or a list of them, got {kind(principals)}"
        found.append(Problem(field="principals", message=message))
        return [], [], {}
    aws: list[str] = []
    accounts: list[str] = []
    services: list[str] = []
    providers: dict[str, str] = {}
    partitions: dict[str, None] = {}
    given = list(principals)
    for number, item in enumerate(given):
        text = f"{item:012d}" if isinstance(item, int) and not isinstance(item, bool) else item
        if isinstance(text, str) and (arn := _AWS_PRINCIPAL.fullmatch(text)) and "*" not in text:
            partitions[arn[1]] = None
            aws.append(text)
        elif isinstance(text, str) and (arn := _OIDC_PROVIDER.fullmatch(text)):
            partitions[arn[1]] = None
            providers[text] = arn[2]
        elif isinstance(text, str) and ACCOUNT_ID.fullmatch(text):
            accounts.append(text)
        elif isinstance(text, str) and _SERVICE.fullmatch(text):
            services.append(text)
        elif text == _ANYBODY and org_id is not None:
            aws.append(_ANYBODY)
        else:
            message = _why_not(text)
            found.append(Problem(field=f"principals[{number}]", message=message))
    if not given:
        found.append(Problem(field="principals", message=f"is empty: give {_EXAMPLES}"))
    if len(partitions) > 1:
        message = f"are in several partitions ({', '.join(partitions)}), and no role is"
        found.append(Problem(field="principals", message=message))
    partition = next(iter(partitions), "aws")
    aws += [f"arn:{partition}:iam::{account}:root" for account in accounts]
    if _ANYBODY in aws and len(aws) > 1:
        message = "has * beside others, and * is all of them"
        found.append(Problem(field="principals", message=message))
    return _once(aws), _once(services), providers


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _why_not(item: object) -> str:
    if not isinstance(item, str):
        return f"must be {_EXAMPLES}, got {kind(item)}"
    if item == _ANYBODY:
        return "lets everybody in the world assume the role: with * give org_id too"
    if ":group/" in item:
        return f"{shown(item)} is a group, which cannot be a principal: name users or the account"
    if ":saml-provider/" in item:
        return f"{shown(item)} is a SAML provider; its policy needs the console's own template"
    if item.startswith("arn:") and "*" in item:
        return f"{shown(item)} has a *, which matches nothing in a principal: name the account"
    if item.isdigit():
        return f"{shown(item)} has {len(item)} digits, an account id has 12"
    return f"{shown(item)} is not {_EXAMPLES}"


def _conditions(external_id: str | None, mfa: Any, org_id: Any, found: list[Problem]) -> Conditions:
    equals: dict[str, Any] = {}
    conditions: Conditions = {}
    if external_id is not None:
        found += [replace(each, field="external_id") for each in limits.external_id(external_id)]
        equals["sts:ExternalId"] = external_id
    if org_id is not None:
        if not isinstance(org_id, str) or not _ORGANIZATION.fullmatch(org_id):
            got = shown(org_id) if isinstance(org_id, str) else kind(org_id)
            message = f"must be like o-a1b2c3d4e5, got {got}"
            found.append(Problem(field="org_id", message=message))
        equals["aws:PrincipalOrgID"] = org_id
    if equals:
        conditions["StringEquals"] = equals
    if isinstance(mfa, timedelta):
        seconds = int(mfa.total_seconds())
        if seconds < 1:
            message = f"must be a positive time since the sign-in, got {mfa}"
            found.append(Problem(field="mfa", message=message))
        conditions["Bool"] = {"aws:MultiFactorAuthPresent": "true"}
        conditions["NumericLessThan"] = {"aws:MultiFactorAuthAge": str(seconds)}
    elif mfa is True:
        conditions["Bool"] = {"aws:MultiFactorAuthPresent": "true"}
    elif mfa is not False:
        found.append(
            Problem(field="mfa", message=f"must be a bool or a timedelta, got {kind(mfa)}")
        )
    return conditions


def _allows_tags(tags: Any) -> bool:
    return tags is True or (tags is not None and tags is not False and bool(list(tags)))


def _tag_conditions(tags: Any, found: list[Problem]) -> Conditions:
    if tags is None or isinstance(tags, bool):
        return {}
    if isinstance(tags, (str, bytes)) or not isinstance(
        tags, (Mapping, list, tuple, set, frozenset)
    ):
        message = f"must be True, a list of keys or a dict, got {kind(tags)}"
        found.append(Problem(field="tags", message=message))
        return {}
    # Keys are checked together, since two that differ in case only are one key.
    keys = limits.tags(tuple((key, "") for key in tags))
    found += [replace(each, field=each.field.replace("Tags", "tags", 1)) for each in keys]
    if not isinstance(tags, Mapping) or not tags:
        return {}
    wanted = {}
    for key, value in tags.items():
        field = f"tags[{shown(str(key))}]"
        values = _texts(field, value, found)
        wrong = (each for text in values for each in limits.tags((("key", text),)))
        found += [replace(each, field=field) for each in wrong]
        wanted[f"aws:RequestTag/{key}"] = _one_or_all(values)
    return {"StringEquals": wanted}


def _claim_conditions(claims: Any, providers: dict[str, str], found: list[Problem]) -> Conditions:
    if claims is None:
        return {}
    if not isinstance(claims, Mapping):
        message = f'must be a dict such as {{"aud": …, "sub": …}}, got {kind(claims)}'
        found.append(Problem(field="claims", message=message))
        return {}
    if len(providers) != 1:
        message = f"belong to one OIDC provider, and {len(providers)} are among the principals"
        found.append(Problem(field="claims", message=message))
        return {}
    (url,) = providers.values()
    conditions: Conditions = {}
    for name, value in claims.items():
        values = _texts(f"claims[{shown(str(name))}]", value, found)
        pattern = any(sign in text for text in values for sign in "*?")
        operator = "StringLike" if pattern else "StringEquals"
        conditions.setdefault(operator, {})[f"{url}:{name}"] = _one_or_all(values)
    return conditions


def _texts(field: str, value: Any, found: list[Problem]) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if (
        not isinstance(values, (list, tuple, set, frozenset))
        or not values
        or not all(isinstance(each, str) for each in values)
    ):
        message = f"must be a string or a list of them, got {kind(value)}"
        found.append(Problem(field=field, message=message))
        return [""]
    return sorted(values) if isinstance(values, (set, frozenset)) else list(values)
