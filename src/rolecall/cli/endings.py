"""How a command ends badly: what is said on standard error, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from ..errors import ConfigError, CredentialsExpired, InvalidChain, MFARequired, RolecallError
from ..sources.quote import quote

DONE = 0
#: AWS refused, was not to be reached, or some targets failed.
REFUSED = 1
#: The command line, a profile or a chain does not add up.
USAGE = 2
#: There is nothing to assume the role with: no credentials, a sign-in that ended, no MFA code.
NO_SOURCE = 3
#: [POSIX shells: 128 + SIGINT]
INTERRUPTED = 130

_USAGE = (ConfigError, InvalidChain, ParamValidationError, ProfileNotFound)
_NO_SOURCE = (
    CredentialsExpired,
    MFARequired,
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

#: What a command may end with that is no bug of ours.
EXPECTED = (RolecallError, BotoCoreError, ClientError, OSError)


def code_of(error: BaseException) -> int:
    """Return the exit code that *error* means."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, _NO_SOURCE):  # first: one that is both is of this kind
        return NO_SOURCE
    if isinstance(error, _USAGE):
        return USAGE
    return REFUSED


def told(error: BaseException) -> str:
    """Return what may be shown of *error*: what happened, and on a line of its own what to do."""
    if isinstance(error, RolecallError):
        message, hint = error.message, error.hint
    elif isinstance(error, NoCredentialsError):
        message = "there are no source credentials"
        hint = "name their profile with --profile, set AWS_PROFILE, or sign in"
    else:
        message, hint = quote(error).text, ""
    return f"{message}\n  hint: {hint}" if hint else message


def say(*lines: str) -> None:
    """Say something to the person: never on standard output, which is for data."""
    if sys.stderr is None:  # closed; print would take standard output instead
        return
    for line in lines:
        print(f"rolecall: {line}", file=sys.stderr, flush=True)


def listed(words: Iterable[str]) -> str:
    """Return *words* as a list in a sentence."""
    found = list(words)
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)
