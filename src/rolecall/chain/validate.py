"""Every documented limit that a chain breaks, all at once, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import Problem
from . import limits
from .arn import PARTITION, RoleArn, shown
from .canonical import kind
from .origin import CREDENTIAL_SOURCES, CredentialSource, Profile, SessionToken, WebIdentity

if TYPE_CHECKING:
    from .role import Role, RoleChain


def problems(chain: RoleChain) -> tuple[Problem, ...]:
    """Return every documented limit that *chain* breaks; empty if it may be sent.

    Pure: nothing is looked up. First what is wrong with the origin, then hop by hop.
    """
    found = list(origin_problems(chain.origin))
    # GetSessionToken gives a user's session, not a role's: what it assumes is not chaining.
    chained = isinstance(chain.origin, WebIdentity)
    inherited = _Inherited(_origin_partition(chain.origin))
    for hop, role in enumerate(chain.roles):
        found += role_problems(role, hop, chained or hop > 0)
        found += _at(hop, inherited.problems(role))
        inherited.pass_on(role, hop)
    return tuple(found)


def role_problems(role: Role, hop: int | None, chained: bool) -> list[Problem]:
    """Return every limit that one AssumeRole call breaks, whoever makes it.

    Args:
        hop: Which role of its chain it is, for the message. None: it is on its own.
        chained: Whether the caller is itself a role session; then an hour is the longest.
    """
    return list(_at(hop, _of_role(role, chained)))


def _of_role(role: Role, chained: bool) -> Iterator[Problem]:
    yield from limits.role_arn(role.arn)
    if role.session_name is not None:
        yield from limits.session_name(role.session_name)
    if role.duration is not None:
        yield from limits.duration(role.duration, chained=chained)
    yield from _session_policies(role.policy, role.policy_arns, role.arn)
    yield from limits.tags(role.tags)
    yield from limits.transitive_tag_keys(role.transitive_tag_keys, role.tags)
    if role.external_id is not None:
        yield from limits.external_id(role.external_id)
    if role.mfa_serial is not None:
        yield from limits.serial_number(role.mfa_serial)
    if role.source_identity is not None:
        yield from limits.source_identity(role.source_identity)
    yield from limits.provided_contexts(role.provided_contexts)


def _session_policies(
    policy: str | None, policy_arns: tuple[str, ...], role_arn: str | None
) -> Iterator[Problem]:
    if policy is not None:
        yield from limits.policy(policy)
    yield from limits.policy_arns(policy_arns, _parsed(role_arn))
    yield from limits.policy_size(policy, policy_arns)


def origin_problems(origin: object) -> Iterator[Problem]:
    """Yield every limit that an origin breaks."""
    if isinstance(origin, WebIdentity):
        yield from _of_web_identity(origin)
    elif isinstance(origin, SessionToken):
        yield from _of_session_token(origin)
    elif isinstance(origin, Profile):
        yield from _not_empty("profile_name", origin.name)
    elif isinstance(origin, CredentialSource) and origin.name not in CREDENTIAL_SOURCES:
        message = f"must be one of {', '.join(CREDENTIAL_SOURCES)}, got {shown(str(origin.name))}"
        yield Problem(field="credential_source", message=message, source="AWS CLI guide, roles")


def _of_web_identity(origin: WebIdentity) -> Iterator[Problem]:
    if origin.role_arn is not None:
        yield from limits.role_arn(origin.role_arn)
    if origin.session_name is not None:
        yield from limits.session_name(origin.session_name)
    if origin.duration is not None:
        yield from limits.duration(origin.duration)
    yield from _session_policies(origin.policy, origin.policy_arns, origin.role_arn)
    if origin.token is not None and origin.token_file is not None:
        message = "is given twice: give token_file or token, not both"
        yield Problem(field="WebIdentityToken", message=message)
    if origin.token_file is not None:
        yield from _not_empty("token_file", origin.token_file)


def _not_empty(field: str, value: object) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(field=field, message=f"must be a string, got {kind(value)}")
    elif not value:
        yield Problem(field=field, message="is empty")


def _of_session_token(origin: SessionToken) -> Iterator[Problem]:
    yield from limits.duration(origin.duration, longest=limits.LONGEST_SESSION_TOKEN)
    if origin.mfa_serial is not None:
        yield from limits.serial_number(origin.mfa_serial)
    if isinstance(origin.of, (SessionToken, WebIdentity)):
        message = (
            f"GetSessionToken needs the long-term keys of an IAM user, and {origin.of} gives a "
            "session's"
        )
        yield Problem(field="of", message=message, source="STS GetSessionToken")
    yield from origin_problems(origin.of)


class _Inherited:
    """What the hops so far hand to the next one."""

    def __init__(self, partition: str | None) -> None:
        self.partition = partition
        self.partition_of = "the origin"
        self.tag_keys: dict[str, int] = {}
        self.source_identity: tuple[str, int] | None = None

    def problems(self, role: Role) -> Iterator[Problem]:
        """Yield where *role* contradicts what came before."""
        arn = _parsed(role.arn)
        if arn and self.partition and arn.partition != self.partition:
            message = (
                f"{shown(role.arn)} is in the partition {arn.partition}, and {self.partition_of} "
                f"in {self.partition}: no credentials are valid in two partitions"
            )
            yield Problem(field="RoleArn", message=message, source="IAM guide, partitions")
        for number, (key, _) in enumerate(role.tags):
            if limits.folded(key) in self.tag_keys:
                message = (
                    f"{shown(str(key))} is inherited from hop {self.tag_keys[limits.folded(key)]}, "
                    "which passes it on as transitive: it cannot be set again"
                )
                yield Problem(
                    field=f"Tags[{number}].Key", message=message, source=limits.SESSION_TAGS
                )
        if role.source_identity is not None and self.source_identity is not None:
            name, hop = self.source_identity
            if role.source_identity != name:
                message = f"hop {hop} sets it to {shown(name)}, and later hops cannot change it"
                yield Problem(
                    field="SourceIdentity", message=message, source=limits.SOURCE_IDENTITY
                )

    def pass_on(self, role: Role, hop: int) -> None:
        """Remember what *role* hands on."""
        arn = _parsed(role.arn)
        if arn:
            self.partition, self.partition_of = arn.partition, f"hop {hop}"
        for key in role.transitive_tag_keys:
            self.tag_keys.setdefault(limits.folded(key), hop)
        if self.source_identity is None and role.source_identity is not None:
            self.source_identity = (str(role.source_identity), hop)


def _origin_partition(origin: object) -> str | None:
    if isinstance(origin, WebIdentity):
        arn = _parsed(origin.role_arn)
        return arn.partition if arn else None
    if isinstance(origin, SessionToken) and isinstance(origin.mfa_serial, str):
        start, _, rest = origin.mfa_serial.partition(":")  # a hardware device has no ARN
        partition = rest.partition(":")[0]
        return partition if start == "arn" and PARTITION.fullmatch(partition) else None
    return None


def _parsed(arn: object) -> RoleArn | None:
    try:
        return RoleArn.parse(arn)
    except ValueError:
        return None


def _at(hop: int | None, found: Iterable[Problem]) -> Iterator[Problem]:
    return (replace(problem, hop=hop) for problem in found)
