"""`open_store`: which store the user means, and what is said of what is none."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from rolecall.errors import ConfigError
from rolecall.stores import (
    AwsCliStore,
    FileStore,
    MemoryStore,
    RedisStore,
    Store,
    open_store,
)
from rolecall.stores.choice import STORE

PASSWORD = "fake-password-do-not-leak"
#: A key as `RedisStore.generate_key` makes them.
FAKE_KEY = "ZmFrZS1rZXktZm9yLXRlc3RzLW9ubHktMzItYnl0ZXM="


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "ROLECALL_STORE_KEY": FAKE_KEY}


def path_of(store: Store) -> Path:
    assert isinstance(store, FileStore)
    return store.path


def chosen(text: str, named: bool, environ: dict[str, str]) -> Store:
    """Return the store that is named by *text*, or in the environment."""
    if named:
        return open_store(text, environ=environ)
    return open_store(environ={**environ, STORE: text})


# ── words ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("word", "kind"),
    [("memory", MemoryStore), ("file", FileStore), ("aws-cli", AwsCliStore)],
)
@pytest.mark.parametrize("form", ["{}", " {}\n"], ids=["plain", "blanks around it"])
def test_a_word_stands_for_a_store_wherever_it_comes_from(
    environ: dict[str, str], word: str, kind: type, form: str
) -> None:
    text = form.format(word)

    assert type(open_store(text, environ=environ)) is kind
    assert type(open_store(environ={**environ, STORE: text})) is kind


@pytest.mark.parametrize("variable", [None, "", "  \t"], ids=repr)
def test_where_nothing_is_chosen_it_is_a_file(
    environ: dict[str, str], tmp_path: Path, variable: str | None
) -> None:
    chosen = {} if variable is None else {STORE: variable}

    store = open_store(environ={**environ, **chosen})

    assert path_of(store) == tmp_path / ".cache" / "rolecall"


def test_what_is_named_wins_over_the_environment(environ: dict[str, str]) -> None:
    assert isinstance(open_store("memory", environ={**environ, STORE: "file"}), MemoryStore)


def test_the_environment_is_the_processs_own_unless_another_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(STORE, "memory")

    assert isinstance(open_store(), MemoryStore)


# ── Redis ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scheme", ["redis", "rediss", "REDIS", "Rediss"])
def test_a_redis_url_stands_for_redis_however_its_scheme_is_written(
    environ: dict[str, str], scheme: str
) -> None:
    store = open_store(f" {scheme}://user:{PASSWORD}@127.0.0.1:1/0 ", environ=environ)

    assert isinstance(store, RedisStore)
    assert PASSWORD not in repr(store)


def test_a_store_that_the_environment_names_is_opened_anew_where_it_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(STORE, f"redis://:{PASSWORD}@127.0.0.1:1/0")
    monkeypatch.setenv("ROLECALL_STORE_KEY", FAKE_KEY)

    pickled = pickle.dumps(open_store())

    assert PASSWORD.encode() not in pickled
    assert FAKE_KEY.encode() not in pickled
    monkeypatch.setenv(STORE, "memory")
    assert isinstance(pickle.loads(pickled), MemoryStore)


# ── directories ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///a/b", "/a/b"),
        ("file:/a/b", "/a/b"),
        ("file://localhost/a/b", "/a/b"),
        ("file://LOCALHOST/a/b", "/a/b"),
        ("FILE:///A/b", "/A/b"),
        ("file:///a/my%20sessions", "/a/my sessions"),
        ("file:///a/my sessions", "/a/my sessions"),
        ("file:///a/100%25/%3F%23", "/a/100%/?#"),
        ("file:///a/%E2%82%AC", "/a/€"),
        ("file:///a/€", "/a/€"),
        ("file:///a/%FF", os.fsdecode(b"/a/\xff")),
        ("file:///a/b;c=d&e", "/a/b;c=d&e"),
        ("file:///a/b/", "/a/b"),
    ],
)
def test_a_file_url_stands_for_its_directory(environ: dict[str, str], url: str, path: str) -> None:
    assert path_of(open_store(url, environ=environ)) == Path(path)


def test_a_directory_whose_name_is_not_utf_8_can_be_used(tmp_path: Path) -> None:
    from rolecall.testing.contracts import KEY, credentials

    store = open_store(f"file://{tmp_path}/%FF", environ={"HOME": str(tmp_path)})
    store.put(KEY, credentials())

    assert credentials() == store.get(KEY)
    assert b"\xff" in os.listdir(os.fsencode(tmp_path))


@pytest.mark.parametrize(
    "url",
    [
        "file:",
        "file://",
        "file:///",
        "file:////",
        "file:a/b",
        "file:~/a",
        "file://~/a",
        "file://server/share",
        "file://me@localhost/a",
        "file://[",
        "file://[::1]/a",
        "file:///a%00b",
        "file:///a?mode=0644",
        "file:///a#part",
        f"file://user:{PASSWORD}@server/a",
        f"file:///a?password={PASSWORD}",
        f"file://[{PASSWORD}",
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["named", "from the environment"])
def test_a_file_url_that_names_no_directory_is_refused_without_showing_it(
    environ: dict[str, str], url: str, named: bool
) -> None:
    with pytest.raises(ConfigError, match="file URL") as caught:
        chosen(url, named, environ)

    assert str(caught.value).startswith("the store: " if named else f"{STORE}: ")
    assert caught.value.hint
    assert_says_nothing(caught.value)


# ── what is none ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    ["", " ", "files", "File", "MEMORY", "redis", "rediss", "/var/cache/sessions", "dynamodb"],
)
def test_a_word_that_stands_for_no_store_is_shown_with_those_that_do(
    environ: dict[str, str], text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(text, environ=environ)

    assert f"the store: {text.strip()!r} is not a store" in str(caught.value)
    for word in ("memory", "file", "file:///", "keyring", "redis://", "rediss://", "aws-cli"):
        assert word in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{PASSWORD}@localhost/0",
        f"redis+sentinel://:{PASSWORD}@localhost/0",
        f"redi://default:{PASSWORD}@localhost",
        f"//:{PASSWORD}@localhost/0",
        f"://:{PASSWORD}@localhost/0",
        f"default:{PASSWORD}@localhost",
        f"{PASSWORD}@localhost",
        f"{PASSWORD}@localhost:6379",
        f"localhost/0?password={PASSWORD}",
        f"'redis://:{PASSWORD}@localhost'",
        f"unix:///run/redis?password={PASSWORD}",
        f"redis: //:{PASSWORD}@localhost",
        f"redis://:{PASSWORD}@localhost:port/0",
        f"redis://:{PASSWORD}@[localhost/0",
        f"redis://:{PASSWORD}@localhost/0?socket_timeout={PASSWORD}",
        "A" * 200,
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["named", "from the environment"])
def test_a_password_in_what_is_no_store_is_never_shown(
    environ: dict[str, str], text: str, named: bool
) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(text, named, environ)

    assert_says_nothing(caught.value)
    assert "A" * 100 not in str(caught.value)


def test_a_redis_without_its_key_says_so_and_not_its_password(environ: dict[str, str]) -> None:
    del environ["ROLECALL_STORE_KEY"]

    with pytest.raises(ConfigError, match="ROLECALL_STORE_KEY") as caught:
        open_store(f"redis://:{PASSWORD}@127.0.0.1:1/0", environ=environ)

    assert_says_nothing(caught.value)


def assert_says_nothing(error: BaseException | None) -> None:
    """Fail if *error*, or what a traceback would show with it, holds the password."""
    while error is not None:
        assert PASSWORD not in f"{error} {error!r} {getattr(error, 'hint', '')}"
        assert PASSWORD not in repr(getattr(error, "context", ""))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
