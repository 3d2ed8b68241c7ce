"""Loggers as they were before a test that ran a command with ``-v`` in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

_NAMES = ("rolecall", "botocore", "urllib3", "http.client", "hpack", "h11", "asyncio")


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Take off what ``-v`` puts on loggers: it writes to a stream that ends with the test."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [(one, one.level, list(one.handlers)) for one in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
