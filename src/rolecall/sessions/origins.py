"""Opening the session that a chain starts from."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

import boto3
from botocore.credentials import (
    CredentialProvider,
    CredentialResolver,
    EnvProvider,
    ProfileProviderBuilder,
)
from botocore.session import Session

from ..chain import (
    CredentialSource,
    GivenSession,
    Origin,
    Profile,
    Role,
    RoleChain,
    SessionToken,
    WebIdentity,
    partition_of_region,
    session_name,
)
from ..credentials import Source
from ..errors import ConfigError
from ..fork import ForkSafeLock
from ..sources.clients import sts_client
from ..sources.identity import identity
from ..sources.mfa import CodeSource, GivenThenAsked, StaticCode, code_source
from ..sources.origin import DyingSource, load_credentials
from ..sources.sts import AssumeRoleWithWebIdentity, GetSessionToken
from ..sources.upstream import botocore_session, refuse_unless_session
from ..sources.web_identity import TokenFile, called_token, subject_in
from ..stores import AwsCliStore, Stored, as_store, cache_key
from .boto import Child, RoleSession, open_child
from .parents import SignedFor
from .recipe import Recipe

#: AWS's names of credential sources → botocore's.
_SOURCE_METHODS = {"Ec2InstanceMetadata": "iam-role", "EcsContainer": "container-role"}

#: botocore's names of what it finds in a profile itself, as the AWS CLI does in a source_profile.
_PROFILES_OWN = frozenset(
    {"assume-role", "config-file", "custom-process", "login", "shared-credentials-file", "sso"}
)

_origins: WeakValueDictionary[Any, Any] = WeakValueDictionary()
_origins_lock = ForkSafeLock()  # guards _origins


def open_origin(
    origin: Origin,
    *,
    recipe: Recipe,
    environ: Mapping[str, str],
    variables: Mapping[str, Any] | None = None,
) -> Any:
    """Return the session that *origin* stands for.

    The same one as long as the environment and the files stay the same, so that chains share what
    they have in common.

    Args:
        variables: Configuration variables to set on it.

    Raises:
        ConfigError: the origin does not say enough.
    """
    if isinstance(origin, SignedFor):
        return origin.signer
    if isinstance(origin, GivenSession):
        refuse_unless_session(origin.session)
        return origin.session
    variables = variables or {}
    key = (origin, recipe.key, surroundings(environ), repr(sorted(variables.items())))
    with _origins_lock:
        found = _origins.get(key)
    if found is not None:
        return found
    made = _open(origin, recipe, environ, variables)
    with _origins_lock:
        return _origins.setdefault(key, made)


def surroundings(environ: Mapping[str, str]) -> str:
    """Return a digest of all that decides which credentials botocore finds."""
    parts = [
        f"{name}={value}"
        for name, value in sorted(environ.items())
        if name.startswith("AWS_") or name in ("HOME", "USERPROFILE")
    ]
    for variable, default in (
        ("AWS_CONFIG_FILE", "~/.aws/config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ):
        try:
            status = os.stat(os.path.expanduser(environ.get(variable) or default))
        except OSError:
            parts.append(f"{variable} is missing")
        else:
            parts.append(f"{variable} {status.st_mtime_ns} {status.st_size}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _open(
    origin: Origin, recipe: Recipe, environ: Mapping[str, str], variables: Mapping[str, Any]
) -> Any:
    if isinstance(origin, SessionToken):
        base = open_origin(origin.of, recipe=recipe, environ=environ, variables=variables)
        chain = RoleChain(origin)
        return open_session_token(base, origin.duration, origin.mfa_serial, recipe, chain)
    name = origin.name if isinstance(origin, Profile) else None
    # Set before boto3 has its hands on it, for it reads the files at once.
    inner = Session(profile=variables.get("profile", name))
    for variable, value in variables.items():
        inner.set_config_variable(variable, value)
    session = boto3.Session(botocore_session=inner)
    if isinstance(origin, WebIdentity):
        return _open_web_identity(origin, session, recipe, environ)
    if isinstance(origin, Profile) and origin.own_keys:
        builder = ProfileProviderBuilder(inner)
        providers = builder.providers(origin.name, disable_env_vars=True)
        inner.register_component("credential_provider", CredentialResolver(providers))
    if isinstance(origin, CredentialSource):
        provider = _provider(origin.name, inner)
        inner.register_component("credential_provider", CredentialResolver([provider]))
    return session


def _provider(name: str, session: Session) -> CredentialProvider:
    if name == "Environment":
        # botocore's own list lacks it where a profile is named.
        return EnvProvider()
    resolver: CredentialResolver = session.get_component("credential_provider")
    provider: CredentialProvider = resolver.get_provider(_SOURCE_METHODS[name])
    return provider


def _open_web_identity(
    origin: WebIdentity, base: boto3.Session, recipe: Recipe, environ: Mapping[str, str]
) -> RoleSession:
    inner = botocore_session(base)
    arn = origin.role_arn or environ.get("AWS_ROLE_ARN")
    file = origin.token_file or environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    missing = [] if arn else ["a role_arn (or AWS_ROLE_ARN)"]
    if origin.token is None and not file:
        missing.append("a token_file (or AWS_WEB_IDENTITY_TOKEN_FILE)")
    if missing or arn is None:
        raise ConfigError(f"WebIdentity needs {' and '.join(missing)}")
    role = Role(
        arn,
        session_name=origin.session_name,
        duration=origin.duration,
        policy=origin.policy,
        policy_arns=origin.policy_arns,
    )
    arguments = role.request()
    named = origin.session_name or environ.get("AWS_ROLE_SESSION_NAME")
    arguments.setdefault("RoleSessionName", session_name(environ))
    where = "the token callable" if origin.token is not None else str(file)
    source = AssumeRoleWithWebIdentity(
        lambda: sts_client(inner, recipe.sts_client_kwargs, unsigned=True),
        token=called_token(origin.token) if origin.token is not None else TokenFile(where),
        where=where,
        arguments=arguments,
        clock=recipe.clock,
    )

    def key(partition: str = "", endpoint: str | None = None) -> str:
        return cache_key(
            arguments,
            # Whose token a callable gives, nobody knows: no other session is this one.
            source=str(uuid.uuid4()) if origin.token is not None else subject_in(where),
            partition=partition,
            endpoint=endpoint,
            operation="AssumeRoleWithWebIdentity",
            generated_session_name=not named,
        )

    shared: Source = source
    if recipe.cache is not None and origin.token is None:
        store = as_store(recipe.cache)
        if not isinstance(store, AwsCliStore):  # which keeps what its own roles gave, only
            shared = Stored(
                source,
                store,
                lambda: key(arn.split(":")[1], _endpoint(inner, recipe)),
                clock=recipe.clock,
                policy=recipe.policy,
            )
    child = Child(
        refresher=recipe.refresher(shared, arn),
        parent=base,
        method="assume-role-with-web-identity",
        identity=key,
        features=("CREDENTIALS_STS_ASSUME_ROLE_WEB_ID",),
        recipe=recipe,
        chain=RoleChain(origin),
    )
    return open_child(child)


def open_session_token(
    base: Any, duration: timedelta, serial: str | None, recipe: Recipe, chain: RoleChain | None
) -> RoleSession:
    """Return a session of *base*'s own user, made by GetSessionToken, with MFA if *serial*."""
    inner = botocore_session(base)
    codes = None
    if serial is not None:
        codes = code_source(recipe.codes, serial, clock=recipe.clock)
        if recipe.mfa_token_provider is not None:
            codes = given_first(recipe, serial, codes)
    source = GetSessionToken(
        lambda: sts_client(inner, recipe.sts_client_kwargs),
        duration=duration,
        serial_number=serial,
        token_codes=codes,
        parent=DyingSource(inner, recipe.clock),
        clock=recipe.clock,
    )
    request = {"SerialNumber": serial, "DurationSeconds": int(duration.total_seconds())}
    stored = stored_in_cache(
        source,
        recipe,
        inner,
        request,
        operation="GetSessionToken",
        partition=partition_of_region(str(inner.get_config_variable("region"))) or "aws",
    )
    name = f"GetSessionToken with {serial}" if serial else "GetSessionToken"
    child = Child(
        refresher=recipe.refresher(stored, name),
        parent=base,
        method="get-session-token",
        identity=lambda: f"{identity(inner)} session token {serial}",
        features=(),
        recipe=recipe,
        chain=chain,
    )
    return open_child(child)


def given_first(recipe: Recipe, serial: str, asked: CodeSource) -> CodeSource:
    """Return what gives the recipe's own code first, if it has one, then what *asked* gives."""
    if recipe.token_code is None:
        return asked
    return GivenThenAsked(StaticCode(recipe.token_code, serial), asked)


def stored_in_cache(
    source: Source,
    recipe: Recipe,
    parent: Session,
    request: Mapping[str, Any],
    *,
    operation: str,
    partition: str,
    generated_session_name: bool = False,
    chain: RoleChain | None = None,
    start: Any = None,
) -> Source:
    """Return *source* behind the recipe's cache, if it has one.

    Args:
        chain: What the AWS CLI would know the session as. None: nothing of its.
        start: With *chain*: the session that assumes its last role.
    """
    if recipe.cache is None:
        return source
    store = as_store(recipe.cache)
    if isinstance(store, AwsCliStore):
        theirs = None
        # The variables that name one are in no profile, and so in no key of the AWS CLI's.
        endpoint = recipe.sts_client_kwargs.get("endpoint_url") or any(_endpoints_of_environment())
        if chain is not None and not endpoint and _from_a_plain_profile(start):
            # A name that was made up is not in the AWS CLI's keys, nor is it in ours.
            name = None if generated_session_name else request.get("RoleSessionName")
            theirs = store.key_of(chain, session_name=name, config=parent.full_config)
        if theirs is None:
            if "RoleArn" in request:
                store.explain_unused(request["RoleArn"])
            return source
        return Stored(source, store, theirs, clock=recipe.clock, policy=recipe.policy)

    def key() -> str:
        return cache_key(
            request,
            source=identity(parent),
            partition=partition,
            endpoint=_endpoint(parent, recipe),
            operation=operation,
            generated_session_name=generated_session_name,
        )

    return Stored(source, store, key, clock=recipe.clock, policy=recipe.policy)


def _from_a_plain_profile(session: Any) -> bool:
    """Return whether *session* starts from what the AWS CLI, too, finds under its profile's name.

    Not so: a token in the environment goes before AWS_PROFILE, an instance's role comes after a
    profile without keys, and a session may read files of its own.
    """
    while isinstance(session, RoleSession):
        session = session.assume_role_parent_session
    inner = botocore_session(session)
    if getattr(load_credentials(inner), "method", None) not in _PROFILES_OWN:
        return False
    usual = Session()
    return all(
        inner.get_config_variable(file) == usual.get_config_variable(file)
        for file in ("config_file", "credentials_file")
    )


def _endpoints_of_environment() -> list[str]:
    names = ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL")
    return [os.environ.get(name, "") for name in names]  # noqa: TID251 - border


def _endpoint(parent: Session, recipe: Recipe) -> str | None:
    """Return what is known of the STS endpoint without making a client."""
    given = recipe.sts_client_kwargs.get("endpoint_url")
    if given:
        return str(given)
    scoped: Mapping[str, Any] = parent.get_scoped_config()
    parts = [
        *_endpoints_of_environment(),
        parent.full_config.get("services", {}).get(scoped.get("services")),
        scoped.get("endpoint_url"),
    ]
    return " ".join(str(part) for part in parts if part) or None
