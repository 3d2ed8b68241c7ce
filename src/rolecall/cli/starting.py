"""Opening what a chain starts from; where that has no credentials, saying which and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    SSOError,
)

from ..chain import CredentialSource, Origin, Profile
from ..errors import ConfigError, RolecallError
from ..sources.origin import load_credentials
from ..sources.quote import redact
from ..sources.refusals import both
from ..sources.upstream import botocore_session

#: Characters of what a source says that are shown.
_MOST_SAID = 200


def started(origin: Origin, open_: Callable[[], Any]) -> Any:
    """Return the session that *open_* opens for *origin*, its credentials looked up.

    Raises:
        ConfigError: there are none, which is botocore's NoCredentialsError, too; or the program
            that is to print them does not, which is its CredentialRetrievalError.
    """
    failed = both(ConfigError, CredentialRetrievalError)
    try:
        session = open_()
        load_credentials(botocore_session(session))
        return session
    except NoCredentialsError:
        raise _nothing_at(origin) from None
    except CredentialRetrievalError as error:
        said = str(error.kwargs.get("error_msg", "")).strip().splitlines()
        raise failed(
            f"{_called(origin)}: its credential_process gave no credentials"
            + (f": {redact(said[0])[:_MOST_SAID]}" if said else ""),
            hint="run its command line in a shell, and see what it says",
        ) from None
    except (RolecallError, ClientError, NoRegionError, ProfileNotFound, SSOError):
        raise
    except OSError as error:
        raise failed(
            f"{_called(origin)}: its credential_process cannot be run: {error.strerror}",
            hint="check the program's name and path",
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # botocore's own, of what the program prints.
        raise failed(
            f"{_called(origin)}: its credential_process printed nothing usable "
            f"({type(error).__name__})",
            hint="it prints one JSON object, with Version 1 and the keys",
        ) from None


def _called(origin: Origin) -> str:
    if isinstance(origin, CredentialSource):
        return f"credential_source = {origin.name}"
    return f"profile {origin.name!r}" if isinstance(origin, Profile) else "the default profile"


_WHERE = {
    "Environment": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "Ec2InstanceMetadata": "that is for programs on an EC2 instance with a role",
    "EcsContainer": "that is for programs in a container that is given credentials",
}


def _nothing_at(origin: Origin) -> RolecallError:
    """Return what is raised where *origin* has no credentials; also botocore's own error."""
    kind = both(ConfigError, NoCredentialsError)
    if isinstance(origin, CredentialSource):
        return kind(
            f"{_called(origin)} gives no credentials here",
            hint=_WHERE.get(origin.name, "name another source in the profile"),
        )
    if isinstance(origin, Profile):
        return kind(
            f"{_called(origin)} has no credentials",
            hint="give it keys, a role_arn, sso_session or credential_process, or sign in to it",
        )
    return kind(
        "there are no source credentials: none in the environment, none in the default profile",
        hint="name their profile with --profile, set AWS_PROFILE, or sign in",
    )
