"""Asking a running endpoint how its roles are."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .server import ADDRESS
from .status import Running

_SECONDS = 2.0
_MOST_BYTES = 1024 * 1024


def status_of(one: Running) -> list[Mapping[str, Any]] | None:
    """Return what the roles of *one* are like; None: it is gone, or something else is there now.

    Raises:
        TimeoutError: it does not answer, as one that was stopped.
    """
    try:
        parts = urlsplit(one.url)
        if parts.scheme != "http" or parts.hostname != ADDRESS or not parts.port:
            return None
        connection = http.client.HTTPConnection(ADDRESS, parts.port, timeout=_SECONDS)
        try:
            connection.request("GET", parts.path, headers={"Authorization": one.token})
            answer = connection.getresponse()
            if answer.status != 200:
                return None
            roles = json.loads(answer.read(_MOST_BYTES))["roles"]
        finally:
            connection.close()
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException) as error:
        raise TimeoutError from error
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(roles, list):
        return None
    return [role for role in roles if isinstance(role, Mapping)]
