"""Which backends of the ``keyring`` library keep secrets, and which of them are small.

They are told by the names of their classes: to load them all would take what they need.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ..errors import ConfigError, StoreError


class Backend(Protocol):
    """As much of a backend of the ``keyring`` library as is used here."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return what is kept for *username*; None if nothing is."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep *password* for *username*, instead of what was there."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Forget what is kept for *username*."""
        ...


_KEEP_NOTHING = {
    "keyring.backends.fail": "it stands for no keyring at all",
    "keyring.backends.null": "it forgets what it is given",
}
_PLAIN_TEXT = "it writes secrets down as plain text"
_PLAIN_NAME = re.compile(r"(plain|clear)_?text|insecure|unencrypted|no_?encryption", re.IGNORECASE)
#: What the file backends of keyrings.alt call their way of encrypting. Theirs is misspelt.
_PLAIN_SCHEME = re.compile(r"none$|no enc", re.IGNORECASE)
_NO_CRYPTER = "keyring.backend.NullCrypter"
_CHAIN = "keyring.backends.chainer.ChainerBackend"
_OF_WINDOWS = re.compile(r"^keyring\.backends\.Windows\.|win_?cred|win_?vault", re.IGNORECASE)

_HINT = (
    "start a secret service (GNOME Keyring, KWallet, KeePassXC), or take another store: "
    "ROLECALL_STORE=file"
)


def chosen_by_library() -> Callable[[], Backend]:
    """Return what asks the library which backend it uses here; that may hang.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from keyring import get_keyring
    except ImportError as error:
        raise ConfigError(
            "the keyring store needs the keyring library",
            hint="pip install 'rolecall[keyring]'",
        ) from error
    return get_keyring


def keepers(backend: Backend) -> tuple[Backend, ...]:
    """Return which of *backend* or its members keep secrets, in the order to ask them.

    Raises:
        StoreError: none does.
    """
    members = _members(backend)
    judged = [(one, refusal(one)) for one in members]
    kept = [one for one, why in judged if why is None]
    if kept:
        # Of a chain, not what the library itself does not recommend (below 1): some of it asks for
        # a password at the terminal, each time that the desktop's own keyring has no entry.
        best = [one for one in kept if one is backend or _priority(one) >= 1]
        return tuple(best or kept)
    reasons = [why if one is backend else f"{name_of(one)}: {why}" for one, why in judged]
    raise StoreError(
        f"the keyring backend {name_of(backend)} keeps no secrets: "
        + ("; ".join(map(str, reasons)) or "it has no members"),
        hint=_HINT,
        context={"backend": name_of(backend)},
        retryable=False,
    )


def refusal(backend: object, via: tuple[int, ...] = ()) -> str | None:
    """Return why secrets are not given to *backend*; None if they may be."""
    names = _names(backend)
    for name in names:
        why = _KEEP_NOTHING.get(name.rpartition(".")[0])
        if why is not None:
            return why
    scheme = str(getattr(backend, "scheme", ""))
    if any(map(_PLAIN_NAME.search, names)) or _PLAIN_SCHEME.match(scheme):
        return _PLAIN_TEXT
    for inner in _inside(backend):
        if _NO_CRYPTER in _names(inner):
            return _PLAIN_TEXT
        # By its type: some objects claim to have whatever they are asked for.
        if hasattr(type(inner), "set_password") and id(inner) not in via:
            why = refusal(inner, (*via, id(backend)))
            if why is not None:
                return f"it hands them on to {name_of(inner)}: {why}"
    return None


def is_small(backend: Backend) -> bool:
    """Return whether *backend* is Windows' vault, which takes no long entry."""
    return any(map(_OF_WINDOWS.search, _names(backend)))


def name_of(backend: object) -> str:
    """Return module and name of the class of *backend*."""
    return _names(backend)[0]


def _members(backend: Any) -> list[Backend]:
    """Return what *backend* stands for: itself, or the members of a chain, the best first."""
    if _CHAIN not in _names(backend):
        return [backend]
    return sorted(backend.backends, key=_priority, reverse=True)


def _priority(backend: Any) -> float:
    return float(backend.priority)


def _inside(backend: Any) -> Iterator[object]:
    """Yield what *backend* may hand secrets on to, if it is a wrapper or a chain."""
    if _CHAIN in _names(backend):
        yield from backend.backends
    for value in getattr(backend, "__dict__", {}).values():
        if isinstance(value, (list, tuple)):
            yield from value
        else:
            yield value


def _names(this: object) -> list[str]:
    return [f"{one.__module__}.{one.__qualname__}" for one in type(this).__mro__]
