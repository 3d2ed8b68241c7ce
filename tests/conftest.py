"""Guards around every test: no real home, no sleep, no network but loopback, no thread left behind.

They are here because each of these is a bug that shows only on somebody else's machine.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent

# Whatever of these a developer or a CI machine has set would leak into what is tested: AWS's own,
# ours, the ones that tell which runtime this is, and proxies.
LEAKY_PREFIXES = ("AWS_", "ROLECALL_", "GITHUB_", "GITLAB_", "CI_", "ECS_", "KUBERNETES_", "XDG_")
LEAKY_NAMES = {
    "BOTO_CONFIG", "CI", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy",
    "https_proxy", "all_proxy", "no_proxy", "LAMBDA_TASK_ROOT", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
}  # fmt: skip

# How long a thread may take to end after its test, and what never ends because it serves the whole
# run: the workers of a server fixture with a wider scope, which cheroot starts on demand.
LAST_WORDS_SECONDS = 5.0
SERVES_THE_WHOLE_RUN = ("CP Server Thread-",)

# Files of few tests that take long: one that begins last is waited for by all other workers, and
# pytest-xdist by itself begins with files of many tests.
LONG = frozenset({
    "test_aio_on_seaweed.py", "test_bench.py", "test_credential_process.py",
    "test_credential_process_prompts.py", "test_demo.py", "test_docs.py", "test_docs_commands.py",
    "test_large_organization.py", "test_redis_faults.py", "test_redis_processes.py",
    "test_refreshing_sessions.py", "test_rolecall_on_seaweed.py", "test_s3fs.py",
    "test_seaweed_server.py", "test_serve.py", "test_serving.py", "test_shared_stores.py",
    "test_terminals.py", "test_threads.py", "test_wheel.py",
})  # fmt: skip

# How slow the machine is, is no law of ours.
settings.register_profile(
    "rolecall",
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("rolecall")


class Offence(AssertionError):
    """A test did what no test here may do."""


_offences: list[str] = []


def _offend(what: str) -> None:
    # Recorded too: the code under test may swallow the exception, or a thread may die of it.
    _offences.append(what)
    raise Offence(what)


_sleep = time.sleep


def _guarded_sleep(seconds: float) -> None:
    caller = Path(sys._getframe(1).f_code.co_filename)
    if caller.is_relative_to(HERE):
        _offend(
            f"{caller.name}:{sys._getframe(1).f_lineno} sleeps: order threads with a Gate, "
            "move time with a FakeClock, wait with a time-out that fails the test"
        )
    _sleep(seconds)


def _is_loopback(address: Any) -> bool:
    if not isinstance(address, tuple):  # a Unix socket
        return True
    host = str(address[0]).partition("%")[0]
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_connect, _connect_ex, _sendto = (
    socket.socket.connect,
    socket.socket.connect_ex,
    socket.socket.sendto,
)
_getaddrinfo = socket.getaddrinfo


def _refuse_abroad(address: Any) -> None:
    if not _is_loopback(address):
        _offend(f"a connection to {address[0]}: tests talk to loopback only")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    _refuse_abroad(address)
    _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: Any) -> int:
    _refuse_abroad(address)
    return _connect_ex(self, address)


def _guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
    _refuse_abroad(rest[-1])
    return _sendto(self, data, *rest)


def _guarded_getaddrinfo(host: Any, *arguments: Any, **keywords: Any) -> Any:
    text = host.decode() if isinstance(host, bytes) else host
    if text is not None and not _is_loopback((text,)):
        _offend(f"a look-up of {text}: tests talk to loopback only")
    return _getaddrinfo(host, *arguments, **keywords)


def _scrub(environ: Any, home: Path) -> None:
    for name in list(environ):
        if name.startswith(LEAKY_PREFIXES) or name in LEAKY_NAMES:
            del environ[name]
    environ["HOME"] = environ["USERPROFILE"] = str(home)
    environ["AWS_CONFIG_FILE"] = str(home / ".aws" / "config")
    environ["AWS_SHARED_CREDENTIALS_FILE"] = str(home / ".aws" / "credentials")
    environ["AWS_EC2_METADATA_DISABLED"] = "true"
    environ["NO_PROXY"] = "*"  # macOS: do not ask the system for its proxies


def _heed_signals() -> None:
    """Undo what a shell does to what it runs in the background: children would inherit it."""
    usual = {"SIGINT": signal.default_int_handler, "SIGQUIT": signal.SIG_DFL}
    for name, handler in usual.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def _read_models_once() -> None:
    """Let botocore's sessions share what they have read of AWS's models, and names of events.

    To a new session the models are megabytes of JSON to parse and hundreds of folders to list:
    100 ms, most of the time of most tests. Its clients share what it has read, and so do now those
    of all sessions. A `Loader` by itself still reads for itself: clients write into S3's model.
    """
    import botocore.session
    from botocore.hooks import EventAliaser
    from botocore.loaders import Loader

    read: dict[tuple[str, ...], dict[Any, Any]] = {}
    names: dict[str, str] = {}
    create_loader = botocore.session.create_loader

    class Sharing(Loader):
        # Looked at each time: boto3 adds a folder of its own to a loader that is there.
        _cache = property(lambda self: read.setdefault(tuple(self.search_paths), {}))

    def create_sharing_loader(search_path_string: str | None = None) -> Loader:
        loader: Loader = create_loader(search_path_string)
        loader.__class__ = Sharing
        return loader

    def keep_none(self: EventAliaser, value: dict[str, str]) -> None:
        """Let `__init__` have its way."""

    botocore.session.create_loader = create_sharing_loader
    EventAliaser._alias_name_cache = property(lambda self: names, keep_none)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let `LONG` files begin first, in whatever order pytest-randomly has given them."""
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish() -> None:
    """Spare tests what costs the most: models that are read again, modules that are searched."""
    if "botocore" in sys.modules:
        _read_models_once()
    # Garbage is looked for where a test may have left some: 0.1 s less for each gc.collect().
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Set the guards up before any test module is imported, since modules import names."""
    # Not TemporaryDirectory's finalizer: a forked child would run it too.
    home = tempfile.mkdtemp(prefix="rolecall-tests-")
    config.add_cleanup(lambda: __import__("shutil").rmtree(home, ignore_errors=True))
    _scrub(os.environ, Path(home))
    _heed_signals()
    time.sleep = _guarded_sleep
    socket.socket.connect = _guarded_connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _guarded_connect_ex  # type: ignore[method-assign]
    socket.socket.sendto = _guarded_sendto  # type: ignore[method-assign,assignment]
    socket.getaddrinfo = _guarded_getaddrinfo


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give each test a home of its own, an environment without AWS in it, and its own boto3."""
    before = dict(os.environ)
    home = tmp_path_factory.mktemp("home")
    _scrub(os.environ, home)
    boto3 = sys.modules.get("boto3")
    if boto3 is not None:
        boto3.DEFAULT_SESSION = None
    yield home
    os.environ.clear()
    os.environ.update(before)
    boto3 = sys.modules.get("boto3")
    if boto3 is not None:
        boto3.DEFAULT_SESSION = None


@pytest.fixture(autouse=True)
def pythons_signals() -> Iterator[None]:
    """Have this process ignore what Python ignores: a test that writes to nobody would end it."""
    kinds = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]
    before = {kind: signal.getsignal(kind) for kind in kinds}
    yield
    changed = [kind for kind in kinds if signal.getsignal(kind) != before[kind]]
    for kind in changed:
        signal.signal(kind, before[kind])
    if changed:
        pytest.fail(f"{', '.join(kind.name for kind in changed)}: changed by this test")


@pytest.fixture(autouse=True)
def no_offence() -> Iterator[None]:
    """Fail a test whose code swallowed an `Offence`."""
    _offences.clear()
    yield
    committed = list(_offences)
    _offences.clear()
    if committed:
        pytest.fail("\n".join(committed), pytrace=False)


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    """Fail a test that ends before its threads do: the next test would suffer for it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    left = []
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(SERVES_THE_WHOLE_RUN):
            continue
        # One that is just being started cannot be joined yet.
        thread._started.wait(max(0.0, deadline - time.monotonic()))  # type: ignore[attr-defined]
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            left.append(f"{thread.name}{' (daemon)' if thread.daemon else ''}")
    if left:
        pytest.fail(
            f"threads still run {LAST_WORDS_SECONDS:.0f} s after the test: "
            + ", ".join(sorted(left)),
            pytrace=False,
        )


class Child:
    """A forked process that is answering a question; it never comes back into pytest."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def said_yes(self) -> bool:
        """Wait for the answer; False too where it raised or did not end within 20 s."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) == 0


@pytest.fixture
def fork() -> Callable[[Callable[[], object]], Child]:
    """Return a function that forks and asks the child something."""

    def fork(question: Callable[[], object]) -> Child:
        pid = os.fork()
        if pid:
            return Child(pid)
        yes = False
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # pytest-timeout's would raise in here
            signal.alarm(20)
            yes = bool(question())
        finally:
            # Whatever was raised: two pytests must not run on.
            os._exit(0 if yes else 1)

    return fork
