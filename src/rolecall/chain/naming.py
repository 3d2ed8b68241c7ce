"""Names for role sessions that tell whoever reads CloudTrail what made the call."""

from __future__ import annotations

import getpass
import os
import random
import re
import socket
import string
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime, timezone

from ..clock import SYSTEM_CLOCK, Clock
from . import runtime

#: Ask for a generated name even where a SourceIdentity is given. No legal name looks like this;
#: the value is that of aws-assume-role-lib, for programs that compare or pass it on as text.
AUTOMATIC_ROLE_SESSION_NAME = "AUTOMATIC_ROLE_SESSION_NAME_!#$%^&*()"

SHORTEST, LONGEST = 2, 64  # [STS AssumeRole, RoleSessionName]
FALLBACK = "rolecall"

_ILLEGAL = re.compile(r"[^A-Za-z0-9_+=,.@-]+")
_LOOSE_ENDS = "_.,-=+@"
_SHORTEST_IDENTIFIER = 4  # fewer characters would not tell two sandboxes apart
_TO_THE_SECOND = len("20260131235959")
_LETTERS = string.ascii_lowercase + string.digits


def session_name(
    environ: Mapping[str, str] | None = None,
    *,
    clock: Clock = SYSTEM_CLOCK,
    user: str | None = None,
    host: str | None = None,
    rng: Callable[[], float] = random.random,  # noqa: TID251 - border
) -> str:
    """Return a legal role session name that says where this program runs.

    ``AWS_ROLE_SESSION_NAME`` wins. Else it is made of what the environment tells: the Lambda
    function and sandbox; repository, workflow and run of GitHub Actions; project and job of GitLab
    CI; the ECS task; namespace and pod on EKS; else ``user@host``. Nothing but the environment is
    asked: no metadata service, no name server.

    Args:
        environ: None: ``os.environ``.
        user: None: who runs the process.
        host: None: what the machine calls itself.
    """
    if environ is None:
        environ = os.environ  # noqa: TID251 - border
    given = environ.get("AWS_ROLE_SESSION_NAME")
    if given:
        return clean(given)
    host = socket.gethostname() if host is None else host
    place = runtime.detect(environ, host=host)
    if place.kind == runtime.LAMBDA:
        return clean(generate_lambda_session_name(environ=environ, clock=clock, rng=rng))
    if place.kind == runtime.EC2 or not place.parts:
        where = place.parts[0] if place.parts else host
        return _joined("@", _user() if user is None else user, where)
    return _joined(".", *place.parts)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a uid without a name, as in many containers
        return ""


def clean(text: str) -> str:
    """Return *text* as a legal session name of 2 to 64 characters; a legal one stays as it is.

    Accents are dropped and each run of other characters becomes one ``_``.
    """
    return _padded(_trimmed(_legal(text), LONGEST))


def _legal(text: str) -> str:
    # é → e + accent → e. What has no ASCII letter in it becomes _.
    plain = "".join(
        sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign)
    )
    legal = _ILLEGAL.sub("_", plain)
    return legal if legal == text else legal.strip("_")


def _trimmed(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest].rstrip(_LOOSE_ENDS)


def _padded(text: str) -> str:
    return text.ljust(SHORTEST, "_") if text else FALLBACK


def _joined(between: str, *parts: str) -> str:
    """Return the parts as one name; where that is too long, the longest lose their middle.

    The last part tells most (the run, the pod, the machine): it keeps at least half of the name.
    Every part keeps its end, where the name of a repository and the letters of a pod are.
    """
    legal = [part for part in map(_legal, parts) if part]
    if not legal:
        return FALLBACK
    *heads, last = legal
    taken = sum(len(head) + len(between) for head in heads)
    last = _without_middle(last, max(LONGEST // 2, LONGEST - taken))
    room = LONGEST - len(last) - len(between) * len(heads)
    sizes = [len(head) for head in heads]
    while sum(sizes) > room:
        sizes[sizes.index(max(sizes))] -= 1
    heads = [
        _without_middle(head, size, size // 2) for head, size in zip(heads, sizes, strict=True)
    ]
    return clean(between.join([*heads, last]))


def _without_middle(text: str, longest: int, ending: int = 12) -> str:
    if len(text) <= longest:
        return text
    return f"{text[: longest - ending - 1]}_{text[-ending:]}"


def generate_lambda_session_name(
    function_name: str | None = None,
    function_version: str | int | None = None,
    identifier: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    rng: Callable[[], float] = random.random,  # noqa: TID251 - border
) -> str:
    """Return ``name``, ``name.identifier`` or ``name.version.identifier`` for a Lambda function.

    The longest form in which at least 4 characters of the identifier fit into 64. The identifier
    is the sandbox's, from the log stream's name; without one a timestamp, or where that does not
    fit random letters.

    Args:
        function_name: None: ``AWS_LAMBDA_FUNCTION_NAME``.
        function_version: None: ``AWS_LAMBDA_FUNCTION_VERSION``; ``$LATEST`` is left out.
        identifier: None: the trailing word of ``AWS_LAMBDA_LOG_STREAM_NAME``.
        environ: None: ``os.environ``.

    Raises:
        KeyError: there is no function name.
    """
    if environ is None:
        environ = os.environ  # noqa: TID251 - border
    name = function_name or environ["AWS_LAMBDA_FUNCTION_NAME"]
    version = str(function_version or environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""))
    versioned = f"{name}.{version}" if version not in ("", "$LATEST") else name
    longest_stem = LONGEST - 1 - _SHORTEST_IDENTIFIER
    if len(name) > longest_stem:
        return _lambda_legal(name)
    stem = versioned if len(versioned) <= longest_stem else name
    room = LONGEST - 1 - len(stem)
    ending = identifier or _lambda_identifier(room, environ, clock, rng)
    return _lambda_legal(f"{stem}.{ending}")


def _lambda_identifier(
    room: int, environ: Mapping[str, str], clock: Clock, rng: Callable[[], float]
) -> str:
    sandbox = re.search(r"\w+$", environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""))
    if sandbox:
        return sandbox[0]
    if room >= _TO_THE_SECOND:
        now = datetime.fromtimestamp(clock.time(), timezone.utc)
        return now.strftime("%Y%m%d%H%M%S%f")[:room]
    return "".join(_LETTERS[int(rng() * len(_LETTERS))] for _ in range(room))


def _lambda_legal(text: str) -> str:
    # Cut first, as aws-assume-role-lib does: names stay what they are in people's CloudTrail.
    return re.sub(r"[^a-zA-Z0-9_=,.@-]+", "_", text[:LONGEST])
