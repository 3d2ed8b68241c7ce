"""What is sent to another process: plain data and functions, and never a session with its keys."""

from __future__ import annotations

import io
import os
import pickle
from typing import Any

import boto3
from botocore.client import BaseClient
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.credentials import ReadOnlyCredentials
from botocore.session import Session

from ...credentials import Credentials
from ...errors import ConfigError
from ...sessions.boto import RoleSession
from ...sources.quote import quote

_NEVER: tuple[type, ...] = (
    boto3.Session,
    Session,
    BaseClient,
    BotocoreCredentials,
    ReadOnlyCredentials,
    Credentials,
    type(os.environ),  # noqa: TID251 - it may hold keys, and is copied whole into a closure
)


def _pickler() -> type[pickle.Pickler]:
    try:
        import cloudpickle
    except ImportError:
        return pickle.Pickler
    found: type[pickle.Pickler] = cloudpickle.Pickler
    return found


def packed_bytes(thing: Any, what: str, hint: str) -> bytes:
    """Return *thing* as bytes for another process, by cloudpickle where that is installed.

    Args:
        what: What the message calls it.
        hint: What to do where a session, a client or keys are in it.

    Raises:
        ConfigError: it cannot be sent, or must not.
    """

    guarded = type("Guarded", (_pickler(),), {"persistent_id": _refuse})
    written = io.BytesIO()
    try:
        guarded(written, protocol=pickle.HIGHEST_PROTOCOL).dump(thing)
    except _Refused as refused:
        raise ConfigError(
            f"{what} holds a {refused}, which is not sent to another process: its keys would "
            "travel with it",
            hint=hint,
        ) from None
    except ConfigError:
        raise
    except Exception as error:  # whatever an object's own pickling raises
        raise ConfigError(
            f"{what} cannot be sent to another process: {quote(error).text}",
            hint="give a module's function and plain data, or install cloudpickle",
        ) from None
    return written.getvalue()


def _refuse(pickler: pickle.Pickler, one: Any) -> None:
    """Refuse what holds keys, however deep it is: a new session pickles with them in it."""
    if isinstance(one, _NEVER) and not isinstance(one, RoleSession):
        raise _Refused(f"{type(one).__module__}.{type(one).__qualname__}")


class _Refused(Exception):
    """Something must not travel."""


def unpacked(data: bytes) -> Any:
    """Return what `packed_bytes` was given, from this run's other side."""
    return pickle.loads(data)
