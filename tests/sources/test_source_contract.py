"""The sources that can be made without AWS keep the contract of all sources."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rolecall.credentials import Credentials, Source
from rolecall.sources.custom import CallableSource
from rolecall.stores import MemoryStore, Stored
from rolecall.testing import FakeClock, FakeSource, SourceContract

CLOCK = FakeClock()


class TestCallableSource(SourceContract):
    clock = CLOCK

    @pytest.fixture
    def source(self) -> Source:
        def fetch() -> Credentials:
            return FakeSource(CLOCK).get()

        return CallableSource(fetch, clock=CLOCK)


class TestStored(SourceContract):
    clock = CLOCK

    @pytest.fixture
    def source(self) -> Source:
        return Stored(FakeSource(CLOCK), MemoryStore(), "key", clock=CLOCK)


class TestStoredWhereClocksDiffer(SourceContract):
    clock = CLOCK

    @pytest.fixture
    def source(self) -> Source:
        far = FakeSource(CLOCK)
        far.offset = timedelta(minutes=-61)
        return Stored(far, MemoryStore(), "key", clock=CLOCK)
