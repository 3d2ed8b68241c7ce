"""The stores of ours keep the contract that stores of others are held to."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolecall.stores import FileStore, JSONFileCache, MappingStore, MemoryStore, Store, as_store
from rolecall.testing.contracts import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestFileStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        environ = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        return FileStore(tmp_path / "entries", environ=environ)

    def reopen(self, store: Store) -> Store:
        assert isinstance(store, FileStore)
        cache = store.locks.parents[1]
        return FileStore(store.path, environ={"XDG_CACHE_HOME": str(cache)})


class TestJSONFileCache(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return as_store(JSONFileCache(tmp_path / "entries", environ={"HOME": str(tmp_path)}))


class TestMappingStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MappingStore({})
