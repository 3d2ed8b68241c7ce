"""``rolecall whoami [ROLE]``: who a role is, how it gets there, and until when."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .parameters import asked, json_option, role_argument, role_options, verbose_option

if TYPE_CHECKING:
    from ..chain import Role
    from .naming import Named
    from .options import Asked


@click.command("whoami")
@role_argument(required=False)
@role_options()
@json_option
@verbose_option
def command(role: str | None, as_json: bool, **values: Any) -> None:
    """Tell who a role is, how it gets there and until when.

    Without a ROLE: who AWS's tools are here. What they would find goes before rolecall's own
    choice: keys in the environment before the default profile.

    \b
      rolecall whoami deploy
      rolecall whoami deploy --json
      rolecall whoami
    """
    from .printed import print_json

    found = facts_of(asked(role, values), os.environ)  # noqa: TID251 - border
    if as_json:
        print_json(found)
    else:
        _print(found)


def facts_of(asked: Asked, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what is to be told of the role that *asked* names, as JSON-able values; no secret.

    Raises:
        RolecallError, ClientError, BotoCoreError: it cannot be had, or named.
    """
    from ..sessions.handing import handing
    from ..sources.clients import check_keywords, sts_client
    from ..sources.upstream import botocore_session
    from .naming import open_named
    from .notices import fetched
    from .printed import iso, local_end, seconds_left

    named = open_named(asked, environ) if asked.role is not None else found_here(asked, environ)
    credentials = fetched(handing(named.session, own=True))
    sts = {"region_name": asked.sts_region, "endpoint_url": asked.sts_endpoint}
    keywords = check_keywords({name: value for name, value in sts.items() if value})
    answer = sts_client(botocore_session(named.session), keywords).get_caller_identity()
    return {
        "arn": answer.get("Arn"),
        "account": answer.get("Account"),
        "user_id": answer.get("UserId"),
        "access_key_id": credentials.access_key,
        "expires_at": iso(local_end(credentials)),
        "seconds_left": seconds_left(credentials),
        "region": named.region,
        "origin": _origin(named),
        "roles": [_hop(role) for role in named.chain.roles],
    }


def found_here(asked: Asked, environ: Mapping[str, str]) -> Named:
    """Return what AWS's tools find in this place, as if it had been named.

    botocore decides, which puts keys in the environment before a default profile. Only the role of
    a profile is left to us: botocore would ask for its MFA code, and know nothing of the cache.

    Raises:
        ConfigError: something is to be changed of a role, and none was named.
        NoCredentialsError: there is nothing (botocore's).
    """
    from ..chain import Ambient, RoleChain
    from ..errors import ConfigError
    from ..sessions.bind import open_chain
    from ..sources.origin import facts
    from ..sources.upstream import botocore_session
    from .naming import Named, Words, open_named

    words = Words(asked)
    words.refuse()
    if words.changes:
        raise ConfigError(
            f"{', '.join(sorted(words.changes))}: cannot be given without a role",
            hint="name a profile or an ARN",
        )
    chain = RoleChain(Ambient())
    session = open_chain(chain, region_name=asked.region)
    # Not what a token in the environment gives, which comes before a profile.
    if facts(botocore_session(session)).method == "assume-role":
        return open_named(asked, environ)
    region = asked.region or botocore_session(session).get_config_variable("region")
    return Named(asked=asked, chain=chain, session=session, start=session, region=region, files=())


def _origin(named: Named) -> dict[str, Any]:
    """Return where the chain starts: in what, how botocore calls it, and whose key it is."""
    from ..chain import CredentialSource, Profile, SessionToken, WebIdentity
    from ..sources.origin import facts
    from ..sources.upstream import botocore_session

    origin = named.chain.origin
    mfa, is_session = None, isinstance(origin, SessionToken)
    if isinstance(origin, SessionToken):
        mfa = origin.mfa_serial
        origin = origin.of
    known = facts(botocore_session(named.start))
    kind = {Profile: "profile", CredentialSource: "credential_source", WebIdentity: "web_identity"}
    return {
        "kind": kind.get(type(origin), "environment"),
        "profile": origin.name if isinstance(origin, Profile) else known.profile,
        "method": known.method,
        "access_key_id": known.access_key or None,
        "session_token": is_session,
        "mfa_serial": mfa,
        "role_arn": origin.role_arn if isinstance(origin, WebIdentity) else None,
    }


def _hop(role: Role) -> dict[str, Any]:
    return {
        "role_arn": role.arn,
        "session_name": role.session_name,
        "mfa_serial": role.mfa_serial,
    }


def _print(found: Mapping[str, Any]) -> None:
    from .printed import left_shown, plain

    expires = left_shown(found["seconds_left"])
    if found["expires_at"]:
        expires = f"{found['expires_at']} (in {expires})"
    origin = found["origin"]
    start = f"profile {origin['profile']}" if origin["profile"] else "no profile"
    start += f": {origin['method']}"
    if origin["access_key_id"]:
        start += f", {origin['access_key_id']}"
    if origin["session_token"]:
        start += ", a session of GetSessionToken"
    if origin["mfa_serial"]:
        start += f", with MFA ({origin['mfa_serial']})"
    lines = [
        ("identity", found["arn"]),
        ("account", found["account"]),
        ("key", found["access_key_id"]),
        ("expires", expires),
        ("region", found["region"] or "none"),
        ("from", start),
    ]
    if origin["role_arn"]:
        lines.append(("", f"-> {origin['role_arn']}"))
    for hop in found["roles"]:
        mfa = f", with MFA ({hop['mfa_serial']})" if hop["mfa_serial"] else ""
        lines.append(("", f"-> {hop['role_arn']}{mfa}"))
    for name, value in lines:
        click.echo(f"{name:<10}{plain(str(value))}")
