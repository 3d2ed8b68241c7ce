"""One function, or one command, over many accounts and regions."""

from __future__ import annotations

from .accounts_file import read_accounts
from .arguments import fan_out
from .calls import paginate
from .failures import failure_of
from .organization import Organization
from .outcomes import Failure, Kind, Outcome, Outcomes
from .plan import Plan
from .run import FanOut
from .tally import Summary
from .targets import Account, Target
from .worker import ignore_interrupts

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
