"""One long-lived STS client per session and region, instead of one per refresh."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from botocore import UNSIGNED
from botocore.config import Config
from botocore.session import Session

from ..errors import ConfigError
from ..fork import ForkSafeLock, tell_after_fork
from .origin import load_credentials, signer_of

#: An STS answer takes some 50 ms; whoever waits ten seconds for one will not get it.
CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 10
ATTEMPTS = 3

#: A program that gives each session a `Config` object of its own shall not keep a client for each.
MOST_CLIENTS = 16

#: What `sts_client_kwargs` may hold.
KEYWORDS = ("region_name", "endpoint_url", "config", "verify", "use_ssl", "api_version")

_COMPONENT = "rolecall_sts_clients"


class StsClients:
    """The STS clients of one botocore session. It lives as a component of that session."""

    def __init__(self) -> None:
        # Guards _made. Creating a client calls botocore, with credentials that are loaded by then.
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[Any, ...], tuple[Any, Any]] = OrderedDict()
        tell_after_fork(self)

    def get(self, session: Session, keywords: Mapping[str, Any], *, unsigned: bool = False) -> Any:
        """Return *session*'s STS client for these keywords, made at the first call.

        One for each of its credentials: whoever gives a session others means them to sign.
        """
        signer = None if unsigned else load_credentials(session)
        region = keywords.get("region_name") or session.get_config_variable("region")
        rest = tuple(
            (name, id(value) if name == "config" else value)
            for name, value in sorted(keywords.items())
            if name != "region_name"
        )
        key = (region, signer_of(signer), unsigned, rest)
        with self._lock:
            if key not in self._made:
                # What is in the key by its id is kept, so that the id stays its own.
                client = _make(session, keywords, unsigned=unsigned)
                self._made[key] = client, (keywords, signer)
            client, _ = self._made[key]
            self._made.move_to_end(key)
            if len(self._made) > MOST_CLIENTS:
                self._made.popitem(last=False)
        return client

    def after_fork(self) -> None:
        """Forget the parent's connections: processes on one socket read each other's answers."""
        self._lock = threading.Lock()
        self._made = OrderedDict()


def _make(session: Session, keywords: Mapping[str, Any], *, unsigned: bool) -> Any:
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        **_retries(session),
    )
    # What the session's owner chose, and then what the call chose, wins over our defaults.
    for chosen in (session.get_default_client_config(), keywords.get("config")):
        if chosen is not None:
            config = config.merge(chosen)
    if unsigned:
        config = config.merge(Config(signature_version=UNSIGNED))
    return session.create_client("sts", **{**keywords, "config": config})


def _retries(session: Session) -> dict[str, Any]:
    if session.get_config_variable("max_attempts") is not None:
        return {}
    if session.get_config_variable("retry_mode") not in ("legacy", "standard"):
        return {}
    return {"retries": {"mode": "standard", "total_max_attempts": ATTEMPTS}}


_components_lock = ForkSafeLock()


def sts_client(
    session: Session, keywords: Mapping[str, Any] | None = None, *, unsigned: bool = False
) -> Any:
    """Return the STS client of *session* for *keywords* (those of ``Session.client``)."""
    with _components_lock:
        try:
            clients: StsClients = session.get_component(_COMPONENT)
        except ValueError:  # botocore's word for: no such component
            clients = StsClients()
            session.register_component(_COMPONENT, clients)
    return clients.get(session, keywords or {}, unsigned=unsigned)


def check_keywords(keywords: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return *keywords* as a dict, refused where they name what an STS client does not take.

    Raises:
        ConfigError: unknown names, or a config that is no botocore ``Config``.
    """
    given = dict(keywords or {})
    wrong = [name for name in given if name not in KEYWORDS]
    if wrong:
        raise ConfigError(
            f"sts_client_kwargs has {', '.join(map(repr, wrong))}",
            hint=f"it takes {', '.join(KEYWORDS)}",
        )
    config = given.get("config")
    if config is not None and not isinstance(config, Config):
        raise ConfigError(
            f"sts_client_kwargs['config'] is {type(config).__name__}, not botocore.config.Config"
        )
    return {name: value for name, value in given.items() if value is not None}
