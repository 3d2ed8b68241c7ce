"""The command line of aws-assume-role-lib: assume a role once and print its keys.

``python -m rolecall.compat ROLE_ARN [--profile P] [--env | --json] [--RoleSessionName …] …``

Exit codes: 2 usage, 3 no source credentials, 4 the role could not be assumed. Keys go to standard
output, which stays empty on failure; words go to standard error, and never show a code or a key.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import timezone
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import boto3

PROG = "python -m rolecall.compat"

USAGE, NO_CREDENTIALS, NOT_ASSUMED = 2, 3, 4

#: Instants as shells and credential_process know them: UTC, whole seconds.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

_DESCRIPTION = """\
Assume ROLE_ARN with the credentials found here and print the keys of its session.

The keys die with the session, an hour from now unless --DurationSeconds says otherwise. Where the
program can be told of a profile instead, write one with role_arn and source_profile to
~/.aws/config: every AWS SDK then renews the session itself."""

_EXAMPLE = f"""\
example:
  export $({PROG} arn:aws:iam::123456789012:role/Reader --profile hub)"""

#: Shorter words than this are no secret, and too common to be struck from a message.
_SHORTEST_SECRET = 4


def main(args: Sequence[str] | None = None, exit: Callable[[int], object] | None = None) -> None:
    """Run the command line.

    Args:
        args: The words after the program's name. None: those of this process.
        exit: Called with the exit code of a failure, and with 0 after ``--help``; if it returns,
            so does `main`. None: `sys.exit`.
    """
    leave = sys.exit if exit is None else exit
    try:
        _run(sys.argv[1:] if args is None else args)
    except _Exit as end:
        leave(end.status)


class _Exit(Exception):
    """The command ends before its end."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _run(words: Sequence[str]) -> None:
    given = _parser(words).parse_args(words)
    keys = _keys(_source(given.profile), given)
    sys.stdout.write(_FORMATS[given.format](keys))


def _source(profile: str | None) -> boto3.Session:
    import boto3

    try:
        session = boto3.Session(profile_name=profile)
        found = session.get_credentials()
    except Exception as error:  # a script looks at the status, whatever stood in the way
        _fail(NO_CREDENTIALS, f"no source credentials: {_told(error)}")
    if found is None:
        _fail(NO_CREDENTIALS, "no source credentials: set AWS_PROFILE, give --profile, or sign in")
    return session


def _keys(session: boto3.Session, given: argparse.Namespace) -> dict[str, str | None]:
    """Return the keys of the role's session, and when they expire, as credential_process does."""
    from .sessions import assume_role

    try:
        credentials = assume_role(
            session,
            given.RoleArn,
            RoleSessionName=given.RoleSessionName,
            PolicyArns=given.PolicyArns,
            Policy=given.Policy,
            DurationSeconds=given.DurationSeconds,
            Tags=given.Tags,
            TransitiveTagKeys=given.TransitiveTagKeys,
            ExternalId=given.ExternalId,
            SerialNumber=given.SerialNumber,
            TokenCode=given.TokenCode,
            SourceIdentity=given.SourceIdentity,
            additional_kwargs=given.additional_kwargs,
        ).get_credentials()
        # In this order: should they rotate in between, the keys outlive what is said of them.
        expires_at = credentials.expires_at
        keys = credentials.get_frozen_credentials()
    except Exception as error:  # a script looks at the status, whatever went wrong
        _fail(NOT_ASSUMED, f"the role was not assumed: {_told(error, _secrets(given))}")
    return {
        "AccessKeyId": keys.access_key,
        "SecretAccessKey": keys.secret_key,
        "SessionToken": keys.token,
        "Expiration": expires_at.astimezone(timezone.utc).strftime(TIME_FORMAT),
    }


def _as_env(keys: dict[str, str | None]) -> str:
    names = {
        "AWS_ACCESS_KEY_ID": "AccessKeyId",
        "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
        "AWS_SESSION_TOKEN": "SessionToken",
        "AWS_CREDENTIALS_EXPIRATION": "Expiration",
    }
    return "".join(f"{variable}={keys[name]}\n" for variable, name in names.items())


def _as_json(keys: dict[str, str | None]) -> str:
    return json.dumps({"Version": 1, **keys}, indent=2) + "\n"


_FORMATS = {"env": _as_env, "json": _as_json}


def _told(error: Exception, secrets: Iterable[str] = ()) -> str:
    """Return what may be shown of *error*."""
    from .errors import RolecallError
    from .sources.quote import quote

    if isinstance(error, RolecallError):
        # Ours hold no secret, but STS may have quoted an argument in what it said.
        return _without(str(error), secrets)
    return quote(error, secrets=list(secrets)).text


def _secrets(given: argparse.Namespace) -> list[str]:
    """Return the arguments that are nobody else's business."""
    more = given.additional_kwargs or {}
    found: list[Any] = [given.TokenCode, given.ExternalId, more.get("TokenCode")]
    found.append(more.get("ExternalId"))
    contexts = more.get("ProvidedContexts")
    for context in contexts if isinstance(contexts, list) else []:
        if isinstance(context, dict):
            found.append(context.get("ContextAssertion"))
    return [value for value in found if isinstance(value, str)]


def _without(text: str, values: Iterable[str]) -> str:
    """Return *text* without the longer ones of *values*, however argparse or STS quoted them."""
    spellings = {spelling for value in values for spelling in (value, repr(value)[1:-1])}
    for spelling in sorted(spellings, key=len, reverse=True):
        if len(spelling) >= _SHORTEST_SECRET:
            text = text.replace(spelling, "…")
    return text


def _fail(status: int, message: str) -> NoReturn:
    print(f"{PROG}: {message}", file=sys.stderr)
    raise _Exit(status)


# ── the words of the command line ────────────────────────────────────────────────────────


class _Parser(argparse.ArgumentParser):
    """Leaves through `_Exit`, and shows no value it was given: any may be a code."""

    def __init__(self, words: Sequence[str], **keywords: Any) -> None:
        super().__init__(**keywords)
        self._values = [word.partition("=")[2] if word.startswith("-") else word for word in words]

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        _fail(USAGE, _without(message, self._values))

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        sys.stderr.write(message or "")
        raise _Exit(status)


def _parser(words: Sequence[str]) -> _Parser:
    parser = _Parser(
        words,
        prog=PROG,
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("RoleArn", metavar="ROLE_ARN", help="the role to assume")
    parser.add_argument("--profile", metavar="NAME", help="profile of ~/.aws/config to start from")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--env",
        action="store_const",
        const="env",
        dest="format",
        help="print NAME=value lines for export (the default)",
    )
    shape.add_argument(
        "--json",
        action="store_const",
        const="json",
        dest="format",
        help="print the JSON of a credential_process",
    )
    parser.set_defaults(format="env")
    add = parser.add_argument_group("arguments of STS AssumeRole").add_argument
    add("--RoleSessionName", metavar="NAME", help="default: one that says where this runs")
    add("--PolicyArns", metavar="ARNS", type=_policy_arns, help="ARN,ARN or JSON")
    add("--Policy", metavar="JSON", type=_object, help="session policy, a JSON object")
    add("--DurationSeconds", metavar="N", type=_duration, help="900 to 43200; default 3600")
    add("--Tags", metavar="TAGS", type=_tags, help="key=value,key=value or a JSON object")
    add("--TransitiveTagKeys", metavar="KEYS", type=_keys_of_tags, help="key,key or a JSON list")
    add("--ExternalId", metavar="ID", help="what the role's trust policy asks for")
    add("--SerialNumber", metavar="SERIAL", help="your MFA device")
    add("--TokenCode", metavar="CODE", help="its six digits; default: asked at the terminal")
    add("--SourceIdentity", metavar="NAME", help="who is behind the session")
    add("--additional-kwargs", metavar="JSON", type=_object, help="other arguments, a JSON object")
    return parser


_NOT_JSON = object()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _object(text: str) -> dict[str, Any]:
    value = _parsed(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return value


def _tags(text: str) -> dict[str, str] | list[dict[str, str]]:
    value = _parsed(text)
    if isinstance(value, dict):
        return value
    pairs = [part.partition("=") for part in text.split(",")]
    if value is not _NOT_JSON or not all(between for _, between, _ in pairs):
        raise argparse.ArgumentTypeError("must be key=value,key=value or a JSON object")
    # A list, so that a key that is there twice is refused and not silently dropped.
    return [{"Key": key, "Value": tag} for key, _, tag in pairs]


def _keys_of_tags(text: str) -> list[Any]:
    value = _parsed(text)
    if isinstance(value, list):
        return value
    if value is not _NOT_JSON:
        raise argparse.ArgumentTypeError("must be key,key or a JSON list")
    return text.split(",")


def _policy_arns(text: str) -> Any:
    value = _parsed(text)
    if isinstance(value, (dict, list)):
        return value
    if value is not _NOT_JSON:
        raise argparse.ArgumentTypeError("must be ARN,ARN or a JSON list or object")
    return text.split(",")


def _duration(text: str) -> Any:
    # What is no number is refused with all else that is wrong with the call, not as usage.
    try:
        return int(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
