"""Warn when a presigned URL would die with the credentials before its own expiry."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from datetime import timedelta
from typing import Any

from botocore.session import Session

from ..refresh import Refresher

#: The methods that presign, and botocore's default of their ExpiresIn in seconds.
METHODS = ("generate_presigned_url", "generate_presigned_post")
DEFAULT_EXPIRES_IN_SECONDS = 3600

#: botocore's default for a URL is the STS default for a session: a new session is good enough.
SLACK = timedelta(minutes=1)


class Presigning:
    """Wraps the presigning methods of one session's clients.

    Args:
        refresher: Gives what keeps the session's credentials; None before there is one.
    """

    #: What to call before presigning; shown in the warning.
    ADVICE = "session.get_credentials().ensure_valid_for(…)"

    def __init__(self, refresher: Callable[[], Refresher | None]) -> None:
        self._refresher = refresher

    def register(self, session: Session) -> None:
        """Wrap the methods of every client class that *session* makes from now on."""
        session.get_component("event_emitter").register_last(
            "creating-client-class", self.wrap, unique_id="rolecall-presign"
        )

    def wrap(self, class_attributes: MutableMapping[str, Any], **_: Any) -> None:
        """Wrap the presigning methods among *class_attributes*."""
        for name in METHODS:
            if name in class_attributes:
                class_attributes[name] = self.watched(class_attributes[name])

    def watched(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return *method* with a look at what it has signed."""

        @functools.wraps(method)
        def presign(client: Any, *arguments: Any, **keywords: Any) -> Any:
            signed = method(client, *arguments, **keywords)
            self.warn(signed, asked_lifetime(method.__name__, arguments, keywords))
            return signed

        return presign

    def warn(self, signed: Any, expires_in: timedelta) -> None:
        """Warn if *signed* will not be valid for as long as *expires_in*."""
        refresher = self._refresher()
        if refresher is None:
            return
        held = refresher.state.held
        left = refresher.remaining
        if held is None or left is None or left >= expires_in - SLACK:
            return
        if held.credentials.access_key not in str(signed):
            return  # signed with keys of the client's own
        warnings.warn(
            f"this presigned URL says it is valid for {expires_in}, but its credentials expire in "
            f"{timedelta(seconds=round(left.total_seconds()))}: call "
            f"{self.ADVICE} first, or ask for a shorter ExpiresIn or a longer DurationSeconds",
            UserWarning,
            stacklevel=3,
        )


def asked_lifetime(name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> timedelta:
    """Return the ExpiresIn that the method *name* was called with."""
    # generate_presigned_url(ClientMethod, Params, ExpiresIn, HttpMethod);
    # generate_presigned_post(Bucket, Key, Fields, Conditions, ExpiresIn)
    place = 2 if name == "generate_presigned_url" else 4
    positional = arguments[place] if len(arguments) > place else None
    seconds = keywords.get("ExpiresIn", positional)
    # None: botocore's signer has the same default then.
    return timedelta(seconds=float(DEFAULT_EXPIRES_IN_SECONDS if seconds is None else seconds))
