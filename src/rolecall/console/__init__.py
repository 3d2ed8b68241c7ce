"""Sign-in links for the AWS console: `sign_in_url` turns a role session into one.

A link holds a sign-in token and no key. Whoever has it is the role until the session ends, so that
it is to be kept as keys are.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.session import Session

from ..chain import RoleArn, WebIdentity
from ..clock import SYSTEM_CLOCK
from ..errors import ConfigError
from ..sessions import RoleSession
from ..sources.origin import (
    DyingSource,
    facts,
    from_its_profile,
    load_credentials,
    web_identity_values,
)
from ..sources.refusals import translate
from ..sources.upstream import botocore_session, is_asynchronous, source_key_of
from .federation import sign_in_token
from .places import destination_of, place_of, problems, seconds_of, with_path

__all__ = ["sign_in_url"]

log: logging.Logger = logging.getLogger("rolecall")

#: Shown by the console where a session has ended, as the place to sign in again.
ISSUER = "rolecall"


def sign_in_url(
    session: Any,
    *,
    destination: str | None = None,
    service: str | None = None,
    region: str | None = None,
    duration: timedelta | int | None = None,
    issuer: str | None = None,
    endpoint_url: str | None = None,
) -> str:
    """Return a link that signs a browser in to the AWS console as *session*'s role.

    It is good for some 15 minutes. The keys are POSTed to AWS's federation endpoint, which answers
    the sign-in token that is in the link.

    Args:
        session: A session of `rolecall.assume_role`, or a boto3 or botocore session whose
            credentials are a role's or a federated user's.
        destination: Where the console opens: a path, such as ``/s3/buckets/reports``, or an
            ``https`` URL of the console of *session*'s partition.
        service: The same by the service's name: ``s3``, ``ec2``, ``lambda``. With neither: the
            console's home.
        region: None: *session*'s.
        duration: How long the console stays signed in, 900 s to 43200 s. None: as long as the
            credentials live. Where the role was assumed with a session's credentials AWS accepts
            none, so that it is left out, with a warning in the log ``rolecall``.
        issuer: What the console names where the session has ended: the URL of your own sign-in
            page, most often. None: ``rolecall``.
        endpoint_url: Where the keys are sent instead of AWS's own host, such as a proxy's: https,
            or http to a loopback address. The link leads to AWS all the same.

    Raises:
        TypeError: *session* is none of these; those of `rolecall.aio` are not.
        ValueError: other arguments are wrong; all problems are told at once.
        ConfigError: no console of the partition is known, or the credentials are an IAM user's,
            which cannot sign in.
        NoCredentialsError: there are none (botocore's).
        AccessDenied: AWS does not accept the credentials.
        FetchError: they, or the sign-in token, cannot be had.
    """
    _refuse_unless_session(session)
    inner = botocore_session(session)
    arn = _role_of(session, inner)
    place = place_of(arn, region, inner.get_config_variable("region"))
    wrong = problems(
        place,
        destination=destination,
        service=service,
        region=region,
        duration=duration,
        issuer=issuer,
        endpoint_url=endpoint_url,
    )
    if wrong:
        raise ValueError("no sign-in link can be made:\n" + "\n".join(wrong))

    what = f"console sign-in as {arn}" if arn else "console sign-in"
    keys = _keys(inner, what)
    said = {"sessionId": keys.access_key, "sessionKey": keys.secret_key, "sessionToken": keys.token}
    form = {"Action": "getSigninToken", "Session": json.dumps(said)}
    if duration is not None and _assumed_by_a_session(session, inner):
        log.warning(
            "%s: the duration of %s s is left out, for AWS accepts one only where a role was "
            "assumed with long-term keys: the console session ends with the credentials",
            what,
            seconds_of(duration),
        )
    elif duration is not None:
        form["SessionDuration"] = str(seconds_of(duration))
    url = f"https://{place.sign_in_host}/federation"
    token = sign_in_token(
        inner,
        url if endpoint_url is None else with_path(endpoint_url),
        form,
        what=what,
        secrets=(keys.secret_key, keys.token),
    )
    query = {
        "Action": "login",
        "Issuer": ISSUER if issuer is None else issuer,
        "Destination": destination_of(place, destination, service),
        "SigninToken": token,
    }
    return f"{url}?{urlencode(query, quote_via=quote, safe='')}"


def _refuse_unless_session(session: Any) -> None:
    if session is None or is_asynchronous(session):
        raise TypeError(
            "session must be a session of rolecall.assume_role, or a boto3 or botocore Session, "
            f"got {type(session).__module__}.{type(session).__name__}"
        )
    botocore_session(session)


def _role_of(session: Any, inner: Session) -> RoleArn | None:
    """Return the role whose credentials *session* has; None: not known without asking AWS."""
    arn: object = None
    if isinstance(session, RoleSession):
        chain = session.chain
        if chain is not None and chain.roles:
            arn = chain.roles[-1].arn
        elif chain is not None and isinstance(chain.origin, WebIdentity):
            environ = os.environ  # noqa: TID251 - border
            arn = chain.origin.role_arn or environ.get("AWS_ROLE_ARN")
    elif from_its_profile(inner):
        method = getattr(load_credentials(inner), "method", None)
        if method == "assume-role":
            arn = inner.get_scoped_config().get("role_arn")
        elif method == "assume-role-with-web-identity":
            arn = web_identity_values(inner).get("role_arn")
    try:
        return RoleArn.parse(str(arn)) if arn else None
    except ValueError:
        return None  # it was not validated, on the caller's wish


def _assumed_by_a_session(session: Any, inner: Session) -> bool:
    """Return whether the role was assumed with temporary credentials.

    To AWS an IAM user's session, as of MFA, is no better there than a role's: that is role
    chaining, too, and the federation call fails if it says a duration. [IAM guide, enable custom
    identity broker access to the AWS console]
    """
    credentials = load_credentials(inner)
    if getattr(credentials, "method", None) != "assume-role":
        return False  # a web identity's, or not known: AWS will say
    if isinstance(session, RoleSession):
        # Not assume_role_parent_session: between that and the role may be a session with MFA.
        signer = facts(botocore_session(session._child.parent))
        return signer.temporary or signer.refreshes
    key = source_key_of(credentials)
    return key is None or key.startswith("ASIA")  # [IAM guide, unique ID prefixes]


def _keys(inner: Session, what: str) -> Any:
    """Return the frozen credentials of *inner*.

    Raises:
        ConfigError: they are an IAM user's.
        FetchError: they cannot be had.
    """
    credentials = load_credentials(inner)
    users = ConfigError(
        f"{what}: these are credentials of an IAM user, and AWS signs in only those of roles and "
        "of federated users",
        hint="assume a role with them: rolecall.assume_role",
    )
    if getattr(credentials, "method", None) == "get-session-token":
        raise users  # before an MFA code is spent on it
    try:
        DyingSource(inner, SYSTEM_CLOCK).fetch()
        keys = credentials.get_frozen_credentials()
    except NoCredentialsError:
        raise
    except (ClientError, BotoCoreError) as error:
        raise translate(error, what) from error
    if not keys.token:
        raise users
    return keys
