"""A web identity's session in a shared store: one for all processes of one subject."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenes import HUB

from rolecall import MemoryStore, RoleChain, WebIdentity
from rolecall.testing import StrictCloud

OPERATION = "AssumeRoleWithWebIdentity"


def opened(origin: WebIdentity, store: MemoryStore) -> str:
    """Return the access key of a session that another process would open."""
    # Another length each time would be another session; a keyword for STS's client is another
    # object, as in another process.
    chain = RoleChain(origin)
    session = chain.session(store=store, on_event=lambda event: None)
    return str(session.get_credentials().access_key)


@pytest.fixture
def token(cloud: StrictCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "token"
    file.write_text(cloud.web_identity_token(subject="repo:team/shop"))
    return file


def test_two_processes_share_the_session_of_one_subject(cloud: StrictCloud, token: Path) -> None:
    store = MemoryStore()
    origin = WebIdentity(role_arn=HUB, token_file=str(token))

    first = opened(origin, store)
    token.write_text(cloud.web_identity_token(subject="repo:team/shop"))  # renewed meanwhile
    second = opened(origin, store)

    assert first == second
    assert cloud.calls(OPERATION) == 1


def test_another_subject_never_gets_the_session_of_the_first(
    cloud: StrictCloud, token: Path
) -> None:
    store = MemoryStore()
    origin = WebIdentity(role_arn=HUB, token_file=str(token))

    first = opened(origin, store)
    token.write_text(cloud.web_identity_token(subject="repo:team/other"))
    second = opened(origin, store)

    assert first != second
    assert cloud.calls(OPERATION) == 2


def test_what_a_callable_says_is_not_stored(cloud: StrictCloud, token: Path) -> None:
    store = MemoryStore()
    origin = WebIdentity(role_arn=HUB, token=lambda: cloud.web_identity_token())

    assert opened(origin, store) != opened(origin, store)
    assert cloud.calls(OPERATION) == 2
