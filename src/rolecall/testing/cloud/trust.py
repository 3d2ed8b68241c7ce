"""Who may assume a role: the trust policies and MFA devices that a test sets up."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .answers import Refused
from .keys import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom a role trusts.

    Attributes:
        principals: Account ids, ARNs of users, roles and role sessions, issuers of web identity
            tokens, or ``*``.
        external_id: Must be given. None: need not.
        mfa: Whether the caller must have given an MFA code.
    """

    principals: Collection[str] = ("*",)
    external_id: str | None = None
    mfa: bool = False


class Trusts:
    """The trust policies; a role that has none may be assumed by anyone, as in moto."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the three below
        self._trusts: dict[str, Trust] = {}
        self._codes: dict[str, set[str]] = {}
        self._used: set[tuple[str, str]] = set()

    def set(self, role_arn: str, trust: Trust) -> None:
        """Let *role_arn* be assumed by whom *trust* says, and by nobody else."""
        with self._lock:
            self._trusts[role_arn] = trust

    def accept_codes(self, serial: str, codes: Collection[str]) -> None:
        """Accept only *codes* from the MFA device *serial*, each once, besides those set before."""
        with self._lock:
            self._codes.setdefault(serial, set()).update(codes)

    def check(self, caller: Principal, role_arn: str, external_id: str | None, mfa: bool) -> None:
        """Return if *caller* may assume *role_arn*.

        Raises:
            Refused: the role trusts somebody else, or asks for more than was given.
        """
        trust = self._trusts.get(role_arn)
        if trust is None:
            return
        names = {
            "*",
            caller.account,
            f"arn:{caller.partition}:iam::{caller.account}:root",
            caller.arn,
            caller.role_arn,
        }
        wrong_id = trust.external_id is not None and trust.external_id != external_id
        if names.isdisjoint(trust.principals) or wrong_id or (trust.mfa and not mfa):
            raise Refused(
                "AccessDenied",
                403,
                f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: "
                f"{role_arn}",
            )

    def check_issuer(self, issuer: str, role_arn: str) -> None:
        """Return if the web identities of *issuer* may assume *role_arn*."""
        trust = self._trusts.get(role_arn)
        if trust is not None and {"*", issuer}.isdisjoint(trust.principals):
            raise Refused(
                "AccessDenied", 403, "Not authorized to perform sts:AssumeRoleWithWebIdentity"
            )

    def mfa_given(self, parameters: Mapping[str, str]) -> bool:
        """Return whether *parameters* carry an MFA code that is accepted, using it up.

        Raises:
            Refused: they carry one that is wrong or was used before.
        """
        serial, code = parameters.get("SerialNumber"), parameters.get("TokenCode")
        if serial is None and code is None:
            return False
        if serial is None or code is None:
            raise Refused(
                "AccessDenied",
                403,
                "MultiFactorAuthentication failed, must provide both MFA serial number and one "
                "time pass code.",
            )
        with self._lock:
            known = self._codes.get(serial)
            wrong = (known is not None and code not in known) or (serial, code) in self._used
            self._used.add((serial, code))
        if wrong:
            raise Refused(
                "AccessDenied",
                403,
                "MultiFactorAuthentication failed with invalid MFA one time pass code.",
            )
        return True
