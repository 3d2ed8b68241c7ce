"""`KeyringStore`: only what keeps secrets is given any, and no keyring costs anybody a call."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import keyring.backends.fail
import keyring.backends.null
import pytest
from keyring.backend import KeyringBackend, NullCrypter
from keyring.backends.chainer import ChainerBackend
from keyring.backends.Windows import DecodingCredential, WinVaultKeyring
from keyring.errors import KeyringLocked, PasswordDeleteError

from rolecall.credentials import Credentials
from rolecall.errors import ConfigError, StoreError
from rolecall.stores import KeyringStore, Store, Stored
from rolecall.stores.keyring import MOST_STUCK, PATIENCE, REST, WINDOWS_CHARACTERS
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.clock import PATIENCE_SECONDS
from rolecall.testing.contracts import KEY, OTHER_KEY, StoreContract, credentials
from rolecall.testing.gate import Gate
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

NOW = timedelta(0)

Items = dict[tuple[str, str], Any]


class FakeKeyring(KeyringBackend):
    """Keep passwords in a dict, and call `before` first.

    It cannot be made without arguments, so the library never takes it for one of its own.
    """

    priority = 5.0

    def __init__(self, items: Items) -> None:
        super().__init__()
        self.items = items
        self.calls = 0
        self.before: Callable[[], object] = lambda: None

    def _come(self) -> None:
        self.calls += 1
        self.before()

    def get_password(self, service: str, username: str) -> str | None:
        self._come()
        found: str | None = self.items.get((service, username))
        return found

    def set_password(self, service: str, username: str, password: str) -> None:
        self._come()
        self.items[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._come()
        if (service, username) not in self.items:
            raise PasswordDeleteError("no such password")
        del self.items[service, username]


class FakeVault(WinVaultKeyring):
    """The library's backend for Windows over a dict, with the limit of the real vault.

    `fails_after` writes it raises, as if the process had died.
    """

    priority = 5.0

    def __init__(self, credentials: dict[str, tuple[str, str]]) -> None:
        super().__init__()
        self.credentials = credentials
        self.fails_after: int | None = None

    def _read_credential(self, target: str) -> DecodingCredential | None:
        if target not in self.credentials:
            return None
        user, password = self.credentials[target]
        return DecodingCredential(UserName=user, CredentialBlob=password.encode("utf-16"))

    def _set_password(self, target: str, username: str, password: str) -> None:
        if len(password.encode("utf-16-le")) > 2560:
            raise OSError("the stub received bad data")
        if self.fails_after is not None:
            if self.fails_after == 0:
                raise OSError("fake death")
            self.fails_after -= 1
        self.credentials[target] = username, password

    def _delete_password(self, target: str) -> None:
        del self.credentials[target]

    def users(self) -> set[str]:
        return {user for user, _ in self.credentials.values()}


class ReadOnlyKeyring(FakeKeyring):
    """As the backends of package indexes are."""

    priority = 9.0

    def set_password(self, service: str, username: str, password: str) -> None:
        _raiser(NotImplementedError("read-only"))()

    def delete_password(self, service: str, username: str) -> None:
        _raiser(NotImplementedError("read-only"))()


class FakeChain(ChainerBackend):
    """The library's chain over members of a test's choice."""

    backends: list[KeyringBackend] = []  # noqa: RUF012 - it takes the place of a class property

    def __init__(self, *members: KeyringBackend, really: bool) -> None:
        assert really
        super().__init__()
        self.backends = list(members)


def chain(*members: KeyringBackend) -> FakeChain:
    return FakeChain(*members, really=True)


def like(
    name: str, base: type[FakeKeyring] = FakeKeyring, **attributes: object
) -> type[FakeKeyring]:
    """Return a fake keyring by the name of another's class."""
    module, _, short = name.rpartition(".")
    return type(short, (base,), {"__module__": module, "__qualname__": short, **attributes})


PLAINTEXT = "keyrings.alt.file.PlaintextKeyring"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def backend() -> FakeKeyring:
    return FakeKeyring({})


@pytest.fixture
def store(backend: FakeKeyring, environ: dict[str, str]) -> KeyringStore:
    return KeyringStore(backend=backend, environ=environ)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


def long(number: int, characters: int) -> Credentials:
    """Return credentials whose token alone is *characters* long."""
    return credentials(number, token=(FAKE_TOKEN + "/" * characters)[:characters])


# ── what every store does ────────────────────────────────────────────────────────────────


class TestKeyringStore(StoreContract):
    @pytest.fixture
    def store(self, environ: dict[str, str]) -> Store:
        self.items: Items = {}
        self.environ = environ
        return KeyringStore(backend=FakeKeyring(self.items), environ=environ)

    def reopen(self, store: Store) -> Store:
        return KeyringStore(backend=FakeKeyring(self.items), environ=self.environ)


class TestKeyringStoreOnWindows(StoreContract):
    @pytest.fixture
    def store(self, environ: dict[str, str]) -> Store:
        self.credentials: dict[str, tuple[str, str]] = {}
        self.environ = environ
        return KeyringStore(backend=FakeVault(self.credentials), environ=environ)

    def reopen(self, store: Store) -> Store:
        return KeyringStore(backend=FakeVault(self.credentials), environ=self.environ)


# ── which keyrings it takes ──────────────────────────────────────────────────────────────


REFUSED: dict[str, Callable[[], object]] = {
    "that forgets": keyring.backends.null.Keyring,
    "that is none": keyring.backends.fail.Keyring,
    "of a subclass of one that forgets": type("Mine", (keyring.backends.null.Keyring,), {}),
    "in a plain file": lambda: like(PLAINTEXT)({}),
    "in a plain file, as it was once called": lambda: like(
        "keyring.backends.file.PlaintextKeyring"
    )({}),
    "of a subclass of a plain one": lambda: like("mine.Keyring", like(PLAINTEXT))({}),
    "whose name says it": lambda: like("corp.keyrings.UnencryptedKeyring")({}),
    "whose module says it": lambda: like("keyring_insecure_backend.Backend")({}),
    "whose scheme says it": lambda: like("mine.Keyring", scheme="no encyption")({}),
    "with a crypter that does nothing": lambda: _with(crypter=NullCrypter()),
    "around a plain one": lambda: _with(_keyring=like(PLAINTEXT)({})),
    "around a list with a plain one": lambda: _with(rings=[FakeKeyring({}), like(PLAINTEXT)({})]),
    "around a chain with a plain one": lambda: _with(
        ring=chain(FakeKeyring({}), like(PLAINTEXT)({}))
    ),
    "with nothing behind it": chain,
    "with nothing but plain ones behind it": lambda: chain(
        like(PLAINTEXT)({}), keyring.backends.null.Keyring()
    ),
}


def _with(**attributes: object) -> FakeKeyring:
    made = FakeKeyring({})
    vars(made).update(attributes)
    return made


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_a_keyring_that_keeps_no_secrets_is_refused(make: Callable[[], Any]) -> None:
    backend = make()

    with pytest.raises(StoreError, match="keeps no secrets") as caught:
        KeyringStore(backend=backend)

    assert type(backend).__name__ in str(caught.value)
    assert "ROLECALL_STORE=file" in caught.value.hint
    assert not caught.value.retryable


def test_it_says_which_member_of_a_chain_does_what() -> None:
    with pytest.raises(StoreError) as caught:
        KeyringStore(backend=chain(like(PLAINTEXT)({}), keyring.backends.null.Keyring()))

    assert caught.value.message == (
        "the keyring backend test_keyring_store.FakeChain keeps no secrets: "
        "keyrings.alt.file.PlaintextKeyring: it writes secrets down as plain text; "
        "keyring.backends.null.Keyring: it forgets what it is given"
    )


@pytest.mark.parametrize("name", ["keyrings.alt.file.EncryptedKeyring", "corp.vault.Ring"])
def test_a_keyring_of_a_users_own_is_taken(name: str) -> None:
    store = KeyringStore("mine", backend=like(name)({}))

    assert repr(store) == f"KeyringStore('mine', {name})"


def test_a_keyring_that_holds_itself_is_judged_all_the_same() -> None:
    ring = FakeKeyring({})
    ring.itself = ring  # type: ignore[attr-defined]

    assert "FakeKeyring" in repr(KeyringStore(backend=ring))


def test_a_chain_never_hands_an_entry_to_a_plain_member(environ: dict[str, str]) -> None:
    plain = like(PLAINTEXT, priority=9.0)({})
    good = FakeKeyring({})
    store = KeyringStore(backend=chain(plain, good), environ=environ)

    store.put(KEY, credentials())

    assert credentials() == store.get(KEY)
    store.delete(KEY)
    good.before = _raiser(KeyringLocked("fake"))
    store.put(KEY, credentials())
    assert store.get(KEY) is None
    assert (plain.calls, plain.items) == (0, {})


def test_a_chain_goes_by_priority_and_past_what_can_only_be_read(environ: dict[str, str]) -> None:
    best, first, second = ReadOnlyKeyring({}), like("a.A", priority=5.0)({}), FakeKeyring({})
    second.priority = 4.0
    store = KeyringStore(backend=chain(second, first, best), environ=environ)

    store.put(KEY, credentials())

    assert [len(one.items) for one in (best, first, second)] == [0, 1, 0]
    assert credentials() == store.get(KEY)


def test_a_keyring_that_can_only_be_read_costs_nobody_a_call(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    store = KeyringStore(backend=ReadOnlyKeyring({}), environ=environ)

    store.put(KEY, credentials())
    store.put(KEY, credentials())

    assert [one.rsplit(": ", 1)[1] for one in warnings(caplog)] == ["it is read-only"]


def test_a_chain_leaves_out_what_the_library_does_not_recommend() -> None:
    """An encrypted file asks for its password at the terminal whenever nothing is found."""
    asks = like("keyrings.alt.file.EncryptedKeyring", priority=0.6)({})

    store = KeyringStore(backend=chain(asks, FakeKeyring({})))

    assert store.get(KEY) is None
    assert asks.calls == 0


def test_what_a_chain_deletes_is_gone_from_every_member(environ: dict[str, str]) -> None:
    one, other = FakeKeyring({}), FakeKeyring({})
    for ring in (one, other):
        KeyringStore(backend=ring, environ=environ).put(KEY, credentials())

    KeyringStore(backend=chain(one, other), environ=environ).delete(KEY)

    assert (one.items, other.items) == ({}, {})


def _python(script: str, **environ: str) -> str:
    inherited = {k: v for k, v in os.environ.items() if k != "DBUS_SESSION_BUS_ADDRESS"}
    path = os.pathsep.join(filter(None, [environ.pop("PYTHONPATH", ""), *sys.path]))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**inherited, **environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


OPENS = """
from rolecall.errors import StoreError
from rolecall.stores import KeyringStore
try:
    print(KeyringStore())
except StoreError as error:
    print(type(error).__name__, error)
"""


def test_a_plain_keyring_that_the_environment_names_is_refused(tmp_path: Path) -> None:
    """A module by the name of keyrings.alt's, which is all that it takes."""
    package = tmp_path / "path" / "keyrings" / "alt"
    package.mkdir(parents=True)
    (package / "file.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        "class PlaintextKeyring(KeyringBackend):\n"
        "    priority = 0.5\n"
        "    def get_password(self, service, username): return None\n"
        "    def set_password(self, service, username, password): open('plain', 'w')\n"
    )

    said = _python(OPENS, PYTHON_KEYRING_BACKEND=PLAINTEXT, PYTHONPATH=str(tmp_path / "path"))

    assert said.startswith(f"StoreError the keyring backend {PLAINTEXT} keeps no secrets")


def test_a_keyring_that_cannot_be_loaded_is_one_clear_error() -> None:
    said = _python(OPENS, PYTHON_KEYRING_BACKEND="no.such.Keyring")

    assert said.startswith("StoreError the keyring cannot be opened: ModuleNotFoundError (see PYTH")


def test_nothing_is_loaded_before_a_keyring_store_is_made() -> None:
    said = _python("import rolecall.stores, sys; print('keyring' in sys.modules)")

    assert said == "False\n"


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match=r"pip install 'rolecall\[keyring\]'"):
        KeyringStore()


@pytest.mark.parametrize("wrong", [FakeKeyring, "keyring", object()])
def test_what_is_no_backend_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="backend must be"):
        KeyringStore(backend=wrong)


def test_an_empty_service_is_refused() -> None:
    with pytest.raises(ValueError, match="service must be a name"):
        KeyringStore("")


# ── what is in it ────────────────────────────────────────────────────────────────────────


def test_an_entry_is_the_password_of_its_key(store: KeyringStore, backend: FakeKeyring) -> None:
    store.put(KEY, credentials())

    ((service, name),) = backend.items
    assert (service, name) == ("rolecall", KEY)
    assert json.loads(backend.items["rolecall", KEY])["rolecall"]["key"] == KEY


def test_services_do_not_see_each_others_entries(environ: dict[str, str]) -> None:
    ring = FakeKeyring({})
    one, other = (KeyringStore(name, backend=ring, environ=environ) for name in ("a", "b"))
    one.put(KEY, credentials())

    assert other.get(KEY) is None
    with one.lock(KEY, NOW) as first, other.lock(KEY, NOW) as second:
        assert first
        assert second


SPOILED: dict[str, Callable[[str], object]] = {
    "empty": lambda _: "",
    "cut short": lambda text: text[:-20],
    "not text": lambda text: text.encode(),
    "another key's": lambda text: text.replace(KEY, OTHER_KEY),
    "of a newer schema": lambda text: text.replace('"schema":1', '"schema":2'),
    "nested without end": lambda _: "[" * 60_000,
    "larger than 64 KiB": lambda text: text[:-1] + " " * 64 * 1024 + "}",
    "somebody's password": lambda _: "fake-secret-of-a-person",
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_what_is_no_entry_is_a_miss_and_is_replaced(
    store: KeyringStore, backend: FakeKeyring, spoil: Callable[[str], object],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    store.put(KEY, credentials(1))
    backend.items["rolecall", KEY] = spoil(backend.items["rolecall", KEY])

    assert store.get(KEY) is None
    assert store.get(KEY) is None
    assert len(warnings(caplog)) == 1
    assert "fake-secret" not in caplog.text

    store.put(KEY, credentials(2))

    assert credentials(2) == store.get(KEY)


def test_an_entry_larger_than_64_kib_is_not_kept(
    store: KeyringStore, backend: FakeKeyring, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(KEY, long(1, 64 * 1024))

    assert backend.items == {}
    assert len(warnings(caplog)) == 1


def test_what_cannot_be_deleted_is_emptied(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The library lets a backend do without deleting."""
    ring = like("mine.Keyring", delete_password=KeyringBackend.delete_password)({})
    store = KeyringStore(backend=ring, environ=environ)
    store.put(KEY, credentials())

    store.delete(KEY)

    assert ring.items == {("rolecall", KEY): "{}"}
    assert store.get(KEY) is None
    assert warnings(caplog) == []


def test_it_pickles_as_its_service() -> None:
    """With the library's own choice; what that is, the other process sees for itself."""
    script = (
        "import pickle\n"
        "from rolecall.stores import KeyringStore\n"
        "pickled = pickle.dumps(KeyringStore('mine'))\n"
        "print(pickle.loads(pickled), len(pickled) < 100)\n"
    )
    module = "tests_ring"
    ring = (
        "from keyring.backend import KeyringBackend\n"
        "class Ring(KeyringBackend):\n"
        "    priority = 1\n"
        "    get_password = set_password = lambda *_: None\n"
    )
    home = Path(os.environ["HOME"])
    (home / f"{module}.py").write_text(ring)

    said = _python(script, PYTHON_KEYRING_BACKEND=f"{module}.Ring", PYTHONPATH=str(home))

    assert said == f"KeyringStore('mine', {module}.Ring) True\n"


def test_with_a_backend_of_its_own_it_does_not_pickle(store: KeyringStore) -> None:
    with pytest.raises(TypeError, match="with a backend of its own does not pickle"):
        pickle.dumps(store)


# ── a vault that takes no long entry ─────────────────────────────────────────────────────


@pytest.fixture
def vault() -> FakeVault:
    return FakeVault({})


@pytest.fixture
def windows(vault: FakeVault, environ: dict[str, str]) -> KeyringStore:
    return KeyringStore(backend=vault, environ=environ)


@pytest.mark.parametrize("characters", [10, 500, 1280, 2000, 4 * 1280, 40_000])
def test_a_long_entry_is_split_where_the_vault_is_small(
    windows: KeyringStore, vault: FakeVault, characters: int, caplog: pytest.LogCaptureFixture
) -> None:
    windows.put(KEY, long(1, characters))

    assert long(1, characters) == windows.get(KEY)
    assert warnings(caplog) == []
    windows.delete(KEY)
    assert vault.credentials == {}


def test_elsewhere_a_long_entry_is_not_split(store: KeyringStore, backend: FakeKeyring) -> None:
    store.put(KEY, long(1, 5000))

    assert len(backend.items) == 1
    assert long(1, 5000) == store.get(KEY)


@pytest.mark.parametrize("shorter", [10, 2000, 4000])
def test_what_is_left_of_a_longer_entry_goes(
    windows: KeyringStore, vault: FakeVault, shorter: int
) -> None:
    windows.put(OTHER_KEY, long(1, shorter))
    needed = {user.replace(OTHER_KEY, KEY) for user in vault.users()} | vault.users()
    windows.put(KEY, long(1, 9000))

    windows.put(KEY, long(2, shorter))

    assert long(2, shorter) == windows.get(KEY)
    assert needed == vault.users()


def test_whenever_a_write_ends_half_way_it_is_a_miss_or_whole(
    vault: FakeVault, windows: KeyringStore
) -> None:
    old, new = long(1, 9000), long(2, 4000)
    allowed = (old, new, None)
    windows.put(KEY, old)
    outcomes = []

    for step in range(40):
        vault.fails_after = step
        windows.put(KEY, new)
        vault.fails_after = None
        outcomes.append(windows.get(KEY))
        windows.put(KEY, old)
        assert old == windows.get(KEY)

    assert all(one in allowed for one in outcomes)
    assert (outcomes[0], outcomes[-1]) == (old, new)
    assert None in outcomes


def test_what_a_write_that_ended_half_way_left_is_removed(
    vault: FakeVault, windows: KeyringStore
) -> None:
    vault.fails_after = 5
    windows.put(KEY, long(1, 9000))
    vault.fails_after = None
    assert vault.credentials != {}

    windows.delete(KEY)

    assert vault.credentials == {}


def test_a_part_of_somebody_else_makes_it_a_miss(vault: FakeVault, windows: KeyringStore) -> None:
    windows.put(KEY, long(1, 4000))
    (target,) = [t for t, (user, _) in vault.credentials.items() if user == f"{KEY}#2"]
    vault.credentials[target] = f"{KEY}#2", "x" * WINDOWS_CHARACTERS

    assert windows.get(KEY) is None


# ── a keyring in trouble ─────────────────────────────────────────────────────────────────


def _raiser(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        KeyringLocked(f"dismissed: {FAKE_SECRET}"),
        ConnectionResetError(f"the bus died: {FAKE_TOKEN}"),
        RuntimeError(FAKE_SECRET),
        SystemExit(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_keyring_in_trouble_costs_nobody_a_call(
    store: KeyringStore, backend: FakeKeyring, error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    clock = FakeClock()
    source = FakeSource(clock)
    store.put(KEY, credentials())
    backend.before = _raiser(error)
    stored = Stored(source, store, KEY, clock=clock)

    with caplog.at_level(logging.DEBUG):
        stored.get()
        stored.get()
        store.delete(KEY)
        store.delete(KEY)

    assert source.calls == 2
    assert [one.split(" cannot be ")[1].split(":")[0] for one in warnings(caplog)] == [
        "read",
        "written",
        "deleted",
    ]
    for secret in (FAKE_SECRET, FAKE_TOKEN):
        assert secret not in caplog.text

    backend.before = lambda: None
    assert credentials() == store.get(KEY)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gate(backend: FakeKeyring) -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture
def waits(backend: FakeKeyring, environ: dict[str, str], clock: FakeClock) -> KeyringStore:
    return KeyringStore(backend=backend, environ=environ, clock=clock)


def _hang(store: KeyringStore, clock: FakeClock, backend: FakeKeyring, gate: Gate) -> None:
    """Let a look-up hang until it is given up."""
    backend.before = gate.pass_through
    arrived = gate.arrived
    with ThreadPoolExecutor(1) as caller:
        late = caller.submit(store.get, KEY)
        gate.wait_for_arrival(arrived + 1)
        clock.wait_for_waiters()
        clock.tick(PATIENCE)
        assert late.result(PATIENCE_SECONDS) is None


def test_a_keyring_that_hangs_is_given_up_and_left_alone(
    waits: KeyringStore, backend: FakeKeyring, clock: FakeClock, gate: Gate,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    _hang(waits, clock, backend, gate)
    calls = backend.calls

    clock.tick(REST - timedelta(seconds=1))
    waits.put(KEY, credentials())  # would hang here if it asked
    assert waits.get(KEY) is None

    assert backend.calls == calls
    assert [one.split(": ")[1] for one in warnings(caplog)] == [
        "no answer within 60 s, going on without it for 5 min"
    ]
    gate.open()


def test_after_a_rest_it_is_asked_again_though_the_old_question_still_hangs(
    waits: KeyringStore, backend: FakeKeyring, clock: FakeClock, gate: Gate
) -> None:
    _hang(waits, clock, backend, gate)
    clock.tick(REST)
    backend.before = lambda: None

    waits.put(KEY, credentials())

    assert credentials() == waits.get(KEY)
    gate.open()


def test_no_more_than_a_few_threads_are_ever_stuck(
    waits: KeyringStore, backend: FakeKeyring, clock: FakeClock, gate: Gate
) -> None:
    for _ in range(MOST_STUCK):
        _hang(waits, clock, backend, gate)
        clock.tick(REST)

    assert waits.get(KEY) is None
    assert gate.arrived == MOST_STUCK
    gate.open()


def test_one_at_a_time_asks_the_keyring(
    waits: KeyringStore, backend: FakeKeyring, clock: FakeClock, gate: Gate
) -> None:
    """Backends are not made for threads; and one person answers one prompt."""
    backend.before = gate.pass_through

    with ThreadPoolExecutor(8) as callers:
        asked = [callers.submit(waits.get, KEY) for _ in range(8)]
        clock.wait_for_waiters(8)
        gate.wait_for_arrival()
        assert gate.arrived == 1
        clock.tick(PATIENCE)
        assert [one.result(PATIENCE_SECONDS) for one in asked] == [None] * 8
        gate.open()

    assert backend.calls == 1


def test_a_keyring_that_a_person_unlocks_in_time_is_used(
    waits: KeyringStore, backend: FakeKeyring, clock: FakeClock, gate: Gate
) -> None:
    waits.put(KEY, credentials())
    backend.before = gate.pass_through

    with ThreadPoolExecutor(1) as caller:
        late = caller.submit(waits.get, KEY)
        gate.wait_for_arrival()
        clock.wait_for_waiters()
        clock.tick(PATIENCE - timedelta(seconds=1))
        gate.open()

        assert credentials(clock_offset=late.result(PATIENCE_SECONDS).clock_offset) == late.result()


def test_a_keyring_that_hangs_when_it_is_opened_is_an_error_that_may_pass(
    clock: FakeClock, gate: Gate
) -> None:
    class Hanging(FakeChain):
        @property
        def backends(self) -> list[KeyringBackend]:  # type: ignore[override]
            gate.pass_through()
            return []

        def __init__(self, *, really: bool) -> None:
            KeyringBackend.__init__(self)

    with ThreadPoolExecutor(1) as caller:
        late = caller.submit(KeyringStore, backend=Hanging(really=True), clock=clock)
        gate.wait_for_arrival()
        clock.wait_for_waiters()
        clock.tick(PATIENCE)
        error = late.exception(PATIENCE_SECONDS)
        gate.open()

    assert isinstance(error, StoreError)
    assert "did not answer within 60 s" in error.message
    assert error.retryable


def test_a_child_does_not_wait_for_what_hangs_in_its_parent(
    waits: KeyringStore, backend: FakeKeyring, clock: FakeClock, gate: Gate, fork: Any
) -> None:
    waits.put(KEY, credentials())
    backend.before = gate.pass_through

    with ThreadPoolExecutor(1) as caller:
        late = caller.submit(waits.get, KEY)
        gate.wait_for_arrival()
        backend.before = lambda: None
        child = fork(lambda: waits.get(KEY) is not None)
        assert child.said_yes()
        gate.open()
        assert late.result(PATIENCE_SECONDS) is not None
