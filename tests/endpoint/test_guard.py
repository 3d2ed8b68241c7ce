from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.endpoint.guard import (
    FORBIDDEN,
    MOST_HEADER_BYTES,
    NOT_FOUND,
    Refusal,
    admit,
    is_neighbour,
    user_of,
)

HOST = b"127.0.0.1:4321"
TOKEN = b"fake-token-of-the-one"
ENTRIES = {b"/one": (TOKEN, "one"), b"/two": (b"fake-token-of-the-other", "two")}
GOOD: dict[str, Any] = {
    "host": HOST,
    "method": "GET",
    "version": "1.1",
    "target": b"/one",
    "headers": [(b"host", HOST), (b"authorization", TOKEN), (b"user-agent", b"fake-sdk")],
}

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
PEER, LOCAL = ("127.0.0.1", 40000), ("127.0.0.1", 4321)
ME = os.geteuid()


def asked(*extra: tuple[bytes, bytes], without: bytes = b"", **changed: Any) -> str | Refusal:
    headers = [one for one in GOOD["headers"] if one[0] != without]
    return admit(ENTRIES, **{**GOOD, "headers": [*headers, *extra], **changed})


def address(of: tuple[str, int]) -> str:
    packed = bytes(map(int, of[0].split(".")))
    return f"{struct.unpack('=I', packed)[0]:08X}:{of[1]:04X}"


def row(local: tuple[str, int], remote: tuple[str, int], user: int) -> str:
    return (
        f"   0: {address(local)} {address(remote)} 01 00000000:00000000 00:00000000 00000000 "
        f"{user:5d}        0 12345 1 0000000000000000 20 4 30 10 -1\n"
    )


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., str]:
    def table(*rows: str) -> str:
        file = tmp_path / "tcp"
        file.write_text(HEADER + "".join(rows))
        return str(file)

    return table


def test_the_right_request_gets_what_is_at_its_path() -> None:
    assert asked() == "one"


@pytest.mark.parametrize(
    "header",
    [
        b"origin", b"referer", b"cookie", b"sec-fetch-site", b"sec-fetch-mode", b"sec-ch-ua",
        b"sec-websocket-key", b"content-length", b"transfer-encoding", b"expect", b"upgrade",
        b"via", b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", [b"", b"null", b"http://127.0.0.1:4321"])
def test_what_a_browser_or_a_proxy_sends_is_refused_whatever_it_says(
    header: bytes, value: bytes
) -> None:
    assert FORBIDDEN is asked((header, value))


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS", "DELETE", "get", "PRI", ""])
def test_every_method_but_get_is_refused(method: str) -> None:
    assert FORBIDDEN is asked(method=method)


@pytest.mark.parametrize("version", ["1.0", "0.9", "2.0", "1.2", ""])
def test_every_version_but_1_1_is_refused(version: str) -> None:
    assert FORBIDDEN is asked(version=version)


@pytest.mark.parametrize(
    "host",
    [
        b"", b"127.0.0.1", b"127.0.0.1:4322", b"localhost:4321", b"evil.example:4321",
        b"127.0.0.1:4321.", b" 127.0.0.1:4321", b"127.0.0.1:04321", b"[::1]:4321",
        b"127.0.0.1:4321,127.0.0.1:4321", b"2130706433:4321", b"127.1:4321",
    ],
)  # fmt: skip
def test_a_host_that_is_not_exactly_ours_is_refused(host: bytes) -> None:
    assert FORBIDDEN is asked((b"host", host), without=b"host")


def test_a_missing_host_and_two_of_them_are_refused() -> None:
    assert FORBIDDEN is asked(without=b"host")
    assert FORBIDDEN is asked((b"host", HOST))
    assert FORBIDDEN is asked((b"host", b"evil.example"))


@pytest.mark.parametrize(
    "token",
    [
        b"", TOKEN[:-1], TOKEN + b"x", TOKEN.upper(), b"Bearer " + TOKEN, TOKEN + b" ",
        "fake-tökèn".encode(), b"\xff\x00\xfe", b"fake-token-of-the-other",
    ],
)  # fmt: skip
def test_a_token_that_is_not_exactly_that_of_the_path_is_refused(token: bytes) -> None:
    assert FORBIDDEN is asked((b"authorization", token), without=b"authorization")


def test_a_missing_token_and_two_right_ones_are_refused() -> None:
    assert FORBIDDEN is asked(without=b"authorization")
    assert FORBIDDEN is asked((b"authorization", TOKEN))


@pytest.mark.parametrize(
    "target",
    [
        b"", b"/", b"/one/", b"/one?", b"/one?x=1", b"//one", b"/./one", b"/two/../one", b"/on%65",
        b"/ONE", b"one", b"http://127.0.0.1:4321/one", b"*", b"/one\x00", b"/\xff",
    ],
)  # fmt: skip
def test_a_path_that_is_not_exactly_there_is_not_found(target: bytes) -> None:
    assert NOT_FOUND is asked(target=target)


def test_each_path_has_a_token_of_its_own() -> None:
    other = (b"authorization", b"fake-token-of-the-other")

    assert asked(other, without=b"authorization", target=b"/two") == "two"
    assert FORBIDDEN is asked(target=b"/two")


def test_headers_may_have_so_many_bytes_and_not_one_more() -> None:
    used = sum(len(name) + len(value) for name, value in GOOD["headers"])
    left = MOST_HEADER_BYTES - used - len(b"x")

    assert asked((b"x", b"a" * left)) == "one"
    assert FORBIDDEN is asked((b"x", b"a" * (left + 1)))


@given(st.binary(max_size=40))
def test_no_token_but_the_right_one_opens(token: bytes) -> None:
    answered = asked((b"authorization", token), without=b"authorization")

    assert (token == TOKEN) == (answered == "one")


@given(st.binary(max_size=20))
def test_no_target_but_a_path_that_is_there_is_found(target: bytes) -> None:
    assert (target in ENTRIES) == (asked(target=target) != NOT_FOUND)


def test_the_user_of_a_connection_is_that_of_its_other_end(table: Callable[..., str]) -> None:
    """Ours is in the table as well, the other way round."""
    ours, theirs = row(LOCAL, PEER, ME), row(PEER, LOCAL, ME + 1)

    assert user_of([ours, theirs], PEER, LOCAL) == ME + 1
    assert not is_neighbour(PEER, LOCAL, tables=[table(ours, theirs)])
    assert is_neighbour(PEER, LOCAL, tables=[table(row(LOCAL, PEER, ME + 1), row(PEER, LOCAL, ME))])


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(("127.0.0.1", 40001), LOCAL, ME)],
        [row(PEER, ("127.0.0.1", 4322), ME)],
        [row(("127.0.0.2", 40000), LOCAL, ME)],
        ["   0: rubbish\n", "\n", "x\n"],
    ],
)
def test_a_connection_that_is_not_in_the_table_is_nobodys(
    table: Callable[..., str], rows: list[str]
) -> None:
    assert user_of(rows, PEER, LOCAL) is None
    assert not is_neighbour(PEER, LOCAL, tables=[table(*rows)])


@pytest.mark.parametrize("peer", [None, ("10.0.0.1", 1), ("", 1), ("fe80::1", 1)])
def test_who_is_not_on_loopback_is_no_neighbour_even_without_a_table(
    tmp_path: Path, peer: tuple[str, int] | None
) -> None:
    assert not is_neighbour(peer, LOCAL, tables=[str(tmp_path / "none")])


def test_where_there_is_no_table_the_token_tells_users_apart(tmp_path: Path) -> None:
    assert is_neighbour(PEER, LOCAL, tables=[str(tmp_path / "none")])
    assert not is_neighbour(PEER, None, tables=[str(tmp_path / "none")])


def mapped(row: str) -> str:
    """Return the row as the table of IPv6 has it."""
    prefix = "0000000000000000FFFF0000" if sys.byteorder == "little" else f"{'0' * 20}FFFF"
    number, *columns = row.split()
    columns[0], columns[1] = prefix + columns[0], prefix + columns[1]
    return f"   {number} {' '.join(columns)}\n"


@pytest.mark.parametrize("user", [ME, ME + 1])
def test_who_is_connected_by_ipv6s_sockets_is_in_the_other_table(
    table: Callable[..., str], tmp_path: Path, user: int
) -> None:
    ours, theirs = row(LOCAL, PEER, ME), mapped(row(PEER, LOCAL, user))
    first, second = table(ours), tmp_path / "tcp6"
    second.write_text(HEADER + theirs)

    assert is_neighbour(PEER, LOCAL, tables=[first, str(second)]) == (user == ME)
    # Without the first one, too, and not without the second.
    assert is_neighbour(PEER, LOCAL, tables=["/nowhere", str(second)]) == (user == ME)
    assert not is_neighbour(PEER, LOCAL, tables=[first, "/nowhere"])


def test_an_address_that_only_ends_like_ours_is_not_ours(tmp_path: Path) -> None:
    """Such as ::2:0:7f00:1, which is no IPv4."""
    file = tmp_path / "tcp6"
    file.write_text(HEADER + mapped(row(PEER, LOCAL, ME)).replace("FFFF", "0002"))

    assert not is_neighbour(PEER, LOCAL, tables=[str(file)])
