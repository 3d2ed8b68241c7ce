"""Quote an exception of somebody else's code, minus any secret in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MOST_CHARACTERS = 200
#: A secret access key has 40 characters, a token more. Only runs that mix upper case, lower case
#: and digits count, or every long path would.
_LONG_RUN = re.compile(r"[A-Za-z0-9/+=_-]{40,}")
_MIXED = (re.compile("[A-Z]"), re.compile("[a-z]"), re.compile("[0-9]"))
#: ``'SecretAccessKey': '…'``, ``token=…``: a dict or a command line in a message. The name's length
#: is limited, or a text of nothing but such words would take minutes.
_NAMED = re.compile(
    r"(?i)((?:secret|token|passw|credential)[\w-]{0,60}['\"]?\s*[:=]\s*b?['\"]?)([^\s'\",;&)}\]]+)"
)
_CODE = re.compile(r"(?<![0-9])[0-9]{6}(?![0-9])")
_REDACTED = "[redacted]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What may be shown of an exception.

    Attributes:
        text: Its type and the first line of its message, at most 200 characters.
        clean: Whether neither it nor what it was raised from holds a secret, so that it may be
            chained to and come up in a traceback.
    """

    text: str
    clean: bool


def quote(error: BaseException, *, secrets: Sequence[str] = (), codes: bool = False) -> Quote:
    """Return what may be shown of *error*.

    Args:
        error: Anything raised.
        secrets: Values known to be secret.
        codes: Whether six digits are an MFA code.
    """
    message = _message(error)
    shown = redact(message.strip().partition("\n")[0], secrets, codes=codes)
    kind = type(error).__name__
    return Quote(
        text=f"{kind}: {shown[:_MOST_CHARACTERS]}" if shown else kind,
        clean=all(redact(text, secrets, codes=codes) == text for text in _messages(error)),
    )


def redact(text: str, secrets: Sequence[str] = (), *, codes: bool = False) -> str:
    """Return *text* with *secrets*, and what looks like one, replaced."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, _REDACTED)
    text = _NAMED.sub(lambda match: match[1] + _REDACTED, text)
    text = _LONG_RUN.sub(
        lambda match: _REDACTED if all(kind.search(match[0]) for kind in _MIXED) else match[0],
        text,
    )
    return _CODE.sub(_REDACTED, text) if codes else text


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a __str__ of somebody else's, asked while handling another error
        return ""


def _messages(error: BaseException) -> Iterator[str]:
    """Yield what a traceback of *error* would print, but for the code."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield _message(one)
        yield from map(str, getattr(one, "__notes__", ()))
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
