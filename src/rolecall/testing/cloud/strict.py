"""`StrictCloud`: an AWS in this process, on loopback, that lets credentials die when it says."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from ...clock import SYSTEM_CLOCK, Clock
from ...credentials import Credentials
from .answers import Answer, Refused, refusal
from .faults import Dropped, Fault
from .front import Call
from .request import Request
from .running import REGION, Running
from .trust import Trust

if TYPE_CHECKING:
    import boto3

    from ..gate import Gate

#: The account the users of a cloud belong to unless a test says otherwise.
ACCOUNT = "123456789012"

_LONGEST = timedelta(hours=12)


class StrictCloud:
    """An AWS on loopback: moto's services, with signatures checked and sessions that expire.

    ::

        with StrictCloud(lifetime=timedelta(seconds=5)) as cloud:
            session = cloud.session()
            role = cloud.role("Reader", account="210987654321")
            session.client("sts").assume_role(RoleArn=role, RoleSessionName="me")

    Checked as AWS does, with each service's own error codes: that the key exists, the token is
    the one issued with it, the SigV4 signature (header or presigned URL) is right, the session is
    alive; STS's limits on AssumeRole, 1 h when chaining, MaxSessionDuration of roles that were
    created; web identity tokens are JWTs that have not expired. Not checked: permissions, session
    policies, tags, the signature of web identity tokens, the age of signed headers (so that a
    `FakeClock` may be far from the machine's). Who may assume a role is checked once `trust` says
    so; a role need not have been created.

    moto's state is global: one StrictCloud at a time per process, each starts empty.

    Attributes:
        lifetime: No session issued from now on lives longer, though 900 s was asked for.
            None: as asked.
    """

    def __init__(self, *, lifetime: timedelta | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        if lifetime is not None and lifetime <= timedelta(0):
            raise ValueError(f"lifetime must be positive, got {lifetime}")
        _require_extra()
        self.lifetime = lifetime
        self._clock = clock
        self._running: Running | None = None
        self._url: str | None = None

    def __repr__(self) -> str:
        return f"StrictCloud({self._url if self._running else 'not running'})"

    def __enter__(self) -> StrictCloud:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, with no state; done on entering a ``with`` block."""
        if self._running is not None:
            raise RuntimeError(f"{self!r} is running already")
        self._running = Running(self._clock, longest=lambda: self.lifetime)
        self._url = self._running.server.url

    def stop(self) -> None:
        """Drop what is held, end all threads, forget all state; `url` then refuses connections."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    # What a client needs

    @property
    def url(self) -> str:
        """Where all services are, such as ``http://127.0.0.1:49152``; kept after `stop`."""
        if self._url is None:
            raise RuntimeError("StrictCloud has not been started: use it in a with block")
        return self._url

    def credentials(self, *, user: str = "fake-user", account: str = ACCOUNT) -> Credentials:
        """Return long-term keys of an IAM user, who is created if need be."""
        key = self._up.user_key(user, account)
        return Credentials(access_key=key.access_key, secret_key=key.secret_key, account_id=account)

    def session(
        self,
        *,
        user: str = "fake-user",
        account: str = ACCOUNT,
        region_name: str = REGION,
    ) -> boto3.Session:
        """Return a session of an IAM user in which every service is this cloud.

        It reads no file in ``~/.aws``; the environment's ``AWS_ENDPOINT_URL`` would win, though.
        """
        import boto3
        from botocore.session import Session

        held = self.credentials(user=user, account=account)
        core = Session()
        core.set_config_variable("config_file", str(self._up.config_file))
        core.set_config_variable("credentials_file", str(self._up.empty_file))
        core.set_config_variable("profile", "default")
        return boto3.Session(
            aws_access_key_id=held.access_key,
            aws_secret_access_key=held.secret_key,
            region_name=region_name,
            botocore_session=core,
        )

    def environ(self, *, user: str = "fake-user", account: str = ACCOUNT) -> dict[str, str]:
        """Return the variables that make another program a user of this cloud."""
        held = self.credentials(user=user, account=account)
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": held.access_key,
            "AWS_SECRET_ACCESS_KEY": held.secret_key,
            # The token of a developer's own session does not go with these keys.
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def role(
        self,
        name: str,
        account: str = ACCOUNT,
        *,
        partition: str = "aws",
        path: str = "/",
        max_duration: timedelta = _LONGEST,
    ) -> str:
        """Create a role, or change the one of that *name*, and return its ARN."""
        return self._up.backend.create_role(name, account, partition, path, max_duration)

    def trust(
        self,
        role_arn: str,
        principals: Collection[str] = ("*",),
        *,
        external_id: str | None = None,
        mfa: bool = False,
    ) -> None:
        """Refuse *role_arn* to all but *principals*, or without *external_id* or MFA.

        Args:
            principals: Account ids, ARNs of users, roles and role sessions, issuers of web
                identity tokens, or ``*``.
        """
        self._up.trusts.set(
            role_arn, Trust(principals=tuple(principals), external_id=external_id, mfa=mfa)
        )

    def mfa_codes(self, serial: str, *codes: str) -> None:
        """Accept only *codes* from the MFA device *serial*; any code is accepted once only."""
        self._up.trusts.accept_codes(serial, codes)

    def web_identity_token(
        self,
        *,
        subject: str = "fake-subject",
        audience: str = "sts.amazonaws.com",
        issuer: str = "https://issuer.example.com",
        expires_in: timedelta = timedelta(hours=1),
    ) -> str:
        """Return a web identity token that this cloud accepts; its signature is made up."""
        now = int(self._up.clock.time())
        claims = {
            "iss": issuer,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "exp": now + int(expires_in.total_seconds()),
        }
        parts = ({"alg": "RS256", "typ": "JWT"}, claims)
        encoded = [_base64url(json.dumps(part).encode()) for part in parts]
        return ".".join([*encoded, _base64url(b"fake-signature")])

    # What happened

    def calls(self, operation: str | None = None) -> int:
        """Return how many requests have arrived: for ``AssumeRole``, ``sts:AssumeRole`` or all.

        Those that are held, refused or dropped count too.
        """
        return self._up.front.calls(operation)

    @property
    def log(self) -> list[Call]:
        """The last 10,000 calls that were answered or dropped, oldest first."""
        return self._up.front.log

    # What goes wrong. An operation is `AssumeRole`, `sts:AssumeRole`, `sts:*` or `*`.

    def fail(
        self,
        operation: str,
        *,
        code: str | None = "AccessDenied",
        status: int = 403,
        message: str = "refused by the test",
        body: str | None = None,
        content_type: str = "text/html",
        times: int | None = None,
    ) -> None:
        """Answer *operation* with an error, in the protocol of its service.

        Args:
            code: None: an error document without an Error element, as some S3 servers send.
            body: Sent instead of an error document, such as a proxy's HTML page.
            times: How many requests fail; then they succeed again. None: until `recover`.
        """
        refused = Refused(code, status, message)
        literal = None if body is None else body.encode()

        def act(request: Request) -> Answer:
            if literal is None:
                return refusal(request, refused)
            return Answer(status=status, headers=(("Content-Type", content_type),), body=literal)

        self._up.faults.add(Fault(operation=operation, act=act, times_left=times))

    def hold(self, operation: str) -> Gate:
        """Let requests arrive but not go on until the gate that is returned is opened."""
        return self._up.faults.hold(operation)

    def delay(self, operation: str, by: timedelta) -> None:
        """Let requests wait; *by* passes on the clock this cloud was given."""
        self._up.faults.delay(operation, by)

    def reset_connections(self, operation: str, *, times: int | None = None) -> None:
        """Close the connection of requests for *operation* without an answer."""

        def act(_: Request) -> Answer:
            raise Dropped

        self._up.faults.add(Fault(operation=operation, act=act, times_left=times))

    def down(self) -> None:
        """Refuse connections, and drop those there are, until `up` or `recover`."""
        self._up.faults.vanish()
        self._up.server.down()

    def up(self) -> None:
        """Answer again after `down`, at the same URL and with the same state."""
        self._up.faults.reappear()
        self._up.server.up()

    def recover(self) -> None:
        """End every fault; requests that are held go on. Revoked keys stay revoked."""
        self._up.faults.recover()
        self.up()

    def revoke(self, access_key: str) -> None:
        """Reject *access_key* as expired from now on."""
        self._up.keys.revoke(access_key)

    @property
    def skew(self) -> timedelta:
        """AWS's clock minus the local one: seen in ``Date`` headers and Expirations.

        It lengthens and shortens no session's life.
        """
        return self._up.clock.skew

    @skew.setter
    def skew(self, skew: timedelta) -> None:
        self._up.clock.skew = skew

    @property
    def _up(self) -> Running:
        if self._running is None:
            raise RuntimeError("StrictCloud is not running: use it in a with block")
        return self._running


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _require_extra() -> None:
    try:
        import boto3  # noqa: F401 - is it installed?
        import cheroot.wsgi  # noqa: F401 - is it installed?
        import moto.server  # noqa: F401 - is it installed?
    except ImportError as error:
        raise ImportError(
            f"StrictCloud needs moto and cheroot ({error}): pip install 'rolecall[testing]'"
        ) from error
