"""An asynchronous session is who a boto3 session would be in the same environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError
from made_parents import World
from scenes import HUB, SPOKE, AioAssume, caller_arn, run, signers
from written_profiles import keys_of, write

import rolecall
from rolecall.aio import assume_role
from rolecall.refresh.aio import in_thread
from rolecall.sessions.aio.parents import twin_of
from rolecall.sessions.parents import chain_of
from rolecall.sources.identity import identity
from rolecall.sources.upstream import botocore_session
from rolecall.testing import FakeClock, StrictCloud

VIA = "arn:aws:iam::123456789012:role/Via"
ROLE_A = "arn:aws:iam::123456789012:role/A"
ROLE_B = "arn:aws:iam::123456789012:role/B"

CONFIG = f"""
[profile role]
role_arn = {VIA}
source_profile = keys
role_session_name = me
[profile environment]
role_arn = {VIA}
credential_source = Environment
role_session_name = me
[profile token]
role_arn = {VIA}
web_identity_token_file = TOKEN
role_session_name = me
[profile process]
credential_process = cat PRINTED
"""


class Surroundings(NamedTuple):
    """What an environment names, and the profile that the program itself names."""

    environment: str | None = None
    by_hand: str | None = None
    keys: bool = False
    token: bool = False


PROFILES = ("keys", "role", "token", "process", "environment")
TABLE = [
    Surroundings(None, keys=True),
    Surroundings(None, token=True),
    *[Surroundings(name) for name in ("keys", "role", "token", "process")],
    *[Surroundings(name, keys=True) for name in PROFILES],
    *[Surroundings(name, token=True) for name in ("keys", "role", "token", "process")],
    *[Surroundings(name, keys=True, token=True) for name in ("keys", "role")],
    *[Surroundings("process", by_hand=name, keys=True) for name in PROFILES],
    *[Surroundings("keys", by_hand=name, token=True) for name in ("role", "token")],
]


def shown(case: Surroundings) -> str:
    beside = "".join(name for name, there in (("+k", case.keys), ("+t", case.token)) if there)
    return f"{case.environment}{beside}-{case.by_hand}"


@pytest.fixture
def machine(world: World, tmp_path: Path) -> World:
    """A machine with a profile of every kind, and nothing in its environment yet."""
    token, printed = tmp_path / "token", tmp_path / "printed"
    token.write_text(world.cloud.web_identity_token())
    held = world.cloud.credentials(user="printed")
    printed.write_text(
        f'{{"Version": 1, "AccessKeyId": "{held.access_key}", '
        f'"SecretAccessKey": "{held.secret_key}"}}'
    )
    config = CONFIG.replace("TOKEN", str(token)).replace("PRINTED", str(printed))
    world.environment_of(None)
    write(world.home, config, "[keys]\n" + keys_of(world.cloud, "dev"))
    world.monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "me")
    return world


def surround(world: World, case: Surroundings, tmp_path: Path) -> None:
    if case.keys:
        world.environment_of("env")
    if case.environment is not None:
        world.monkeypatch.setenv("AWS_PROFILE", case.environment)
    if case.token:
        world.monkeypatch.setenv("AWS_ROLE_ARN", ROLE_A)
        world.monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))


def looks(session: Any) -> tuple[str, str, str]:
    """Return who *session* is to a store, to a chain, and to STS."""
    inner = botocore_session(session)
    chain = chain_of(inner)
    origin = type(chain.origin).__name__ + str(getattr(chain.origin, "name", ""))
    return identity(inner), origin, inner.create_client("sts").get_caller_identity()["Arn"]


@pytest.mark.parametrize("case", TABLE, ids=shown)
def test_it_is_the_same_to_a_store_to_a_chain_and_to_sts(
    case: Surroundings, machine: World, tmp_path: Path
) -> None:
    surround(machine, case, tmp_path)
    theirs = looks(boto3.Session(profile_name=case.by_hand))
    original = AioSession(profile=case.by_hand)

    ours = run(in_thread(lambda: looks(twin_of(original))))

    assert theirs == ours


@pytest.mark.parametrize("beside", [False, True], ids=["", "beside a profile"])
def test_role_b_is_not_handed_what_role_a_has_stored(
    beside: bool, machine: World, tmp_path: Path, fake_clock: FakeClock
) -> None:
    surround(machine, Surroundings("keys" if beside else None, token=True), tmp_path)
    machine.cloud.trust(SPOKE, [ROLE_A])
    cache: dict[str, Any] = {}

    def child() -> Any:
        return assume_role(AioSession(), SPOKE, RoleSessionName="me", cache=cache, clock=fake_clock)

    run(caller_arn(child()))
    assert len(cache) == 1
    run(caller_arn(child()))
    assert machine.cloud.calls("AssumeRole") == 1
    machine.monkeypatch.setenv("AWS_ROLE_ARN", ROLE_B)
    with pytest.raises(ClientError, match="AccessDenied"):
        run(caller_arn(child()))


def test_what_is_stored_beside_a_profile_is_found_by_both_kinds_of_sessions(
    machine: World, tmp_path: Path, fake_clock: FakeClock
) -> None:
    surround(machine, Surroundings("role", keys=True), tmp_path)
    options: dict[str, Any] = {"RoleSessionName": "me", "cache": {}, "clock": fake_clock}

    rolecall.assume_role(boto3.Session(), HUB, **options).client("sts").get_caller_identity()
    run(caller_arn(assume_role(AioSession(), HUB, **options)))

    assert signers(machine.cloud) == [machine.cloud.credentials(user="env").access_key]


def test_no_session_is_boto3s_default_one_of_the_call(
    aio_assume: AioAssume, cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", cloud.session(user="alice"))
    child = aio_assume(HUB, None)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", cloud.session(user="bob"))

    run(caller_arn(child))

    assert signers(cloud) == [cloud.credentials(user="alice").access_key]
