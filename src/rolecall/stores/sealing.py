"""Encryption of entries that leave the machine, with a key of the user's."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from ..errors import ConfigError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

KEY = "ROLECALL_STORE_KEY"
KEY_FILE = "ROLECALL_STORE_KEY_FILE"

#: More than anybody's rotation needs.
_MOST_KEY_BYTES = 16 * 1024

_MAKE_ONE = 'make one with: python -c "import rolecall; print(rolecall.RedisStore.generate_key())"'


class Sealer:
    """Encrypts and authenticates text. [Fernet: AES-128-CBC with HMAC-SHA256]

    Args:
        keys: Fernet keys, 32 bytes in URL-safe base64 each. The first one seals; all of them open
            what they sealed, so that keys can be rotated.

    Raises:
        ConfigError: there is no key, one is malformed, or ``cryptography`` is not installed.
        TypeError: *keys* is neither.
    """

    __slots__ = ("_fernet",)

    def __init__(self, keys: str | bytes | Sequence[str | bytes]) -> None:
        if not isinstance(keys, (str, bytes, Sequence)):
            raise TypeError(
                f"encryption_key must be a Fernet key or a list of them, got {type(keys).__name__}"
            )
        self._fernet: MultiFernet = _fernet([keys] if isinstance(keys, (str, bytes)) else [*keys])

    def __repr__(self) -> str:
        return "Sealer()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Sealer holds encryption keys and does not pickle")

    def seal(self, text: str) -> bytes:
        """Return *text* so that nobody without the key reads or changes it."""
        return self._fernet.encrypt(text.encode())

    def unseal(self, sealed: bytes | str) -> str | None:
        """Return what was sealed; None: it was not sealed with one of the keys, or was changed."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(sealed).decode()
        except (InvalidToken, ValueError):  # a ValueError for text that is not ASCII
            return None


def generate_key() -> str:
    """Return a new key: 44 characters."""
    return _imported().generate_key().decode()


def keys_from(environ: Mapping[str, str]) -> list[str]:
    """Return the keys in ``ROLECALL_STORE_KEY``, or in the file of ``ROLECALL_STORE_KEY_FILE``.

    Several are separated by commas or white space; the first one seals.

    Raises:
        ConfigError: neither is set, or the file cannot be trusted.
    """
    text = environ.get(KEY, "")
    path = environ.get(KEY_FILE, "")
    if text.strip() and path:
        raise ConfigError(f"{KEY} and {KEY_FILE} are both set", hint="unset one of them")
    where = KEY
    if path:
        text, where = _read(path), f"{KEY_FILE}={path}"
    keys = text.replace(",", " ").split()
    if not keys:
        raise ConfigError(
            f"{where} holds no key to encrypt entries with"
            if path
            else f"sessions that leave the machine are encrypted: set {KEY} or {KEY_FILE}",
            hint=_MAKE_ONE,
        )
    return keys


def _read(path: str) -> str:
    """Return what is in the key file *path*.

    It may be a link, and root's: that is how container platforms mount secrets.
    """
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{KEY_FILE}: {path} is not a plain file")
            if hasattr(os, "geteuid"):
                _refuse_shared(path, found)
            return file.read(_MOST_KEY_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise ConfigError(
            f"{KEY_FILE}: {path} cannot be read: {error.strerror or type(error).__name__}"
        ) from None


def _refuse_shared(path: str, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{KEY_FILE}: {path} belongs to user {found.st_uid}")
    # Who may read root's is root's business; the mount of a container shows it to all inside.
    shared = 0o022 if found.st_uid == 0 else 0o077
    if mode & shared:
        raise ConfigError(
            f"{KEY_FILE}: others may use {path} (mode {mode:04o})", hint=f"chmod 600 {path}"
        )


def _fernet(keys: Sequence[str | bytes]) -> MultiFernet:
    from_library = _imported()
    from cryptography.fernet import MultiFernet

    made, bad = [], []
    for number, key in enumerate(keys, 1):
        try:
            made.append(from_library(key))
        except (ValueError, TypeError, AttributeError):
            bad.append(str(number))
    if bad or not made:
        which = f"{', '.join(bad)} of {len(keys)}" if bad else "none given"
        raise ConfigError(
            f"encryption key ({which}): not a Fernet key, which is 32 bytes in URL-safe base64",
            hint=_MAKE_ONE,
        )
    return MultiFernet(made)


def _imported() -> type[Fernet]:
    try:
        from cryptography.fernet import Fernet
    except ImportError:
        raise ConfigError(
            "a store outside this machine needs the package cryptography",
            hint="pip install 'rolecall[redis]'",
        ) from None
    return Fernet
