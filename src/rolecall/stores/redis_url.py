"""The client that the URL of a Redis stands for, and where a client leads."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import ConfigError

#: A Redis that does not answer in this time is slower than STS.
ANSWER_SECONDS = 1.0

_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")

#: A name or an address, in IPv6 with a zone. Anything else may be a password that went astray.
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+(%[\w.-]+)?")

_EXAMPLE = "such as rediss://user:password@host:6379/0?ssl_ca_certs=/etc/ssl/ca.pem"


def client_of(url: str) -> Any:
    """Return a client for the Redis at *url*; nothing is sent.

    Raises:
        ConfigError: the URL is malformed, names a file that is not there or an option that redis-py
            does not know; or redis-py is not installed. It shows nothing of the URL that may be
            secret.
    """
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise ConfigError(
            "a store in Redis needs the package redis", hint="pip install 'rolecall[redis]'"
        ) from None
    keywords: dict[str, Any] = {
        "socket_timeout": ANSWER_SECONDS,
        # Once: a connection that lay idle may have been closed at the other end.
        "retry": Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        "retry_on_error": [redis.ConnectionError],
    }
    scheme = url.partition(":")[0].lower()
    if scheme != "unix":
        keywords["socket_connect_timeout"] = ANSWER_SECONDS
    if scheme == "rediss":
        keywords["ssl_check_hostname"] = True
    troubles = _troubles(url)
    if not troubles:
        try:
            made = redis.Redis.from_url(url, **keywords)
            made.connection_pool.make_connection()  # says what is wrong with the query
            return made
        except Exception as error:  # whatever it makes of an option
            troubles = [_misfit(error)]
    # Not the cause: it may quote a password.
    raise ConfigError(f"the URL of the Redis is not right: {'; '.join(troubles)}", hint=_EXAMPLE)


def place_of(client: Any) -> str:
    """Return where *client* leads, without the password."""
    pool = getattr(client, "connection_pool", None)
    known = getattr(pool, "connection_kwargs", None)
    if not isinstance(known, dict):
        return type(client).__name__
    if known.get("path"):
        return f"{known['path']}, {known.get('db', 0)}"
    if not known.get("host"):
        return type(client).__name__
    return f"{known['host']}:{known.get('port', 6379)}/{known.get('db', 0)}"


def _troubles(url: str) -> list[str]:
    """Return what is wrong with *url* as far as redis-py does not say it at once, or at all."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return ["it is no URL"]
    found = []
    if parts.scheme not in ("redis", "rediss", "unix"):
        return ["its scheme is none of redis, rediss and unix"]
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            found.append("it names no socket")
    else:
        if not host:
            found.append("it names no host")
        elif not _HOST.fullmatch(host) or parts.fragment:
            # What follows would be shown as the host, or be left out.
            found.append("a sign in it must be percent-encoded, such as one of a password")
        try:
            _ = parts.port
        except ValueError:
            found.append("its port is no number from 0 to 65535")
        # redis-py takes what is no number for database 0.
        if not re.fullmatch(r"/?|/\d+/?", parts.path):
            found.append("what follows the host is no number of a database")
    options = parse_qs(parts.query)
    found += [
        f"{name}: there is no file {options[name][0]}"
        for name in _FILES
        if name in options and not os.path.exists(options[name][0])
    ]
    return found


def _misfit(error: Exception) -> str:
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if unknown:
        return f"redis-py knows no option {unknown[1]} for it"
    return f"redis-py does not take it ({type(error).__name__})"
