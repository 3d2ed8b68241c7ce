"""`KeyringStore` on a real Secret Service: what it keeps there, and what it does without."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import secretstorage
from desktop import Desktop

from rolecall.stores import KeyringStore, Store, Stored
from rolecall.stores.keyring import PATIENCE
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.clock import PATIENCE_SECONDS
from rolecall.testing.contracts import KEY, OTHER_KEY, StoreContract, credentials
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

SECRET_SERVICE = "keyring.backends.SecretService.Keyring"

PRELUDE = """
import os, sys
from datetime import datetime, timedelta, timezone
from rolecall.credentials import Credentials
from rolecall.stores import KeyringStore, Stored

class Counting:
    def get(self):
        counter = os.open(os.environ["CALLS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(counter, b".")
        os.close(counter)
        return Credentials(
            access_key=f"ASIAFAKE{os.getpid():012d}",
            secret_key="fake-secret",
            token="fake-token",
            expires_at=datetime.now(timezone.utc) + timedelta(hours=1),
        )

def say(text):
    print(text, flush=True)
"""

GETS = (
    PRELUDE
    + """
store = KeyringStore()
say(f"ready {store!r}")
for key in iter(sys.stdin.readline, ""):
    say(Stored(Counting(), store, key.strip()).get().access_key)
"""
)

OPENS = (
    PRELUDE
    + """
from rolecall.errors import StoreError
try:
    say(KeyringStore())
except StoreError as error:
    say(f"refused: {error.message}")
"""
)

READS = """
import keyring, sys
print(keyring.get_password("rolecall", sys.argv[1]))
"""


@contextmanager
def process(script: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join(filter(None, [environ.pop("PYTHONPATH", ""), *sys.path]))
    with subprocess.Popen(
        [sys.executable, "-c", script, KEY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ, "PYTHONPATH": path},
    ) as one:
        try:
            yield one
        finally:
            one.kill()


def line(of: subprocess.Popen[str]) -> str:
    assert of.stdout is not None
    return of.stdout.readline().strip()


def tell(one: subprocess.Popen[str], text: str) -> None:
    assert one.stdin is not None
    one.stdin.write(f"{text}\n")
    one.stdin.flush()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


@pytest.fixture
def store(desktop: Desktop) -> KeyringStore:
    return KeyringStore()


@pytest.mark.usefixtures("desktop")
class TestKeyringStoreOnASecretService(StoreContract):
    @pytest.fixture
    def store(self, desktop: Desktop) -> Store:
        return KeyringStore()

    def reopen(self, store: Store) -> Store:
        return KeyringStore()


# ── what is shared ───────────────────────────────────────────────────────────────────────


def test_cold_processes_share_one_call(desktop: Desktop, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    with ExitStack() as stack:
        both = [stack.enter_context(process(GETS, CALLS=str(calls))) for _ in range(2)]
        ready = f"ready KeyringStore('rolecall', {SECRET_SERVICE})"
        assert [line(one) for one in both] == [ready] * 2

        for one in both:
            tell(one, KEY)
        keys = {line(one) for one in both}

    assert len(keys) == 1
    assert calls.read_bytes() == b"."


def test_two_keys_never_meet(desktop: Desktop, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    with process(GETS, CALLS=str(calls)) as one, process(GETS, CALLS=str(calls)) as other:
        assert line(one).startswith("ready")
        assert line(other).startswith("ready")

        tell(one, KEY)
        ones = line(one)
        tell(other, OTHER_KEY)
        others = line(other)

    assert ones == f"ASIAFAKE{one.pid:012d}"
    assert others == f"ASIAFAKE{other.pid:012d}"


# ── where it is ──────────────────────────────────────────────────────────────────────────


def test_the_entry_is_in_the_service(store: KeyringStore) -> None:
    store.put(KEY, credentials())

    with process(READS) as reader:
        shown = json.loads(line(reader))
    with closing(secretstorage.dbus_init()) as bus:
        collection = secretstorage.get_default_collection(bus)
        (item,) = collection.search_items({"service": "rolecall"})
        attributes = item.get_attributes()
        secret = json.loads(item.get_secret())

    assert shown["Credentials"]["SecretAccessKey"] == credentials().secret_key
    assert shown == secret
    assert attributes["username"] == KEY
    assert not any(FAKE_SECRET in one or FAKE_TOKEN in one for one in attributes.values())


def test_no_file_of_the_desktop_holds_it_as_plain_text(
    store: KeyringStore, desktop: Desktop
) -> None:
    store.put(KEY, credentials())
    desktop.stop()

    files = [one for one in desktop.home.parent.rglob("*") if one.is_file()]
    assert any(one.name == "login.keyring" for one in files)
    for secret in (FAKE_SECRET.encode(), FAKE_TOKEN.encode(), b"SecretAccessKey"):
        # All three ways in which base64 may fall.
        for start in range(3):
            encoded = base64.b64encode(secret[start:])[:12]
            assert [one for one in files if encoded in one.read_bytes()] == []
        assert [one for one in files if secret in one.read_bytes()] == []


def test_an_entry_outlives_the_daemon(store: KeyringStore, desktop: Desktop) -> None:
    store.put(KEY, credentials())
    desktop.kill_daemon()
    desktop.start_daemon()

    assert credentials() == store.get(KEY)


def test_a_long_entry_is_one_item(store: KeyringStore) -> None:
    long = credentials(token=(FAKE_TOKEN + "/" * 40_000))

    store.put(KEY, long)

    assert long == store.get(KEY)
    with closing(secretstorage.dbus_init()) as bus:
        collection = secretstorage.get_default_collection(bus)
        assert len(list(collection.search_items({"service": "rolecall"}))) == 1


# ── trouble ──────────────────────────────────────────────────────────────────────────────


def _calls_go_on(store: KeyringStore) -> None:
    clock = FakeClock()
    source = FakeSource(clock)
    stored = Stored(source, store, KEY, clock=clock)

    stored.get()
    stored.get()
    store.delete(KEY)

    assert source.calls == 2


def test_calls_go_on_when_the_daemon_is_killed(
    store: KeyringStore, desktop: Desktop, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(KEY, credentials())
    desktop.kill_daemon()

    _calls_go_on(store)

    assert [one.rsplit(": ", 1)[1] for one in warnings(caplog)] == ["InitError"] * 3
    desktop.start_daemon()
    assert credentials() == store.get(KEY)


def test_calls_go_on_when_the_bus_is_killed(
    store: KeyringStore, desktop: Desktop, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(KEY, credentials())
    desktop.kill_bus()

    _calls_go_on(store)

    assert len(warnings(caplog)) == len(["read", "written", "deleted"])


def test_calls_go_on_when_the_keyring_is_locked(
    store: KeyringStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is here to unlock it, and there is no program that would ask."""
    store.put(KEY, credentials())
    with closing(secretstorage.dbus_init()) as bus:
        secretstorage.get_default_collection(bus).lock()

    _calls_go_on(store)

    assert [one.rsplit(": ", 1)[1] for one in warnings(caplog)] == ["KeyringLocked"] * 3


def test_calls_go_on_when_the_keyring_hangs(
    desktop: Desktop, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    store = KeyringStore(clock=clock)
    store.put(KEY, credentials())
    desktop.freeze()

    with ThreadPoolExecutor(1) as caller:
        late = caller.submit(store.get, KEY)
        clock.wait_for_waiters()
        clock.tick(PATIENCE)
        assert late.result(PATIENCE_SECONDS) is None

    _calls_go_on(store)
    assert [one.split(": ")[1].split(",")[0] for one in warnings(caplog)] == [
        "no answer within 60 s"
    ]
    desktop.thaw()


# ── what is refused ──────────────────────────────────────────────────────────────────────

#: What keyrings.alt does: where it is installed, the library takes it when there is no bus.
ALT = """
import pathlib
from keyring.backend import KeyringBackend

class PlaintextKeyring(KeyringBackend):
    priority = 0.5
    file = pathlib.Path.home() / "plain"

    def get_password(self, service, username):
        return self.file.read_text() if self.file.exists() else None

    def set_password(self, service, username, password):
        self.file.write_text(password)
"""


@pytest.fixture
def alt(tmp_path: Path) -> str:
    """Return a path with a package on it that the library takes for keyrings.alt."""
    package = tmp_path / "alt" / "keyrings" / "alt"
    package.mkdir(parents=True)
    (package / "file.py").write_text(ALT)
    info = tmp_path / "alt" / "fake_alt-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-alt\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[keyring.backends]\nfile = keyrings.alt.file\n")
    return str(tmp_path / "alt")


def test_without_a_bus_the_plain_file_is_refused(desktop: Desktop, alt: str) -> None:
    with process(OPENS, DBUS_SESSION_BUS_ADDRESS="", XDG_RUNTIME_DIR="", PYTHONPATH=alt) as one:
        said = line(one)

    assert said == (
        "refused: the keyring backend keyrings.alt.file.PlaintextKeyring keeps no secrets: "
        "it writes secrets down as plain text"
    )
    assert not (desktop.home / "plain").exists()


def test_without_a_bus_and_a_file_it_is_refused_too(desktop: Desktop) -> None:
    with process(OPENS, DBUS_SESSION_BUS_ADDRESS="", XDG_RUNTIME_DIR="") as one:
        said = line(one)

    assert said == (
        "refused: the keyring backend keyring.backends.fail.Keyring keeps no secrets: "
        "it stands for no keyring at all"
    )


def test_beside_the_service_the_plain_file_gets_nothing(
    desktop: Desktop, alt: str, tmp_path: Path
) -> None:
    with process(GETS, CALLS=str(tmp_path / "calls"), PYTHONPATH=alt) as one:
        assert line(one) == f"ready KeyringStore('rolecall', {SECRET_SERVICE})"
        tell(one, KEY)
        assert line(one)
        desktop.kill_daemon()
        tell(one, OTHER_KEY)
        assert line(one)

    assert not (desktop.home / "plain").exists()


def test_the_lock_is_freed_by_a_killed_holder(store: KeyringStore, tmp_path: Path) -> None:
    holds = PRELUDE + (
        "with KeyringStore().lock(sys.argv[1], timedelta(seconds=30)) as held:\n"
        "    say(held)\n"
        "    sys.stdin.readline()\n"
    )
    with process(holds) as holder:
        assert line(holder) == "True"
        with store.lock(KEY, timedelta(0)) as held:
            assert not held
        holder.kill()
        assert holder.wait(PATIENCE_SECONDS) == -9

    with store.lock(KEY, timedelta(seconds=1)) as held:
        assert held
