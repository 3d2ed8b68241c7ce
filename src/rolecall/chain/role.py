"""The `Role` and `RoleChain` values: who is assumed, from where, with what."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..errors import InvalidChain, Problem
from . import canonical, validate
from .arn import RoleArn
from .naming import AUTOMATIC_ROLE_SESSION_NAME
from .origin import ORIGINS, Origin

if TYPE_CHECKING:
    from .opened import AioChainSession

#: Opens a session for a chain. The layer that knows boto3 puts itself here when it is imported.
session_opener: Callable[..., Any] | None = None

#: The same for asynchronous sessions.
aio_session_opener: Callable[..., Any] | None = None

#: Builds a chain from a profile's name, the environment and botocore's configuration. `profiles`
#: puts itself here: it builds chains, so it cannot be imported from where they are defined.
profile_reader: Callable[..., RoleChain] | None = None

#: Field → how boto3 spells it.
_SPELLING = {
    "session_name": "RoleSessionName",
    "policy_arns": "PolicyArns",
    "policy": "Policy",
    "duration": "DurationSeconds",
    "tags": "Tags",
    "transitive_tag_keys": "TransitiveTagKeys",
    "external_id": "ExternalId",
    "mfa_serial": "SerialNumber",
    "source_identity": "SourceIdentity",
    "provided_contexts": "ProvidedContexts",
}
# Never part of a role, under whatever name they come: a chain names its roles by `arn` alone, and a
# used-up MFA code in a value that is printed and pickled helps nobody.
_NEVER_EXTRA = ("RoleArn", "TokenCode")
_NOT_EXTRA = frozenset([*_SPELLING.values(), *_NEVER_EXTRA])


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Role:
    """One AssumeRole call, whoever makes it.

    Equal roles are equal values, however their tags and policies were given. Limits are checked by
    `RoleChain.validate`, not here: what is refused here are arguments that have no place to go.

    Attributes:
        arn: ``arn:<partition>:iam::<12 digits>:role/<path><name>``.
        session_name: RoleSessionName. None: one that says where this runs.
        duration: 15 min to 12 h; at most 1 h for any hop but the first.
            None: the STS default, 1 h. [STS AssumeRole, DurationSeconds]
        policy: Inline session policy, as JSON.
        policy_arns: ARNs of managed session policies, at most 10.
        tags: (key, value) pairs, at most 50. [STS service model, tagListType]
        transitive_tag_keys: Keys of those tags that later hops inherit.
        external_id: What the trust policy may ask for as ``sts:ExternalId``.
        mfa_serial: ARN or serial number of the caller's MFA device.
        source_identity: Who is behind the session; stays the same through the chain.
        provided_contexts: (provider ARN, assertion) pairs, at most 5.
        extra: Arguments STS has and rolecall does not know, as (name, JSON) pairs.

    Raises:
        InvalidChain: an argument cannot be held at all, such as a bare string for a list.
    """

    arn: str
    session_name: str | None
    duration: timedelta | None
    policy: str | None
    policy_arns: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]
    transitive_tag_keys: tuple[str, ...]
    external_id: str | None
    mfa_serial: str | None
    source_identity: str | None
    provided_contexts: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...]

    def __init__(
        self,
        arn: RoleArn | str,
        *,
        session_name: str | None = None,
        duration: timedelta | int | None = None,
        policy: str | Mapping[str, Any] | Sequence[Any] | None = None,
        policy_arns: Iterable[str | Mapping[str, str]] | None = (),
        tags: Mapping[str, str] | Iterable[Mapping[str, str] | tuple[str, str]] | None = (),
        transitive_tag_keys: Iterable[str] | None = (),
        external_id: str | None = None,
        mfa_serial: str | None = None,
        source_identity: str | None = None,
        provided_contexts: Iterable[Mapping[str, str] | tuple[str, str]] | None = (),
        extra: Mapping[str, Any] | tuple[tuple[str, str], ...] = (),
    ) -> None:
        found: list[Problem] = []
        managed = canonical.policy_arns(policy_arns, found)
        if session_name == AUTOMATIC_ROLE_SESSION_NAME:
            session_name = None
        values = {
            "arn": canonical.arn(arn, found),
            "session_name": canonical.hashable("RoleSessionName", session_name, found),
            "duration": canonical.duration(duration, found),
            "policy": canonical.policy(policy, managed, found),
            "policy_arns": managed,
            "tags": canonical.tags(tags, found),
            "transitive_tag_keys": canonical.keys(transitive_tag_keys, found),
            "external_id": canonical.hashable("ExternalId", external_id, found),
            "mfa_serial": canonical.hashable("SerialNumber", mfa_serial, found),
            "source_identity": canonical.hashable("SourceIdentity", source_identity, found),
            "provided_contexts": canonical.contexts(provided_contexts, found),
            "extra": canonical.extra(extra, found),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        found += [
            Problem(field=name, message="cannot be in extra: it is an argument, or used only once")
            for name, _ in self.extra
            if name in _NOT_EXTRA
        ]
        if found:
            # Since it is refused anyway: say what else is wrong, all at once.
            broken = {problem.field.partition("[")[0] for problem in found}
            others = validate.role_problems(self, None, False)
            found += [other for other in others if other.field.partition("[")[0] not in broken]
            raise InvalidChain(found)

    @classmethod
    def from_keywords(
        cls,
        RoleArn: RoleArn | str,
        *,
        RoleSessionName: str | None = None,
        PolicyArns: Iterable[str | Mapping[str, str]] | None = None,
        Policy: str | Mapping[str, Any] | Sequence[Any] | None = None,
        DurationSeconds: timedelta | int | None = None,
        Tags: Mapping[str, str] | Iterable[Mapping[str, str]] | None = None,
        TransitiveTagKeys: Iterable[str] | None = None,
        ExternalId: str | None = None,
        SerialNumber: str | None = None,
        SourceIdentity: str | None = None,
        additional_kwargs: Mapping[str, Any] | None = None,
    ) -> Role:
        """Build a role from arguments in boto3's spelling.

        Without a RoleSessionName the SourceIdentity is the session's name. *additional_kwargs* are
        taken where the argument itself is not given; a ``RoleArn`` or ``TokenCode`` in them is
        dropped, since the one never wins and the other is not a role's to keep.

        Raises:
            InvalidChain: an argument cannot be held at all.
        """
        if not RoleSessionName and SourceIdentity:
            RoleSessionName = SourceIdentity
        elif RoleSessionName == AUTOMATIC_ROLE_SESSION_NAME:
            RoleSessionName = None
        given: dict[str, Any] = {
            "session_name": RoleSessionName,
            "policy_arns": PolicyArns,
            "policy": Policy,
            "duration": DurationSeconds,
            "tags": Tags,
            "transitive_tag_keys": TransitiveTagKeys,
            "external_id": ExternalId,
            "mfa_serial": SerialNumber,
            "source_identity": SourceIdentity,
        }
        values = {name: value for name, value in given.items() if value is not None}
        extra: Any = additional_kwargs or {}
        if isinstance(extra, Mapping):
            for name, spelling in _SPELLING.items():
                if extra.get(spelling) is not None:
                    values.setdefault(name, extra[spelling])
            extra = {name: value for name, value in extra.items() if name not in _NOT_EXTRA}
        else:
            extra = [extra]  # whatever it is, it is no mapping and is refused as one
        return cls(RoleArn, **values, extra=extra)

    def request(self) -> dict[str, Any]:
        """Return the arguments of ``sts.assume_role``, in boto3's spelling.

        ``RoleSessionName`` is there only if one was given. A ``TokenCode`` never is.
        """
        values: dict[str, Any] = {name: json.loads(text) for name, text in self.extra}
        values["RoleArn"] = self.arn
        for name, spelling in _SPELLING.items():
            value = getattr(self, name)
            if value is not None and value != ():
                values[spelling] = _as_boto3(name, value)
        return values

    def __str__(self) -> str:
        return str(self.arn)

    def __repr__(self) -> str:
        # An external id may be a passphrase and an assertion is one; policies are long.
        hidden = ("policy", "external_id", "provided_contexts", "extra")
        shown = canonical.set_fields(self)
        shown.pop("arn", None)
        parts = (f"{name}=…" if name in hidden else f"{name}={shown[name]!r}" for name in shown)
        return canonical.spelled(self, repr(self.arn), *parts)

    def __reduce__(self) -> tuple[Any, ...]:
        values = canonical.set_fields(self)
        if len(values) == 1:
            return Role, (self.arn,)
        return Role._unpickled, (values,)

    @classmethod
    def _unpickled(cls, values: dict[str, Any]) -> Role:
        return cls(**values)


def _as_boto3(name: str, value: Any) -> Any:
    match name:
        case "duration":
            return int(value.total_seconds()) if isinstance(value, timedelta) else value
        case "policy_arns":
            return [{"arn": arn} for arn in value]
        case "tags":
            return [{"Key": key, "Value": text} for key, text in value]
        case "provided_contexts":
            return [{"ProviderArn": arn, "ContextAssertion": text} for arn, text in value]
        case "transitive_tag_keys":
            return list(value)
    return value


@dataclass(frozen=True, slots=True, init=False, repr=False)
class RoleChain:
    """An origin and the roles assumed from it, one from the other: data, before it is action.

    It holds no secret, so it may be printed, logged, hashed, compared, pickled and sent to a
    worker, which assumes the roles with what it finds at the origin itself.

    Attributes:
        origin: Where the first role is assumed from.
        roles: The hops, counted from 0.
    """

    origin: Origin
    roles: tuple[Role, ...]

    def __init__(self, origin: Origin, *roles: Role | RoleArn | str) -> None:
        if not isinstance(origin, ORIGINS):
            raise TypeError(
                "a chain starts from an origin such as Ambient() or Profile('hub'), got "
                f"{canonical.kind(origin)}"
            )
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "roles", tuple(map(_role, roles)))

    @classmethod
    def from_profile(
        cls,
        name: str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> RoleChain:
        """Build the chain that a profile of ``~/.aws/config`` describes.

        Args:
            name: The profile. None: ``AWS_PROFILE``, else ``default``.
            environ: Where the files and the profile are named. None: ``os.environ``.
            config: botocore's ``session.full_config``. None: the files are read.

        Raises:
            ConfigError: the profile is missing, goes round in a circle, or does not add up.
        """
        if environ is None:
            environ = os.environ  # noqa: TID251 - border
        if profile_reader is None:
            raise RuntimeError("nothing can read profiles yet: import rolecall.chain first")
        return profile_reader(name, environ, config)

    @property
    def parent(self) -> RoleChain:
        """The chain without its last role: who assumes that role.

        Raises:
            ValueError: there is no role to leave out.
        """
        if not self.roles:
            raise ValueError(f"{self} has no role, and so no parent")
        return RoleChain(self.origin, *self.roles[:-1])

    def problems(self) -> tuple[Problem, ...]:
        """Return every documented STS limit the chain breaks; empty if it may be sent."""
        return validate.problems(self)

    def validate(self) -> None:
        """Check the chain against every documented STS limit.

        Raises:
            InvalidChain: with all problems, not the first only.
        """
        found = self.problems()
        if found:
            raise InvalidChain(found)

    def session(self, **keywords: Any) -> Any:
        """Open a ``boto3.Session`` that acts as the last role; keywords as for `assume_role`."""
        if session_opener is None:
            raise RuntimeError("nothing can open a session yet: import rolecall.sessions first")
        return session_opener(self, **keywords)

    def aio_session(self, **keywords: Any) -> AioChainSession:
        """Open an ``aiobotocore.session.AioSession`` that acts as the last role.

        Keywords are those of `session`; it shares its credentials with the sessions opened there.
        Nothing is looked up or called before the session is used.

        Raises:
            ImportError: aiobotocore is not installed: ``pip install 'rolecall[aio]'``.
        """
        if aio_session_opener is None:
            raise RuntimeError("nothing can open a session yet: import rolecall.sessions first")
        session: AioChainSession = aio_session_opener(self, **keywords)
        return session

    def __add__(self, role: Role | RoleArn | str) -> RoleChain:
        if not isinstance(role, (Role, RoleArn, str)):
            return NotImplemented
        return RoleChain(self.origin, *self.roles, role)

    def __str__(self) -> str:
        return " -> ".join([repr(self.origin), *map(str, self.roles)])

    def __repr__(self) -> str:
        return canonical.spelled(self, repr(self.origin), *map(repr, self.roles))

    def __reduce__(self) -> tuple[Any, ...]:
        # A role that is no more than its ARN travels as that: two of them in some 200 bytes.
        roles = (role.arn if _is_arn_only(role) else role for role in self.roles)
        return RoleChain, (self.origin, *roles)


def _is_arn_only(role: Role) -> bool:
    return type(role.arn) is str and role == Role(role.arn)


def _role(role: Role | RoleArn | str) -> Role:
    if isinstance(role, (RoleArn, str)):
        return Role(role)
    if not isinstance(role, Role):
        raise TypeError(f"a hop must be a Role or the ARN of one, got {canonical.kind(role)}")
    return role


for _kind in (Role, RoleChain):
    # Pickles and messages name the public path, which outlives the file a class is in.
    _kind.__module__ = "rolecall"
