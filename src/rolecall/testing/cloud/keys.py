"""Who a request comes from: temporary keys with their owner and the instant they die."""

from __future__ import annotations

import threading
import uuid
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from ...clock import SYSTEM_CLOCK, Clock
from .answers import Refused, Rejection, rejection
from .request import Authorization, Request
from .signature import body_as_signed, signed_with

_SECOND = timedelta(seconds=1)


class AwsClock:
    """AWS's clock: it runs with the boot clock it is given, *skew* ahead of the wall clock.

    Setting the wall clock of a `FakeClock` (``jump``) is a fault of the local machine and does
    not move AWS's clock; ``tick`` does.

    Attributes:
        skew: AWS's clock minus the local one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.time() - clock.boottime()
        self.skew: timedelta = timedelta(0)

    def elapsed(self) -> float:
        """Return seconds since the epoch but for the skew; what lives end by."""
        return self._start + self._clock.boottime()

    def time(self) -> float:
        """Return seconds since the epoch as AWS tells them."""
        return self.elapsed() + self.skew / _SECOND

    def stamp(self, elapsed: float) -> str:
        """Return the instant *elapsed* as AWS writes it, with milliseconds."""
        instant = datetime.fromtimestamp(elapsed, timezone.utc) + self.skew
        return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An IAM user, a role session or a federated user.

    Attributes:
        kind: ``user``, ``session`` (GetSessionToken), ``role`` or ``federated``.
        role_arn: The role a role session was made from.
        mfa: Whether an MFA code was given when the session was made.
    """

    kind: str
    account: str
    arn: str
    user_id: str
    partition: str = "aws"
    role_arn: str | None = None
    mfa: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An access key and whom it belongs to.

    Attributes:
        dies_at: By `AwsClock.elapsed`. None: it is a long-term key.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    principal: Principal
    dies_at: float | None = None


def fake_id(prefix: str, seed: str | None = None) -> str:
    """Return a made-up IAM id of 20 characters, ``ASIAFAKE…``; the same for the same *seed*."""
    chance = uuid.uuid4() if seed is None else uuid.uuid5(uuid.NAMESPACE_URL, seed)
    return f"{prefix}FAKE{b32encode(chance.bytes).decode()}"[:20]


class Keys:
    """The keys that are accepted, and the check that a request was signed with one of them."""

    def __init__(self, clock: AwsClock, long_term: Callable[[str], Key | None]) -> None:
        self._clock = clock
        self._long_term = long_term
        self._lock = threading.Lock()  # guards the two below
        self._temporary: dict[str, Key] = {}
        self._revoked: set[str] = set()

    def issue(self, principal: Principal, lifetime: timedelta) -> Key:
        """Return new temporary keys that die after *lifetime*."""
        # Rounded down to what the Expiration can say, so that both agree.
        dies_at = int((self._clock.elapsed() + lifetime / _SECOND) * 1000) / 1000
        key = Key(
            access_key=fake_id("ASIA"),
            secret_key=f"fake-secret-{uuid.uuid4().hex}",
            token=f"fake-token-{uuid.uuid4().hex}{uuid.uuid4().hex}",
            principal=principal,
            dies_at=dies_at,
        )
        with self._lock:
            self._temporary[key.access_key] = key
        return key

    def revoke(self, access_key: str) -> None:
        """Reject *access_key* as expired from now on."""
        with self._lock:
            self._revoked.add(access_key)

    def find(self, access_key: str) -> Key | None:
        """Return the key of that id, expired ones included."""
        return self._temporary.get(access_key) or self._long_term(access_key)

    def check(self, request: Request) -> Key:
        """Return the key *request* was signed with.

        Raises:
            Refused: it was not signed with a key that is alive.
        """
        signed = request.authorization
        if signed is None:
            raise rejection(request.protocol, Rejection.UNSIGNED)
        key = self.find(signed.access_key)
        reason = Rejection.UNKNOWN_KEY if key is None else self._reason(request, signed, key)
        if key is None or reason is not None:
            raise rejection(request.protocol, reason or Rejection.UNKNOWN_KEY)
        if _url_too_old(signed):
            raise Refused("AccessDenied", 403, "Request has expired")
        return key

    def _reason(self, request: Request, signed: Authorization, key: Key) -> Rejection | None:
        if key.token is not None and signed.token is None:
            # AWS does not know the id of a temporary key that comes without its token.
            return Rejection.UNKNOWN_KEY
        if key.token != signed.token:
            return Rejection.WRONG_TOKEN
        if not signed_with(key.secret_key, request, signed) or not body_as_signed(request):
            return Rejection.WRONG_SIGNATURE
        if key.access_key in self._revoked:
            return Rejection.EXPIRED
        if key.dies_at is not None and self._clock.elapsed() >= key.dies_at:
            return Rejection.EXPIRED
        return None


def _url_too_old(signed: Authorization) -> bool:
    # By the machine's own clock, because that is what a signer reads, whatever clock the cloud was
    # given. For the same reason the age of signed headers (AWS: 15 minutes) is not checked.
    now = SYSTEM_CLOCK.time()
    match signed.scheme:
        case "s3-query":
            return now > float(signed.timestamp or 0)
        case "query":
            at = datetime.strptime(f"{signed.timestamp}+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
            return now > at + signed.expires_seconds
    return False
