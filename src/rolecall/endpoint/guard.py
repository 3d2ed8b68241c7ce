"""Who may ask the endpoint: pure rules over a connection and over a request.

The endpoint is for programs of this user on this machine that were handed the token. A browser
page, another user, another machine and a name that was rebound to loopback are none.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

#: What a browser sends and an AWS SDK does not, and what goes with a body, which a GET has not.
REFUSED_HEADERS = frozenset(
    {
        b"cookie", b"content-length", b"expect", b"forwarded", b"origin", b"referer",
        b"transfer-encoding", b"upgrade", b"via", b"x-forwarded-for", b"x-forwarded-host",
        b"x-real-ip",
    }
)  # fmt: skip
REFUSED_PREFIX = b"sec-"  # Sec-Fetch-Site, Sec-CH-UA …

#: The token and a user agent are some hundred bytes.
MOST_HEADER_BYTES = 8 * 1024

#: Connections of this machine's network namespace, one a line. A client that uses IPv6's sockets
#: for everything (Java's do) is in the second. [Linux, proc(5)]
CONNECTIONS = ("/proc/net/tcp", "/proc/net/tcp6")
#: IPv4 in IPv6, as four numbers of the machine's own order. [RFC 4291, 2.5.5.2]
_MAPPED = "".join(f"{number:08X}" for number in struct.unpack("=3I", b"\0" * 10 + b"\xff\xff"))

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is handed out; the status says no more than that."""

    status: int


FORBIDDEN = Refusal(403)
NOT_FOUND = Refusal(404)


def admit(
    entries: Mapping[bytes, tuple[bytes, T]],
    *,
    host: bytes,
    method: str,
    version: str,
    target: bytes,
    headers: Headers,
) -> T | Refusal:
    """Return what the request asks for, or why it gets nothing.

    Args:
        entries: Path → its token, and what is there.
        host: The only ``Host`` there is: address and port.
        target: Path and query as they were sent.
    """
    seen = list(headers)
    if method != "GET" or version != "1.1":
        return FORBIDDEN
    if sum(len(name) + len(value) for name, value in seen) > MOST_HEADER_BYTES:
        return FORBIDDEN
    if any(name in REFUSED_HEADERS or name.startswith(REFUSED_PREFIX) for name, _ in seen):
        return FORBIDDEN
    if [value for name, value in seen if name == b"host"] != [host]:
        return FORBIDDEN
    tokens = [value for name, value in seen if name == b"authorization"]
    found: tuple[bytes, T] | None = None
    for path, entry in entries.items():  # all of them, whichever it is
        if hmac.compare_digest(path, target):
            found = entry
    if found is None:
        return NOT_FOUND
    if len(tokens) != 1 or not hmac.compare_digest(tokens[0], found[0]):
        return FORBIDDEN
    return found[1]


def is_neighbour(
    peer: tuple[str, int] | None,
    local: tuple[str, int] | None,
    *,
    tables: Sequence[str] = CONNECTIONS,
) -> bool:
    """Return whether a connection comes from this machine and, where that can be told, this user.

    Args:
        peer: Address and port of the other side.
        local: Those of ours.
        tables: The system's lists of connections; where there are none (macOS, Windows) the token
            is all that tells users apart.
    """
    if peer is None or local is None:
        return False
    try:
        loopback = ipaddress.ip_address(peer[0]).is_loopback
    except ValueError:
        return False
    if not loopback:
        return False
    known = False
    for table in tables:
        try:
            with open(table, encoding="ascii") as file:
                rows = file.readlines()[1:]
        except OSError:
            continue
        known = True
        user = user_of(rows, peer, local)
        if user is not None:
            return user == os.geteuid()
    return not known


def user_of(rows: Iterable[str], peer: tuple[str, int], local: tuple[str, int]) -> int | None:
    """Return the user id of the socket at *peer* that is connected to *local*, from the table."""
    wanted = [_as_in_table(peer), _as_in_table(local)]
    mapped = [_MAPPED + one for one in wanted]
    for row in rows:
        # sl local_address rem_address st tx:rx tr:when retrnsmt uid …
        columns = row.split()
        if len(columns) > 7 and columns[1:3] in (wanted, mapped):
            return int(columns[7])
    return None


def _as_in_table(address: tuple[str, int]) -> str:
    # Four bytes as the machine keeps them, which is as one number in its own order.
    (number,) = struct.unpack("=I", ipaddress.IPv4Address(address[0]).packed)
    return f"{number:08X}:{address[1]:04X}"
