"""What is measured, a module each, in the order of the page."""

from __future__ import annotations

NAMES = (
    "sts_calls",
    "hot_path",
    "stale_readers",
    "expired_readers",
    "sts_failing",
    "many_sessions",
    "hub_and_spokes",
    "fleet",
    "fleet_memory",
    "fleet_calls",
    "fleet_throttled",
    "fleet_expiring",
    "store_hits",
    "cold_processes",
    "aio_waiting",
    "aio_costs",
    "imports",
    "command_line",
    "pickles",
)

#: What ``--quick`` runs: enough to see that it works.
QUICK = ("sts_calls", "hot_path")
