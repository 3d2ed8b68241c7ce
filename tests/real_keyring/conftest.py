"""A desktop with a keyring for each test: some of them kill it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keyring.core
import pytest
from desktop import Desktop

# Some of the tests are those of other folders, on a real keyring.
sys.path.extend(str(Path(__file__).parent.parent / folder) for folder in ("stores", "sessions"))


@pytest.fixture
def desktop(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    """Start a desktop and put this process into it, about 50 ms."""
    # Not tmp_path: the path of a socket has room for about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="ring-") as directory:
        made = Desktop(Path(directory))
        try:
            made.start()
            os.environ.update(made.environ())  # own_home takes it back
            # The library chooses once for each process, and each test has a bus of its own.
            monkeypatch.setattr(keyring.core, "_keyring_backend", None)
            yield made
        finally:
            made.stop()
