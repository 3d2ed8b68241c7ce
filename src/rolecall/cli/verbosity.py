"""``-v`` and ``-vv``: what happens, on standard error, without a secret."""

from __future__ import annotations

import logging

from ..sources.redaction import Redacting, redact_logs

#: Not at ``-vv`` either: they print requests and answers byte by byte, before they can be read.
_NEVER = ("http.client", "hpack", "h11", "asyncio")


def log_to_stderr(verbose: int) -> None:
    """Show rolecall's own log on standard error; from 2 on, its and botocore's debug log."""
    redact_logs()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    handler.addFilter(Redacting())
    level = logging.INFO if verbose == 1 else logging.DEBUG
    for name in ("rolecall",) if verbose == 1 else ("rolecall", "botocore", "urllib3"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
    for name in _NEVER:
        logging.getLogger(name).setLevel(logging.WARNING)
