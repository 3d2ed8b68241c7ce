"""The sources that call STS: AssumeRole, AssumeRoleWithWebIdentity, GetSessionToken."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ..chain import Role, RoleArn
from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import NO_TIME, Credentials
from ..errors import FetchError, RolecallError, Unreachable
from .refusals import refusal_in, translate

log: logging.Logger = logging.getLogger("rolecall")

#: Where AWS's Date header and the local clock agree this well, the local clock is believed: the
#: header has whole seconds only, and it is as old as the network is slow.
AGREEING_SECONDS = 2.0
DATE_RESOLUTION_SECONDS = 1.0


#: What STS answers when whoever signs is expired.
EXPIRED_SOURCE = frozenset({"ExpiredToken", "ExpiredTokenException"})


class TokenCodes(Protocol):
    """Where MFA codes come from."""

    @property
    def interactive(self) -> bool:
        """Whether a person is asked at a terminal."""
        ...

    def code(self) -> str:
        """Return six digits that were not used before."""
        ...


class Parent(Protocol):
    """Whoever signs the call, as far as it may die."""

    @property
    def interactive(self) -> bool:
        """Whether a person at the terminal must first be asked for the credentials."""
        ...

    def check(self) -> None:
        """Warn if the credentials run out soon and cannot renew themselves."""
        ...

    def fetch(self) -> None:
        """Have the credentials ready, so that what goes wrong with them is not blamed on STS."""
        ...

    def hint(self) -> str:
        """Return what to do about credentials that AWS says are expired; empty: nothing known."""
        ...


#: Sends a request in its own time, again if STS asks for patience, and returns the answer. The
#: text is the account that the role is in, where it is known.
Pace = Callable[[Callable[[], Any], str | None], Any]

#: How long a fetch may take that waits for its turn among hundreds.
PACED_TIMEOUT = timedelta(minutes=10)


class _StsSource:
    """What the calls have in common: a client, a name, and how an answer is read.

    Attributes:
        what: Which credentials these are, for messages and logs.
    """

    #: An answer lasts a request with its retries; a person with a phone takes longer.
    MFA_TIMEOUT = timedelta(minutes=5)

    def __init__(
        self,
        client: Callable[[], Any],
        *,
        what: str,
        account_id: str | None = None,
        token_codes: TokenCodes | None = None,
        parent: Parent | None = None,
        pace: Pace | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._client = client
        self.what = what
        self._pace = pace
        self._account_id = account_id
        self._token_codes = token_codes
        self._parent = parent
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.what})"

    @property
    def interactive(self) -> bool:
        """Whether a fetch prompts a person at the terminal, for itself or for who signs it."""
        return (self._token_codes is not None and self._token_codes.interactive) or (
            self._parent is not None and self._parent.interactive
        )

    @property
    def timeout(self) -> timedelta | None:
        """How long a fetch may take. None: as the policy says."""
        if self._pace is not None:
            return PACED_TIMEOUT
        return self.MFA_TIMEOUT if self._token_codes is not None or self.interactive else None

    def _call(self, operation: str, arguments: Mapping[str, Any], hint: str = "") -> Credentials:
        try:
            if self._parent is not None:
                self._parent.check()
                self._parent.fetch()
            client = self._client()

            def send() -> tuple[Mapping[str, Any], float]:
                sent = self._clock.time()
                return getattr(client, operation)(**arguments), sent

            pace = self._pace
            answer, sent = send() if pace is None else pace(send, self._account_id)
            return self._read(answer, sent, self._clock.time())
        except RolecallError:
            raise
        except ResponseParserError as error:
            unreadable = translate(error, self.what, hint=hint)
        except (ClientError, BotoCoreError) as error:
            if self._parent is not None and code_of(error) in EXPIRED_SOURCE:
                hint = hint or self._parent.hint()
            raise translate(error, self.what, hint=hint) from error
        except Exception as error:  # botocore's parser meets a page that is no STS answer
            raise Unreachable(
                f"{self.what}: STS answered something that is not an STS answer "
                f"({type(error).__name__})",
                hint="check endpoint and proxy: a login page or an error page answers there",
            ) from error
        # Raised out here, so that it does not drag botocore's along: that one quotes the answer.
        raise unreadable

    def _read(self, answer: Mapping[str, Any], sent: float, received: float) -> Credentials:
        keys = answer.get("Credentials") or {}
        missing = [
            name
            for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
            if not keys.get(name)
        ]
        if missing:
            raise Unreachable(f"{self.what}: STS answered without {', '.join(missing)}")
        expires_at = keys["Expiration"]
        if not isinstance(expires_at, datetime):
            raise Unreachable(
                f"{self.what}: STS answered an Expiration that is {type(expires_at).__name__}"
            )
        offset = clock_offset(date_of(answer), sent, received)
        return Credentials(
            access_key=keys["AccessKeyId"],
            secret_key=keys["SecretAccessKey"],
            token=keys["SessionToken"],
            expires_at=expires_at,
            account_id=self._account_of(answer),
            clock_offset=offset,
            issued_at=datetime.fromtimestamp(received, timezone.utc) + offset,
        )

    def _account_of(self, answer: Mapping[str, Any]) -> str | None:
        arn = str((answer.get("AssumedRoleUser") or {}).get("Arn") or "")
        parts = arn.split(":")
        account = parts[4] if len(parts) > 5 else ""
        if not (len(account) == 12 and account.isdigit()):
            return self._account_id  # a server that is not AWS
        if self._account_id is not None and account != self._account_id:
            raise FetchError(
                f"{self.what}: STS answered a session of account {account}",
                hint="check the endpoint",
                retryable=False,
            )
        return account


class AssumeRole(_StsSource):
    """A `Source` that assumes a role.

    ExpiredToken from STS means that the *source's* credentials expired. Where they are a session of
    ours, its clients have replaced them and asked again before the error comes here.

    Args:
        client: Gives the STS client that signs as whoever assumes the role.
        role: The role and its arguments.
        session_name: Used where *role* has none.
        hop: Its place in the chain; messages name that of later ones.
        token_codes: Where MFA codes come from, if the role asks for them.
        parent: Tells what is known of the signer's own expiry.
        pace: Sends the request, where many roles are assumed at once.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        role: Role,
        *,
        session_name: str,
        hop: int = 0,
        token_codes: TokenCodes | None = None,
        parent: Parent | None = None,
        pace: Pace | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(
            client,
            what=f"hop {hop}: {role.arn}" if hop else str(role.arn),
            pace=pace,
            account_id=_account_in(str(role.arn)),
            token_codes=token_codes,
            parent=parent,
            clock=clock,
        )
        self.role = role
        self.session_name = session_name

    def get(self) -> Credentials:
        """Return a new session of the role.

        Raises:
            FetchError: STS refused or did not answer; also botocore's exception.
        """
        arguments = self.role.request()
        arguments.setdefault("RoleSessionName", self.session_name)
        if self._token_codes is not None:
            arguments["TokenCode"] = self._token_codes.code()
        return self._call("assume_role", arguments)


class AssumeRoleWithWebIdentity(_StsSource):
    """A `Source` that assumes a role with an OIDC token, which is read anew at each refresh.

    Args:
        token: Gives the token.
        where: What the token comes from, for messages.
        arguments: RoleArn, RoleSessionName and the rest, in boto3's spelling.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        *,
        token: Callable[[], str],
        where: str,
        arguments: Mapping[str, Any],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        arn = str(arguments["RoleArn"])
        super().__init__(
            client, what=f"web identity: {arn}", account_id=_account_in(arn), clock=clock
        )
        self._token = token
        self._where = where
        self._arguments = dict(arguments)

    def get(self) -> Credentials:
        """Return a new session of the role.

        Raises:
            ConfigError: there is no token.
            FetchError: STS refused it or did not answer; also botocore's exception.
        """
        token = self._token()
        return self._call(
            "assume_role_with_web_identity",
            {**self._arguments, "WebIdentityToken": token},
            hint=self._hint(token),
        )

    def _hint(self, token: str) -> str:
        expired = expiry_of_jwt(token)
        now = datetime.fromtimestamp(self._clock.time(), timezone.utc)
        if expired is None or expired > now:
            return ""
        return f"the token from {self._where} expired at {expired.isoformat()}: renew it"


class GetSessionToken(_StsSource):
    """A `Source` of session credentials for the same IAM user, with MFA where asked for."""

    def __init__(
        self,
        client: Callable[[], Any],
        *,
        duration: timedelta,
        serial_number: str | None = None,
        token_codes: TokenCodes | None = None,
        parent: Parent | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        what = "GetSessionToken" + (f" with {serial_number}" if serial_number else "")
        super().__init__(client, what=what, token_codes=token_codes, parent=parent, clock=clock)
        self._duration = duration
        self._serial_number = serial_number

    def get(self) -> Credentials:
        """Return a new session of the user.

        Raises:
            FetchError: STS refused or did not answer; also botocore's exception.
        """
        arguments: dict[str, Any] = {"DurationSeconds": int(self._duration.total_seconds())}
        if self._serial_number is not None:
            arguments["SerialNumber"] = self._serial_number
        if self._token_codes is not None:
            arguments["TokenCode"] = self._token_codes.code()
        return self._call("get_session_token", arguments)


def _account_in(arn: str) -> str | None:
    try:
        return RoleArn.parse(arn).account_id
    except ValueError:
        return None  # it was not validated, on the caller's wish; STS will say what is wrong


def code_of(error: Exception) -> str | None:
    """Return the STS error code in *error*; None: it has none."""
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    return refusal_in(response).get("Code")


def date_of(answer: Mapping[str, Any]) -> datetime | None:
    """Return what AWS's clock showed when it answered, from the Date header; None: not known."""
    headers = (answer.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
    try:
        date = parsedate_to_datetime(headers["date"])
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)


def clock_offset(date: datetime | None, sent: float, received: float) -> timedelta:
    """Return AWS's clock minus the local one; zero where they agree or AWS's is not known.

    Where they do not, it is rounded so that a life comes out a second too short, never too long.
    """
    if date is None:
        return NO_TIME
    theirs = date.timestamp()
    if sent - AGREEING_SECONDS <= theirs <= received + AGREEING_SECONDS:
        return NO_TIME
    offset = timedelta(seconds=theirs + DATE_RESOLUTION_SECONDS - sent)
    log.warning("the local clock differs from AWS's by %s: set it", offset)
    return offset


def expiry_of_jwt(token: str) -> datetime | None:
    """Return when a JSON web token says it expires, unverified; None: it does not say."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), timezone.utc)
    except (IndexError, ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
