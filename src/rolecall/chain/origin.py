"""Where a chain starts: what the first role is assumed with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from ..errors import ConfigError, InvalidChain, Problem
from . import canonical
from .arn import RoleArn

#: What ``credential_source`` may name in a profile. [AWS CLI guide, credential_source]
CREDENTIAL_SOURCES = ("Environment", "Ec2InstanceMetadata", "EcsContainer")


@dataclass(frozen=True, slots=True)
class Ambient:
    """Whatever credentials botocore finds by itself: environment, profile, container, instance."""

    def __repr__(self) -> str:
        return "Ambient()"


@dataclass(frozen=True, slots=True)
class Profile:
    """The credentials of a profile of ``~/.aws/config`` or ``~/.aws/credentials``.

    Attributes:
        name: The profile's name, without the word ``profile``.
        own_keys: Use the static keys written in the profile, even where it has a ``role_arn``
            too. That is how a profile that is its own ``source_profile`` works.
    """

    name: str
    own_keys: bool = False

    def __repr__(self) -> str:
        return canonical.spelled(self, repr(self.name), "own_keys=True" if self.own_keys else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return Profile, ((self.name, True) if self.own_keys else (self.name,))


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """What a profile's ``credential_source`` names: one of `CREDENTIAL_SOURCES`."""

    name: str

    def __repr__(self) -> str:
        return canonical.spelled(self, repr(self.name))

    def __reduce__(self) -> tuple[Any, ...]:
        return CredentialSource, (self.name,)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class WebIdentity:
    """A role assumed with an OIDC token, as on EKS (IRSA) and GitHub Actions.

    Attributes:
        role_arn: The role. None: the environment's ``AWS_ROLE_ARN``.
        token_file: File with the token, read anew at each refresh. None: ``token``, or else the
            environment's ``AWS_WEB_IDENTITY_TOKEN_FILE``.
        token: Called at each refresh for a new token. A chain with one cannot be pickled.
        session_name: RoleSessionName. None: one that says where this runs.
        duration: 15 min to 12 h. None: the STS default, 1 h.
        policy: Inline session policy, as JSON.
        policy_arns: Managed session policies.
    """

    role_arn: str | None
    token_file: str | None
    token: Callable[[], str] | None
    session_name: str | None
    duration: timedelta | None
    policy: str | None
    policy_arns: tuple[str, ...]

    def __init__(
        self,
        *,
        role_arn: RoleArn | str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        token: Callable[[], str] | None = None,
        session_name: str | None = None,
        duration: timedelta | int | None = None,
        policy: str | Mapping[str, Any] | Sequence[Any] | None = None,
        policy_arns: Iterable[str | Mapping[str, str]] | None = (),
    ) -> None:
        if token is not None and not callable(token):
            raise TypeError(
                "token must be a callable that returns the token, so that each refresh has a new "
                f"one and no chain holds a secret, got {canonical.kind(token)}"
            )
        found: list[Problem] = []
        managed = canonical.policy_arns(policy_arns, found)
        path = os.fspath(token_file) if isinstance(token_file, os.PathLike) else token_file
        name = canonical.hashable("RoleSessionName", session_name, found)
        put = object.__setattr__
        put(self, "role_arn", canonical.arn(role_arn, found))
        put(self, "token_file", canonical.hashable("token_file", path, found))
        put(self, "token", token)
        put(self, "session_name", name)
        put(self, "duration", canonical.duration(duration, found))
        put(self, "policy", canonical.policy(policy, managed, found))
        put(self, "policy_arns", managed)
        if found:
            raise InvalidChain(found)

    def __repr__(self) -> str:
        return canonical.spelled(
            self,
            canonical.part("role_arn", self.role_arn),
            canonical.part("token_file", self.token_file),
            "token=…" if self.token else "",
            canonical.part("session_name", self.session_name),
            canonical.part("duration", self.duration),
            "policy=…" if self.policy is not None else "",
            canonical.part("policy_arns", self.policy_arns or None),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        if self.token is not None:
            raise ConfigError(
                "a WebIdentity whose token is a callable cannot be pickled",
                hint="give token_file instead, or build the chain where it is used",
            )
        return WebIdentity._unpickled, (canonical.set_fields(self),)

    @classmethod
    def _unpickled(cls, values: dict[str, Any]) -> WebIdentity:
        return cls(**values)

    def __deepcopy__(self, memo: object) -> WebIdentity:
        return self  # nothing in it changes; copying by pickle would refuse a callable

    def __copy__(self) -> WebIdentity:
        return self


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GivenSession:
    """A boto3 or botocore session that the caller made; equal only to the very same one."""

    session: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GivenSession) and self.session is other.session

    def __hash__(self) -> int:
        return hash((GivenSession, id(self.session)))

    def __repr__(self) -> str:
        # Not the session's own repr: it is not ours to know what that shows.
        kind = type(self.session)
        return canonical.spelled(self, f"<{kind.__module__.partition('.')[0]} {kind.__qualname__}>")

    def __reduce__(self) -> NoReturn:
        raise ConfigError(
            "a chain that starts from a given session cannot be pickled: the session lives in "
            "this process only",
            hint="start the chain from Profile(name), Ambient() or WebIdentity(), which another "
            "process can find for itself",
        )

    def __deepcopy__(self, memo: object) -> GivenSession:
        return self

    def __copy__(self) -> GivenSession:
        return self


#: STS's own default for GetSessionToken, and a working day. [STS GetSessionToken, DurationSeconds]
A_DAY_OF_WORK = timedelta(hours=12)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SessionToken:
    """A session of an IAM user made by GetSessionToken, usually with MFA: one code for a day.

    Attributes:
        of: Where the user's long-term keys come from.
        duration: 15 min to 36 h.
        mfa_serial: ARN or serial number of the MFA device. None: a session without MFA.
    """

    of: Ambient | Profile | CredentialSource | GivenSession
    duration: timedelta
    mfa_serial: str | None

    def __init__(
        self,
        of: Ambient | Profile | CredentialSource | GivenSession | None = None,
        duration: timedelta | int = A_DAY_OF_WORK,
        mfa_serial: str | None = None,
    ) -> None:
        if of is None:
            of = Ambient()
        if not isinstance(of, ORIGINS):
            raise TypeError(
                f"of must be an origin such as Profile('hub'), got {canonical.kind(of)}"
            )
        found: list[Problem] = []
        put = object.__setattr__
        put(self, "of", of)
        put(self, "duration", canonical.duration(duration, found))
        put(self, "mfa_serial", canonical.hashable("SerialNumber", mfa_serial, found))
        if found:
            raise InvalidChain(found)

    def __repr__(self) -> str:
        return canonical.spelled(
            self,
            canonical.part("of", self.of if self.of != Ambient() else None),
            canonical.part("duration", self.duration if self.duration != A_DAY_OF_WORK else None),
            canonical.part("mfa_serial", self.mfa_serial),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return SessionToken, (self.of, self.duration, self.mfa_serial)


Origin = Ambient | Profile | CredentialSource | WebIdentity | SessionToken | GivenSession
ORIGINS = (Ambient, Profile, CredentialSource, WebIdentity, SessionToken, GivenSession)

for _kind in ORIGINS:
    # Pickles and messages name the public path, which outlives the file a class is in.
    _kind.__module__ = "rolecall"
