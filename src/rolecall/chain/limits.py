"""What STS accepts in each argument, with the source of every number.

Each function yields what is wrong with one value as `Problem` without a hop; none raises, whatever
the value, and none puts a value that may be secret (ExternalId, assertions, policies) in a message.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from typing import NoReturn

from ..errors import Problem
from .arn import ACCOUNT_ID, PARTITION, RoleArn, shown
from .canonical import LONGEST_POLICY, Tags, kind

SHORTEST_DURATION = 900
LONGEST_DURATION = 43200
LONGEST_CHAINED = 3600  # role chaining, whatever the role's MaxSessionDuration
LONGEST_SESSION_TOKEN = 129600
MOST_POLICY_ARNS = 10
MOST_TAGS = 50
MOST_CONTEXTS = 5

MODEL = "STS service model"
ASSUME_ROLE = "STS AssumeRole"
CHAINING = "IAM guide, role chaining"
SESSION_TAGS = "IAM guide, session tags"
SOURCE_IDENTITY = "IAM guide, source identity"

# STS's \w is ASCII: [\w+=,.@-]* and so on, with words for what a reader may type.
_NAME = (re.compile(r"[A-Za-z0-9_+=,.@-]*"), "letters, digits and _+=,.@-")
_EXTERNAL_ID = (re.compile(r"[A-Za-z0-9_+=,.@:/-]*"), "letters, digits and _+=,.@:/-")
_SERIAL = (re.compile(r"[A-Za-z0-9_+=/:,.@-]*"), "letters, digits and _+=/:,.@-")
_POLICY = re.compile(r"[\t\n\r\x20-\xff]*")
_POLICY_ARN = re.compile(
    rf"arn:(?P<partition>{PARTITION.pattern}):iam::(?P<account>{ACCOUNT_ID.pattern}|aws):policy/\S+"
)
_TAG_CATEGORIES = ("L", "Z", "N")  # letters, separators, numbers: \p{L}\p{Z}\p{N}
_TAG_SIGNS = "_.:/=+-@"

Pattern = tuple[re.Pattern[str], str]


def _text(
    field: str,
    value: object,
    shortest: int,
    longest: int,
    pattern: Pattern | None = None,
    *,
    secret: bool = False,
) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(field=field, message=f"must be a string, got {kind(value)}", source=MODEL)
        return
    which = "" if secret else f" {shown(value)}"
    if not shortest <= len(value) <= longest:
        message = f"must have {shortest} to {longest} characters,{which} has {len(value)}"
        yield Problem(field=field, message=message, source=MODEL)
    if pattern and not pattern[0].fullmatch(value):
        bad = "" if secret else f", got{which}"
        yield Problem(field=field, message=f"may hold only {pattern[1]}{bad}", source=MODEL)


def role_arn(value: object) -> Iterator[Problem]:
    """Yield what is wrong with a RoleArn."""
    wrong = list(_text("RoleArn", value, 20, 2048)) if isinstance(value, str) else []
    if wrong:
        yield from wrong
        return
    try:
        RoleArn.parse(value)
    except ValueError as error:
        yield Problem(field="RoleArn", message=str(error), source=ASSUME_ROLE)


def session_name(value: object) -> Iterator[Problem]:
    """Yield what is wrong with a RoleSessionName."""
    yield from _text("RoleSessionName", value, 2, 64, _NAME)


def external_id(value: object) -> Iterator[Problem]:
    """Yield what is wrong with an ExternalId, without showing it."""
    yield from _text("ExternalId", value, 2, 1224, _EXTERNAL_ID, secret=True)


def serial_number(value: object) -> Iterator[Problem]:
    """Yield what is wrong with the SerialNumber of an MFA device."""
    yield from _text("SerialNumber", value, 9, 256, _SERIAL)


def source_identity(value: object) -> Iterator[Problem]:
    """Yield what is wrong with a SourceIdentity."""
    if isinstance(value, str) and value.startswith("aws:"):
        message = f"may not start with aws:, which is reserved, got {shown(value)}"
        yield Problem(field="SourceIdentity", message=message, source=ASSUME_ROLE)
        return
    yield from _text("SourceIdentity", value, 2, 64, _NAME)


def duration(
    value: object, *, chained: bool = False, longest: int = LONGEST_DURATION
) -> Iterator[Problem]:
    """Yield what is wrong with DurationSeconds; *chained*: a role session is what assumes."""
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
    elif isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    else:
        message = f"must be whole seconds or a timedelta, got {kind(value)}"
        yield Problem(field="DurationSeconds", message=message, source=MODEL)
        return
    if not SHORTEST_DURATION <= seconds <= longest:
        amount = str(seconds) if abs(seconds) < 10**12 else "far more"
        message = f"must be {SHORTEST_DURATION} to {longest} seconds, got {amount}"
        yield Problem(field="DurationSeconds", message=message, source=MODEL)
    elif chained and seconds > LONGEST_CHAINED:
        message = (
            f"{seconds} is too long: where a role session assumes the next role, AWS refuses more "
            f"than {LONGEST_CHAINED} seconds, whatever the role's MaxSessionDuration. Leave it "
            "out: the session refreshes itself, so a longer one gains nothing"
        )
        yield Problem(field="DurationSeconds", message=message, source=CHAINING)


def policy(value: object) -> Iterator[Problem]:
    """Yield what is wrong with a session policy, saying where but never showing it."""
    if not isinstance(value, str):
        yield Problem(field="Policy", message=f"must be JSON text, got {kind(value)}", source=MODEL)
        return
    if not value:
        yield Problem(field="Policy", message="is empty: leave it out or give JSON", source=MODEL)
        return
    fits = _POLICY.match(value)
    end = fits.end() if fits else 0
    if end < len(value):
        message = (
            f"holds the character U+{ord(value[end]):04X} at {_place(value, end)}: only tab, line "
            "ends and U+0020 to U+00FF are allowed; write it as a \\u escape"
        )
        yield Problem(field="Policy", message=message, source=MODEL)
    try:
        document = json.loads(value, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        message = f"is not JSON: {error.msg} at {_place(value, error.pos)}"
        yield Problem(field="Policy", message=message, source=ASSUME_ROLE)
    except (ValueError, RecursionError) as error:
        yield Problem(field="Policy", message=f"is not JSON: {error}", source=ASSUME_ROLE)
    else:
        if not isinstance(document, (dict, list)):
            message = f"must be a JSON object, is a JSON {_JSON_KINDS[type(document)]}"
            yield Problem(field="Policy", message=message, source=ASSUME_ROLE)


_JSON_KINDS = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _place(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"line {line} column {column} (character {position})"


def policy_size(inline: object, managed: tuple[str, ...]) -> Iterator[Problem]:
    """Yield a problem if inline and managed session policies are too large together."""
    inline_size = len(inline) if isinstance(inline, str) else 0
    size = inline_size + sum(map(len, managed))
    if size > LONGEST_POLICY:
        what = "with PolicyArns " if inline_size and managed else ""
        message = f"must have at most {LONGEST_POLICY} characters, {what}has {size}"
        yield Problem(
            field="Policy" if inline_size else "PolicyArns", message=message, source=ASSUME_ROLE
        )


def policy_arns(values: tuple[str, ...], role: RoleArn | None) -> Iterator[Problem]:
    """Yield what is wrong with managed session policies for *role* (None: not known)."""
    if len(values) > MOST_POLICY_ARNS:
        message = f"at most {MOST_POLICY_ARNS} are allowed, got {len(values)}"
        yield Problem(field="PolicyArns", message=message, source=ASSUME_ROLE)
    for number, value in enumerate(values):
        field = f"PolicyArns[{number}]"
        wrong = list(_text(field, value, 20, 2048))
        yield from wrong
        if wrong:
            continue
        arn = _POLICY_ARN.fullmatch(value)
        if not arn:
            message = (
                f"{shown(value)} is not the ARN of a managed policy, such as "
                "arn:aws:iam::aws:policy/ReadOnlyAccess"
            )
            yield Problem(field=field, message=message, source=ASSUME_ROLE)
        elif role and arn["partition"] != role.partition:
            message = f"{shown(value)} is not in the role's partition, {role.partition}"
            yield Problem(field=field, message=message, source=ASSUME_ROLE)
        elif role and arn["account"] not in ("aws", role.account_id):
            message = f"{shown(value)} is not in the role's account, {role.account_id}"
            yield Problem(field=field, message=message, source=ASSUME_ROLE)


def _tag_text(field: str, value: object, shortest: int, longest: int) -> Iterator[Problem]:
    yield from _text(field, value, shortest, longest, secret=field.endswith("Value"))
    if isinstance(value, str):
        bad = sorted({sign for sign in value if not _in_tags(sign)})
        if bad:
            signs = ", ".join(f"U+{ord(sign):04X}" for sign in bad[:5])
            message = f"may hold only letters, digits, spaces and _.:/=+-@, got {signs}"
            yield Problem(field=field, message=message, source=MODEL)


def _in_tags(sign: str) -> bool:
    return sign in _TAG_SIGNS or unicodedata.category(sign)[0] in _TAG_CATEGORIES


def tags(values: Tags) -> Iterator[Problem]:
    """Yield what is wrong with session tags."""
    if len(values) > MOST_TAGS:
        message = f"at most {MOST_TAGS} are allowed, got {len(values)}"
        yield Problem(field="Tags", message=message, source=MODEL)
    first: dict[str, int] = {}
    for number, (key, value) in enumerate(values):
        yield from _tag_text(f"Tags[{number}].Key", key, 1, 128)
        yield from _tag_text(f"Tags[{number}].Value", value, 0, 256)
        before = first.setdefault(folded(key), number)
        if before != number:
            message = (
                f"{shown(str(key))} is the key of Tags[{before}] too: upper and lower case do not "
                "tell keys apart"
            )
            yield Problem(field=f"Tags[{number}].Key", message=message, source=SESSION_TAGS)


def transitive_tag_keys(values: tuple[str, ...], own: Tags) -> Iterator[Problem]:
    """Yield what is wrong with the keys of tags that later hops inherit."""
    if len(values) > MOST_TAGS:
        message = f"at most {MOST_TAGS} are allowed, got {len(values)}"
        yield Problem(field="TransitiveTagKeys", message=message, source=MODEL)
    known = {folded(key) for key, _ in own}
    for number, key in enumerate(values):
        field = f"TransitiveTagKeys[{number}]"
        wrong = list(_tag_text(field, key, 1, 128))
        yield from wrong
        if not wrong and folded(key) not in known:
            message = f"{shown(key)} is not the key of any of this call's Tags"
            yield Problem(field=field, message=message, source=SESSION_TAGS)


def folded(key: object) -> str:
    """Return a tag key in the case in which keys are compared."""
    return key.casefold() if isinstance(key, str) else repr(type(key))


def provided_contexts(values: Tags) -> Iterator[Problem]:
    """Yield what is wrong with context assertions, without showing them."""
    if len(values) > MOST_CONTEXTS:
        message = f"at most {MOST_CONTEXTS} are allowed, got {len(values)}"
        yield Problem(field="ProvidedContexts", message=message, source=MODEL)
    for number, (provider, assertion) in enumerate(values):
        field = f"ProvidedContexts[{number}]"
        yield from _text(f"{field}.ProviderArn", provider, 20, 2048)
        yield from _text(f"{field}.ContextAssertion", assertion, 4, 2048, secret=True)
