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

from ..errors import (
    ConfigError,
    CredentialsExpired,
    InvalidChain,
    MFARequired,
    Problem,
    RolecallError,
)
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

_SIGN_IN = (SSOError, TokenRetrievalError, UnauthorizedSSOTokenError)

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
        if isinstance(error, InvalidChain):
            message = "\n  ".join(["these cannot be sent:", *map(_problem, error.problems)])
    elif isinstance(error, NoRegionError):
        message = "no region is known to ask STS in"
        hint = "give --region or --sts-region, or write region = … into the profile"
    elif isinstance(error, NoCredentialsError):
        message = "there are no source credentials"
        hint = "name their profile with --profile, set AWS_PROFILE, or sign in"
    elif isinstance(error, ProfileNotFound):
        message, hint = _without_class(error), "check AWS_PROFILE, and AWS_CONFIG_FILE"
    elif isinstance(error, _SIGN_IN):
        message = _without_class(error)
        hint = "sign in again: aws sso login, with --profile for a profile with a name"
    else:
        message, hint = _without_class(error), ""
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
    (re.compile(r"assume a role with them: rolecall\.assume_role"), "name a role"),
    (re.compile(r"use the session itself, which asks"), "run it at a terminal"),
)


#: The arguments of STS → the options that give them.
_FLAGS = {
    "DurationSeconds": "--duration",
    "ExternalId": "--external-id",
    "Policy": "--policy",
    "PolicyArns": "--policy-arn",
    "RoleSessionName": "--session-name",
    "SerialNumber": "--mfa-serial",
    "SourceIdentity": "--source-identity",
    "Tags": "--tag",
    "TransitiveTagKeys": "--transitive",
}


def _problem(problem: Problem) -> str:
    """Return what is wrong with an argument, which may be an option's or a profile's."""
    flag = _FLAGS.get(problem.field.partition("[")[0])
    text = str(problem)
    return f"{text} (that is {flag}, or the profile's)" if flag else text


def _without_class(error: BaseException) -> str:
    kind, _, text = quote(error).text.partition(": ")
    return text or kind


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
