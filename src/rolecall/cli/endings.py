"""How a command ends badly: what is said on standard error, and the exit code."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
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

_USAGE = (ConfigError, InvalidChain, NoRegionError, ParamValidationError, ProfileNotFound)
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
        message, hint = error.message, _as_words(error.hint)
    elif isinstance(error, NoRegionError):
        message = "no region is known to ask STS in"
        hint = "give --region or --sts-region, or write region = … into the profile"
    elif isinstance(error, NoCredentialsError):
        message = "there are no source credentials"
        hint = "name their profile with --profile, set AWS_PROFILE, or sign in"
    else:
        message, hint = quote(error).text, ""
    return f"{message}\n  hint: {hint}" if hint else message


#: What a hint for programs says → what it is on the command line.
_WORDS = (
    (re.compile(r"pass mfa_token_provider .*"), "run it at a terminal, or give --mfa-command"),
    (re.compile(r"sts_client_kwargs=\{\"region_name\": …\}"), "--sts-region"),
    (re.compile(r"sts_client_kwargs"), "--sts-region or --sts-endpoint"),
    (re.compile(r"a longer DurationSeconds"), "a longer --duration"),
    (re.compile(r"\bPolicyArns\b"), "--policy-arn"),
    (re.compile(r"\bPolicy\b"), "--policy"),
    (re.compile(r"\bTags\b"), "--tag"),
    (re.compile(r"use the session itself, which asks"), "run it at a terminal"),
)


def _as_words(hint: str) -> str:
    for python, words in _WORDS:
        hint = python.sub(words, hint)
    return hint


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
