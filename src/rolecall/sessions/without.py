"""What to say where a library of an extra is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def explained() -> Iterator[None]:
    """Say how to get aiobotocore where importing it fails inside."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("aiobotocore", "aiohttp"):
            raise
        raise ImportError(
            "rolecall.aio needs aiobotocore, which is not installed: pip install 'rolecall[aio]'"
        ) from error
