"""One function, or one command, over many accounts and regions."""

from __future__ import annotations

from .accounts.file import read_accounts
from .accounts.organization import Organization
from .arguments import fan_out
from .calls import paginate
from .plan import Plan
from .results.failures import failure_of
from .results.outcomes import Failure, Kind, Outcome, Outcomes
from .results.tally import Summary
from .run import FanOut
from .running.worker import ignore_interrupts
from .targets import Account, Target

__all__ = [
    "Account",
    "Failure",
    "FanOut",
    "Kind",
    "Organization",
    "Outcome",
    "Outcomes",
    "Plan",
    "Summary",
    "Target",
    "failure_of",
    "fan_out",
    "ignore_interrupts",
    "paginate",
    "read_accounts",
]
