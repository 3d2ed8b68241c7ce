from __future__ import annotations

import _socket
import os
import select
import socket
from collections.abc import Callable

import pytest
from asking import (
    PATIENCE,
    all_of,
    answer_in,
    ask,
    ask_url,
    closing,
    connected,
    path_of,
    port_of,
    request,
    said,
    served,
    shows_nothing,
)

from rolecall.clock import SYSTEM_CLOCK
from rolecall.endpoint import server
from rolecall.endpoint.server import MOST_CONNECTIONS, Endpoint
from rolecall.testing import FakeSource, Gate

NOBODY = 65534

Attack = Callable[[Endpoint], bytes]


def with_header(name: str, value: str) -> Attack:
    return lambda e: request(e, headers=[(name, value)])


def with_token(change: Callable[[bytes], bytes]) -> Attack:
    return lambda e: request(e, token=change(next(iter(e.tokens.values())).encode()))


def with_target(change: Callable[[str], str]) -> Attack:
    return lambda e: request(e, target=change(path_of(e)))


#: It depends on how much of it arrives at once.
TOO_LARGE = 0

#: What is sent, and with which status it gets nothing.
ATTACKS: dict[str, tuple[Attack, int]] = {
    "wrong host": (lambda e: request(e, host="evil.example"), 403),
    "another port": (lambda e: request(e, host=f"127.0.0.1:{port_of(e) - 1}"), 403),
    "no port": (lambda e: request(e, host="127.0.0.1"), 403),
    "localhost": (lambda e: request(e, host=f"localhost:{port_of(e)}"), 403),
    "two hosts": (lambda e: request(e, headers=[("Host", "evil.example")]), 400),
    "the same host twice": (lambda e: request(e, headers=[("Host", e.host)]), 400),
    "no host": (lambda e: request(e, without=["Host"]), 400),
    "origin": (with_header("Origin", "http://evil.example"), 403),
    "origin null": (with_header("Origin", "null"), 403),
    "referer": (with_header("Referer", "http://evil.example/"), 403),
    "sec-fetch-site": (with_header("Sec-Fetch-Site", "same-origin"), 403),
    "sec-fetch-mode": (with_header("sec-fetch-mode", "navigate"), 403),
    "cookie": (with_header("Cookie", "a=b"), 403),
    "x-forwarded-for": (with_header("X-Forwarded-For", "127.0.0.1"), 403),
    "options": (lambda e: request(e, method="OPTIONS"), 403),
    "post": (lambda e: request(e, method="POST", headers=[("Content-Length", "0")]), 403),
    "put": (lambda e: request(e, method="PUT"), 403),
    "head": (lambda e: request(e, method="HEAD"), 403),
    "connect": (lambda e: request(e, method="CONNECT"), 403),
    "absolute": (with_target(lambda path: f"http://127.0.0.1{path}"), 404),
    "absolute, to us": (lambda e: request(e, target=next(iter(e.urls.values()))), 404),
    "no token": (lambda e: request(e, without=["Authorization"]), 403),
    "empty token": (with_token(lambda _: b""), 403),
    "wrong token": (with_token(lambda token: token[::-1]), 403),
    "prefix": (with_token(lambda token: token[:-1]), 403),
    "longer": (with_token(lambda token: token + b"A"), 403),
    "bearer": (with_token(lambda token: b"Bearer " + token), 403),
    "not ascii": (with_token(lambda token: token + b"\xc3\xa9\xff"), 403),
    "two tokens": (
        lambda e: request(e, headers=[("Authorization", next(iter(e.tokens.values())))]),
        403,
    ),
    "wrong and right token": (
        lambda e: request(
            e, token=b"x", headers=[("Authorization", next(iter(e.tokens.values())))]
        ),
        403,
    ),
    "token of the status page": (lambda e: request(e, token=e.status_token.encode()), 403),
    "status page with the token of a role": (
        lambda e: request(e, target=e.status_url.removeprefix(f"http://{e.host}")),
        403,
    ),
    "root": (with_target(lambda _: "/"), 404),
    "latest": (with_target(lambda _: "/latest/meta-data/"), 404),
    "with a query": (with_target(lambda path: path + "?a=b"), 404),
    "trailing slash": (with_target(lambda path: path + "/"), 404),
    "double slash": (with_target(lambda path: "/" + path), 404),
    "percent": (with_target(lambda path: f"/%{ord(path[1]):02x}{path[2:]}"), 404),
    "dots": (with_target(lambda path: "/x/.." + path), 404),
    "prefix of the path": (with_target(lambda path: path[:-1]), 404),
    "a body": (
        lambda e: request(e, headers=[("Content-Length", "4")], body=b"body"),
        403,
    ),
    "a chunked body": (
        lambda e: request(e, headers=[("Transfer-Encoding", "chunked")], body=b"0\r\n\r\n"),
        403,
    ),
    "two lengths": (
        lambda e: request(e, headers=[("Content-Length", "0"), ("Content-Length", "4")]),
        400,
    ),
    "expect": (lambda e: request(e, headers=[("Expect", "100-continue")]), 403),
    "many headers": (
        lambda e: request(e, headers=[(f"X-{i}", "x" * 40) for i in range(250)]),
        TOO_LARGE,
    ),
    "a large header": (with_header("X-Large", "a" * 20_000), TOO_LARGE),
    "a header of a megabyte": (with_header("X-Huge", "a" * 1_000_000), TOO_LARGE),
    "a path of a megabyte": (with_target(lambda path: path + "a" * 1_000_000), TOO_LARGE),
    "http/1.0": (lambda e: request(e, version="HTTP/1.0"), 403),
    "http/1.0 without a host": (lambda e: request(e, version="HTTP/1.0", without=["Host"]), 403),
    "http/2": (lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 403),
    "tls": (lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 80, 400),
    "upgrade": (
        lambda e: request(e, headers=[("Connection", "Upgrade"), ("Upgrade", "websocket")]),
        403,
    ),
    "upgrade to http/2": (
        lambda e: request(e, headers=[("Connection", "Upgrade"), ("Upgrade", "h2c")]),
        403,
    ),
    "a folded header": (lambda e: request(e, headers=[("X-A", "b\r\n Origin: x")]), 200),
    "a space before the colon": (with_header("Host ", "evil.example"), 400),
    "a bare newline": (with_header("X-A", "b\nOrigin: x"), 403),
    "a null byte": (with_header("X-A", "b\0c"), 400),
}
HARMLESS = "a folded header"


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != HARMLESS])
def test_an_attack_gets_nothing_and_its_connection_is_closed(name: str, endpoint: Endpoint) -> None:
    make, status = ATTACKS[name]
    sent = make(endpoint)

    got = said(endpoint, sent + request(endpoint))

    # Who is cut off in the middle of a megabyte may not even see the refusal.
    if got or len(sent) < 100_000:
        answer, rest = answer_in(got)
        assert rest == b""
        assert answer.status in ((400, 403) if status == TOO_LARGE else (status,))
    assert shows_nothing(got, endpoint)
    assert b"server:" not in got.lower()
    assert b"date:" not in got.lower()


def test_all_refusals_say_the_same(endpoint: Endpoint) -> None:
    got = [
        answer_in(said(endpoint, make(endpoint)))[0]
        for name, (make, status) in ATTACKS.items()
        if status in (403, 404) and name not in ("head", HARMLESS)
    ]

    assert len({answer.body for answer in got}) == 1
    assert len({tuple(sorted(answer.headers)) for answer in got}) == 1
    assert {"no-store"} == {answer.headers["cache-control"] for answer in got}
    assert {"close"} == {answer.headers["connection"] for answer in got}
    assert not any("access-control" in header for answer in got for header in answer.headers)


def test_the_right_request_is_answered_without_a_banner(endpoint: Endpoint) -> None:
    answer = ask(endpoint)

    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert not {"server", "date", "etag", "access-control-allow-origin"} & set(answer.headers)


def test_pipelined_requests_are_answered_until_one_is_refused(endpoint: Endpoint) -> None:
    good, bad = request(endpoint), request(endpoint, headers=[("Origin", "null")])

    first, rest = answer_in(said(endpoint, good + bad + good))
    second, rest = answer_in(rest)

    assert (first.status, second.status, rest) == (200, 403, b"")


def test_many_requests_can_share_a_connection(endpoint: Endpoint) -> None:
    got = said(endpoint, request(endpoint) * 30 + closing(request(endpoint)))

    for _ in range(31):
        answer, got = answer_in(got)
        assert answer.status == 200
    assert got == b""


def test_a_body_is_not_read_on_as_another_request(endpoint: Endpoint) -> None:
    hidden = request(endpoint)
    sent = request(endpoint, headers=[("Content-Length", str(len(hidden)))], body=hidden)

    answer, rest = answer_in(said(endpoint, sent))

    assert (answer.status, rest) == (403, b"")


@pytest.mark.parametrize("first", [b"", b"GET / HT"])
def test_who_sends_a_byte_at_a_time_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, first: bytes
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.3)
    began = SYSTEM_CLOCK.boottime()

    with connected(endpoint) as slow:
        slow.sendall(first)
        ended = False
        while not ended and SYSTEM_CLOCK.boottime() - began < PATIENCE:
            ended = bool(select.select([slow], [], [], 0.02)[0])
            if not ended:
                slow.sendall(b"a")

        assert all_of(slow) == b""
    assert 0.2 < SYSTEM_CLOCK.boottime() - began < 3


def test_who_has_been_answered_may_wait_longer_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.1)
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 0.6)
    began = SYSTEM_CLOCK.boottime()

    with connected(endpoint) as idle:
        idle.sendall(request(endpoint))
        answer, rest = answer_in(all_of(idle))

    assert (answer.status, rest) == (200, b"")
    assert 0.5 < SYSTEM_CLOCK.boottime() - began < 5


def test_two_hundred_idle_connections_do_not_keep_a_good_client_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 100.0)
    with Endpoint([served(FakeSource(SYSTEM_CLOCK))]) as endpoint:
        idle = [connected(endpoint) for _ in range(200)]
        try:
            assert ask(endpoint).status == 200

            # The oldest were closed for the newer ones.
            oldest = idle[: 200 - MOST_CONNECTIONS]
            assert [b""] * len(oldest) == [all_of(one) for one in oldest]
            assert select.select(idle[len(oldest) + 1 :], [], [], 0)[0] == []
        finally:
            for one in idle:
                one.close()


def test_a_client_that_is_being_answered_is_not_closed_for_newer_ones() -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.before = gate = Gate()
    with gate, Endpoint([served(source)]) as endpoint, connected(endpoint) as first:
        first.sendall(closing(request(endpoint)))
        gate.wait_for_arrival()
        idle = [connected(endpoint) for _ in range(MOST_CONNECTIONS + 20)]
        gate.open()
        try:
            assert answer_in(all_of(first))[0].status in (200, 503)
        finally:
            for one in idle:
                one.close()


def test_another_user_gets_nothing_with_the_right_token(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, fork: Callable[..., object]
) -> None:
    root = os.geteuid() == 0
    "127.0.0.1".encode("idna")  # loaded now: the other user may not be able to read Python's files
    if not root:
        monkeypatch.setattr(os, "geteuid", lambda: NOBODY)

    def as_another() -> bool:
        if root:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return said(endpoint, closing(request(endpoint))) == b""

    assert fork(as_another).said_yes()  # type: ignore[attr-defined]


def test_another_process_of_the_same_user_is_answered(
    endpoint: Endpoint, fork: Callable[..., object]
) -> None:
    assert fork(lambda: ask(endpoint).status == 200).said_yes()  # type: ignore[attr-defined]


def test_a_program_that_uses_ipv6_sockets_for_everything_is_answered(endpoint: Endpoint) -> None:
    """Java and .NET do: Linux lists their connections in another table."""
    plain = _socket.socket(socket.AF_INET6, socket.SOCK_STREAM)  # the guard knows no such address
    plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    plain.settimeout(PATIENCE)
    plain.connect(("::ffff:127.0.0.1", port_of(endpoint)))

    with socket.socket(fileno=plain.detach()) as connection:
        connection.settimeout(PATIENCE)
        connection.sendall(closing(request(endpoint)))
        got = all_of(connection)

    assert got.startswith(b"HTTP/1.1 200 ")


def test_no_other_address_of_this_machine_is_listened_at(endpoint: Endpoint) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port_of(endpoint)), PATIENCE)
    with pytest.raises(OSError, match=r"refused|not available|family"):
        socket.create_connection(("::1", port_of(endpoint)), PATIENCE)


def test_an_address_is_all_it_takes_with_the_token(endpoint: Endpoint) -> None:
    variables = endpoint.variables("fake-role")

    answer = ask_url(
        variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"],
    )

    assert answer.status == 200


def test_paths_and_tokens_are_long_and_never_the_same() -> None:
    one, other = Endpoint([served(None)]), Endpoint([served(None)])
    try:
        for mine, theirs in (
            (one.tokens["fake-role"], other.tokens["fake-role"]),
            (one.status_token, other.status_token),
            (one.tokens["fake-role"], one.status_token),
        ):
            assert len(mine) >= 43  # 32 bytes
            assert mine != theirs
        assert path_of(one) != path_of(other)
        assert len(path_of(one)) > 20
    finally:
        one.stop()
        other.stop()
