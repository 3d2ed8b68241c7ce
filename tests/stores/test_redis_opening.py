"""How a `RedisStore` is made, who may use it, and what of it is shown."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from redis_rig import Certificates, RedisServer
from redis_scene import (
    FERNET_KEY,
    fresh,
    warnings,
)

from rolecall.clock import SYSTEM_CLOCK
from rolecall.errors import ConfigError
from rolecall.stores import RedisStore, Stored, open_store
from rolecall.testing import FakeSource
from rolecall.testing.contracts import (
    KEY,
    PATIENCE,
)

#: All that a user needs: for docs/, too.
RIGHTS = (
    "resetchannels ~rolecall:* "
    "+evalsha +script|load +time +type +get +set +del +hget +hset +hstrlen +pexpire +pttl"
)


def test_a_user_of_few_rights_is_enough(
    tmp_path: Path, redis_program: str, caplog: pytest.LogCaptureFixture
) -> None:
    users = {"app": f"on >fake-password {RIGHTS}", "default": "off"}
    with RedisServer(tmp_path, program=redis_program, users=users) as server:
        store = RedisStore(
            server.url(user="app", password="fake-password"), encryption_key=FERNET_KEY
        )
        source = FakeSource(SYSTEM_CLOCK)

        got = Stored(source, store, KEY).get()
        assert store.get(KEY) == got
        with store.lock(KEY, PATIENCE) as held:
            assert held
            with store.lock(KEY, timedelta(seconds=0.5)) as other:
                assert other is False
        store.delete(KEY)
        assert store.get(KEY) is None

    assert warnings(caplog) == []


def test_tls_is_spoken_with_a_server_of_a_known_ca(
    tls_redis: tuple[int, Certificates], caplog: pytest.LogCaptureFixture
) -> None:
    port, certificates = tls_redis
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificates.ca}"
    store = RedisStore(url, encryption_key=FERNET_KEY)
    made = fresh()

    store.put(KEY, made)

    assert store.get(KEY) == made
    assert warnings(caplog) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_tls_server_that_cannot_prove_who_it_is_gets_nothing(
    tls_redis: tuple[int, Certificates], host: str, caplog: pytest.LogCaptureFixture
) -> None:
    port, certificates = tls_redis
    # An unknown CA; or a known one, and a certificate for another name.
    known = f"?ssl_ca_certs={certificates.ca}" if host == "localhost" else ""
    store = RedisStore(f"rediss://{host}:{port}/0{known}", encryption_key=FERNET_KEY)
    source = FakeSource(SYSTEM_CLOCK)

    got = Stored(source, store, KEY).get()

    assert got.access_key == "ASIAFAKE000000000001"
    assert store.get(KEY) is None
    assert len(warnings(caplog)) == 1


def test_a_unix_socket_will_do(redis_program: str, tmp_path: Path) -> None:
    # Not in tmp_path: the system takes about a hundred characters.
    with TemporaryDirectory() as folder:
        path = f"{folder}/redis"
        with RedisServer(tmp_path, program=redis_program, settings={"unixsocket": path}):
            store = RedisStore(f"unix://{path}", encryption_key=FERNET_KEY)
            made = fresh()

            store.put(KEY, made)

            assert store.get(KEY) == made
            assert path in repr(store)


def test_its_repr_says_where_it_is_and_no_password() -> None:
    url = "redis://fake-user:fake-password@127.0.0.1:6390/3"
    store = RedisStore(url, encryption_key=FERNET_KEY)

    assert repr(store) == "RedisStore(127.0.0.1:6390/3)"


def test_the_environment_names_the_store_and_its_key(server: RedisServer, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{FERNET_KEY}\n")
    key_file.chmod(0o600)
    by_value = {"ROLECALL_STORE": server.url(), "ROLECALL_STORE_KEY": FERNET_KEY}
    by_file = {"ROLECALL_STORE": server.url(), "ROLECALL_STORE_KEY_FILE": str(key_file)}
    made = fresh()

    open_store(environ=by_value).put(KEY, made)

    assert open_store(environ=by_file).get(KEY) == made


def test_one_that_the_environment_made_pickles_and_takes_no_key_along(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLECALL_STORE", server.url(password="fake-password"))
    monkeypatch.setenv("ROLECALL_STORE_KEY", FERNET_KEY)

    pickled = pickle.dumps(open_store())

    assert FERNET_KEY.encode() not in pickled
    assert b"fake-password" not in pickled
    monkeypatch.setenv("ROLECALL_STORE", server.url())
    made = fresh()
    pickle.loads(pickled).put(KEY, made)
    assert open_store().get(KEY) == made


def test_one_that_was_given_its_key_does_not_pickle(store: RedisStore) -> None:
    with pytest.raises(TypeError, match="encryption key"):
        pickle.dumps(store)


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "http://:fake-password@127.0.0.1:6379",
        "redis://:fake-password@127.0.0.1:port/0",
        "redis://:fake-password@127.0.0.1:99999/0",
        "redis://:fake-password@127.0.0.1:6379/0?fake_option=1",
        "redis://:fake-password@127.0.0.1:6379/0?socket_timeout=fake",
        "rediss://:fake-password@127.0.0.1:6379/0?ssl_cert_reqs=fake",
        "redis://:fake-password@[::1",
    ],
)
def test_a_url_that_is_not_right_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        RedisStore(url, encryption_key=FERNET_KEY)

    assert "fake-password" not in f"{refused.value} {refused.value.hint} {refused.value.context}"
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "key",
    ["", "fake-key", FERNET_KEY[:-4], [FERNET_KEY, "fake-key"], []],
    ids=["empty", "no key", "cut off", "one of two", "none"],
)
def test_a_key_that_is_none_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        RedisStore("redis://127.0.0.1:6390/0", encryption_key=key)

    shown = f"{refused.value} {refused.value.hint} {refused.value.context}"
    assert FERNET_KEY not in shown
    assert "fake-key" not in shown
    assert refused.value.__cause__ is None


def test_there_is_no_store_in_redis_without_a_key() -> None:
    with pytest.raises(ConfigError, match="ROLECALL_STORE_KEY"):
        RedisStore.from_url("redis://127.0.0.1:6390/0", environ={})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(FERNET_KEY)
    key_file.chmod(mode)
    if os.geteuid() == 0:
        os.chown(key_file, 65534, -1)

    with pytest.raises(ConfigError) as refused:
        RedisStore.from_url(
            "redis://127.0.0.1:6390/0", environ={"ROLECALL_STORE_KEY_FILE": str(key_file)}
        )

    assert FERNET_KEY not in str(refused.value)


@pytest.mark.parametrize("package", ["redis", "cryptography"])
def test_a_missing_package_is_named_with_how_to_install_it(package: str) -> None:
    script = f"""
import sys
for name in [one for one in sys.modules if one.partition(".")[0] == {package!r}]:
    del sys.modules[name]
sys.modules[{package!r}] = None
from rolecall.stores import RedisStore
try:
    RedisStore("redis://127.0.0.1:6390/0", encryption_key={"A" * 43 + "="!r})
except Exception as error:
    print(type(error).__name__, error, error.hint)
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=True,
    )

    assert done.stdout.startswith("ConfigError ")
    assert package in done.stdout
    assert "pip install 'rolecall[redis]'" in done.stdout
