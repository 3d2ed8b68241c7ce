"""Roles that an endpoint serves for a while: added while it runs, gone when they are removed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from asking import ask_url, served

from rolecall.clock import SYSTEM_CLOCK
from rolecall.endpoint.app import Served
from rolecall.endpoint.server import Endpoint, renewing
from rolecall.testing import FakeSource, Gate


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint([]) as running:
        yield running


def role(name: str, source: FakeSource | None = None) -> Served:
    return replace(served(source or FakeSource(SYSTEM_CLOCK)), name=name)


def test_a_role_is_served_from_when_it_is_added_until_it_is_removed(endpoint: Endpoint) -> None:
    one, other = role("one"), role("other")
    endpoint.add(other)
    endpoint.add(one)
    url, token = endpoint.urls["one"], endpoint.tokens["one"]

    assert ask_url(url, token).status == 200
    assert ask_url(url, endpoint.tokens["other"]).status == 403
    assert [row["name"] for row in _rows(endpoint)] == ["other", "one"]

    endpoint.remove(one)

    assert ask_url(url, token).status == 404
    assert ask_url(endpoint.urls["other"], endpoint.tokens["other"]).status == 200
    assert [row["name"] for row in _rows(endpoint)] == ["other"]
    assert "one" not in {**endpoint.urls, **endpoint.tokens}


def _rows(endpoint: Endpoint) -> list[dict[str, object]]:
    found: list[dict[str, object]] = ask_url(endpoint.status_url, endpoint.status_token).json[
        "roles"
    ]
    return found


def test_a_role_that_comes_again_has_another_place(endpoint: Endpoint) -> None:
    one = role("one")
    endpoint.add(one)
    before = endpoint.urls["one"], endpoint.tokens["one"]
    endpoint.remove(one)
    endpoint.add(one)

    assert ask_url(*before).status == 404
    assert endpoint.tokens["one"] != before[1]
    assert ask_url(endpoint.urls["one"], endpoint.tokens["one"]).status == 200


def test_two_roles_cannot_have_one_name(endpoint: Endpoint) -> None:
    one = role("one")
    endpoint.add(one)
    url, token = endpoint.urls["one"], endpoint.tokens["one"]

    with pytest.raises(ValueError, match="one is served already"):
        endpoint.add(role("one"))
    endpoint.remove(role("one"))  # which was not added

    assert ask_url(url, token).status == 200


def test_a_role_that_is_added_is_renewed_though_nobody_asks(endpoint: Endpoint) -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.before = gate = Gate()
    with gate:
        endpoint.add(role("one", source))

        gate.wait_for_arrival()


def test_a_role_that_is_removed_is_renewed_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    began, ended = Gate(), Gate()
    began.open()
    ended.open()

    async def noted(one: Served) -> None:
        began()
        try:
            await renewing(one)
        finally:
            ended()

    monkeypatch.setattr("rolecall.endpoint.server.renewing", noted)
    one = role("one")
    with Endpoint([]) as endpoint:
        endpoint.add(one)
        began.wait_for_arrival()
        assert ended.arrived == 0

        endpoint.remove(one)

        ended.wait_for_arrival()


def test_an_endpoint_that_has_ended_takes_roles_without_a_word() -> None:
    with Endpoint([]) as endpoint:
        pass

    endpoint.add(role("one"))
    endpoint.remove(endpoint.served[0])


def test_many_threads_may_add_and_remove(endpoint: Endpoint) -> None:
    def come_and_go(number: int) -> int:
        one = role(f"role-{number}")
        endpoint.add(one)
        answer = ask_url(endpoint.urls[one.name], endpoint.tokens[one.name])
        endpoint.remove(one)
        return answer.status

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(come_and_go, range(40))) == [200] * 40

    assert endpoint.served == ()
    assert not endpoint.urls
