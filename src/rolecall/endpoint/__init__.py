"""Credentials for other programs: an endpoint on loopback that every AWS SDK understands.

::

    with rolecall.endpoint.serving(session) as env:
        subprocess.run(["terraform", "apply"], env=env)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..chain import RoleArn, RoleChain
from ..errors import ConfigError
from ..sessions.handing import handing, local_expiry
from ..sources.upstream import botocore_session, refuse_unless_session

__all__ = ["serving"]


@contextmanager
def serving(session: Any, *, environ: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Serve *session*'s credentials inside ``with``; give the environment of a child that is it.

    The child asks for credentials when it needs them, so that it outlives any session. What else
    would give it credentials is not in that environment, nor in the default profile that it sees.
    Nobody is asked for an MFA code while it runs.

    Args:
        session: Of `rolecall.assume_role`, or any boto3 or botocore session whose credentials
            expire. None: boto3's default one.
        environ: What the child's environment is made of. None: ``os.environ``.

    Raises:
        NoCredentialsError: *session* has none (botocore's).
        FetchError: they cannot be had.
        ConfigError: they are long-term keys; the extra is not installed; the server does not
            come up; the default profile cannot be kept from the child.
    """
    refuse_unless_session(session)
    if environ is None:
        environ = os.environ  # noqa: TID251 - border
    try:
        from .child import serving_child
        from .server import Endpoint
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the endpoint needs {error.name}", hint="pip install 'rolecall[cli]'"
        ) from error
    from .app import Served

    refresher = handing(session)
    local_expiry(refresher.get())
    arn = role_arn_of(getattr(session, "chain", None))
    name = arn or refresher.name
    served = Served(name=name, refresher=refresher, role_arn=arn, account_id=account_in(arn))
    region = botocore_session(session).get_config_variable("region")
    with Endpoint([served]) as endpoint, serving_child(endpoint, name, environ, region) as child:
        yield child


def role_arn_of(chain: RoleChain | None) -> str | None:
    """Return the ARN of a chain's last role. None: it is none, or not known."""
    if chain is None:
        return None
    return str(chain.roles[-1]) if chain.roles else getattr(chain.origin, "role_arn", None)


def account_in(arn: str | None) -> str | None:
    """Return the account in a role's ARN. None: there is none."""
    try:
        return None if arn is None else RoleArn.parse(arn).account_id
    except ValueError:
        return None
