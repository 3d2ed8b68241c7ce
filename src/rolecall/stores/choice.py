"""Which store a program uses, as its user says it: ``ROLECALL_STORE``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from ..errors import ConfigError
from .aws_cli import AwsCliStore
from .file import FileStore
from .keyring import KeyringStore
from .memory import MemoryStore
from .redis import RedisStore
from .store import Store

STORE = "ROLECALL_STORE"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_MOST_SHOWN = 80

_CHOICES = (
    "memory, file, file:///directory, keyring, redis://host:port/number, "
    "rediss://host:port/number or aws-cli"
)


def open_store(name: str | None = None, *, environ: Mapping[str, str] | None = None) -> Store:
    """Return the store that *name* stands for.

    Args:
        name: ``memory``, ``file``, ``file:///directory``, ``keyring``, ``redis://…``,
            ``rediss://…`` or ``aws-cli``. None: what ``ROLECALL_STORE`` says, else ``file``.
        environ: Where ``ROLECALL_STORE`` and what the stores want are looked up. A Redis store
            takes its encryption key from ``ROLECALL_STORE_KEY``, or from the file that
            ``ROLECALL_STORE_KEY_FILE`` names.

    Raises:
        ConfigError: there is no such store, or what it needs is missing or wrong.
        StoreError: the desktop has no keyring that keeps secrets.
        TypeError: *name* is not text.
    """
    # Then it can be opened anew in whichever process it arrives in.
    named_there = name is None and environ is None
    if environ is None:
        environ = os.environ  # noqa: TID251 - border
    where = "the store" if name is not None else STORE
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a str, got {type(name).__name__}: it is {_CHOICES}")
    text = environ.get(STORE, "").strip() or "file" if name is None else name.strip()
    named = _SCHEME.match(text)
    scheme = named[1].lower() if named else ""
    text = scheme + text[len(scheme) :]
    if scheme in ("redis", "rediss"):
        reopen = open_store if named_there else None
        try:
            return RedisStore.from_url(text, environ=environ, reopen=reopen)
        except ConfigError as error:
            # Not from it: all that it says is here.
            trouble, hint = error.message, error.hint
        raise ConfigError(f"{where}: {trouble}", hint=hint)
    if scheme == "file":
        return FileStore(_path(text, where), environ=environ)
    if text == "memory":
        return MemoryStore()
    if text == "file":
        return FileStore(environ=environ)
    if text == "keyring":
        return KeyringStore(environ=environ)
    if text == "aws-cli":
        return AwsCliStore(environ=environ)
    raise ConfigError(f"{where}: {_shown(text, scheme)} is not a store", hint=f"give {_CHOICES}")


def _shown(text: str, scheme: str) -> str:
    """Return what may be said of *text*: a URL may hold a password, also one that is misspelt."""
    if scheme:
        return f"{scheme}:…"
    harmless = len(text) <= _MOST_SHOWN and not any(sign in text for sign in ":@?#%")
    return repr(text) if harmless else f"a text of {len(text)} characters"


def _path(url: str, where: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # as for "file://["
        parts = urlsplit("file:")
    # Any bytes are a file name here; those that are not UTF-8 come back as such.
    path = unquote(parts.path, errors="surrogateescape")
    if (
        parts.netloc.lower() not in ("", "localhost")
        or not path.startswith("/")
        or not path.strip("/")
        or "\0" in path
    ):
        raise ConfigError(
            f"{where}: the file URL does not name a directory of this machine",
            hint="a file URL has three slashes: file:///var/cache/sessions",
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            f"{where}: a file URL has neither ? nor #",
            hint="in the name of a directory they are %3F and %23",
        )
    if os.name == "nt":
        path = path.lstrip("/")  # file:///C:/sessions
    return path
