"""The guards of conftest.py do fail the tests that they are there to fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

# name of a test → its body, and what its report must say (None: it passes)
CASES: dict[str, tuple[str, str | None]] = {
    "sleeps": ("time.sleep(0)", "sleeps: order threads with a Gate"),
    "sleeps_by_an_earlier_import": ("sleep(0)", "sleeps: order threads"),
    "swallows_that_it_slept": (
        "try:\n        time.sleep(0)\n    except Exception:\n        pass",
        "sleeps: order threads",
    ),
    "calls_abroad": ("socket.create_connection(('192.0.2.1', 80))", "a look-up of 192.0.2.1"),
    "calls_abroad_without_a_look_up": (
        "with socket.socket() as s:\n        s.connect(('192.0.2.1', 80))",
        "a connection to 192.0.2.1",
    ),
    "calls_abroad_and_asks_for_the_error_number": (
        "with socket.socket() as s:\n        s.connect_ex(('192.0.2.1', 80))",
        "a connection to 192.0.2.1",
    ),
    "sends_a_datagram_abroad": (
        "with socket.socket(type=socket.SOCK_DGRAM) as s:\n"
        "        s.sendto(b'', ('192.0.2.1', 53))",
        "a connection to 192.0.2.1",
    ),
    "looks_a_name_up": ("socket.getaddrinfo('sts.amazonaws.com', 443)", "a look-up of sts"),
    "leaves_a_thread": (
        "threading.Thread(target=NEVER.wait, daemon=True, name='lost').start()",
        "threads still run 0 s after the test: lost (daemon)",
    ),
    "talks_to_loopback": (
        "with socket.create_server(('127.0.0.1', 0)) as s:\n"
        "        socket.create_connection(s.getsockname()).close()",
        None,
    ),
    "has_a_home_of_its_own": (
        "assert os.path.expanduser('~') != REAL_HOME\n"
        "    assert not os.path.exists(os.environ['AWS_CONFIG_FILE'])",
        None,
    ),
    "sees_no_aws_variable_of_the_machine": (
        "assert not {'AWS_PROFILE', 'AWS_ACCESS_KEY_ID', 'HTTPS_PROXY', 'GITHUB_ACTIONS'}"
        " & os.environ.keys()",
        None,
    ),
    "changes_the_environment": ("os.environ['AWS_REGION'] = 'eu-west-1'", None),
    "ends_its_threads": ("threading.Thread(target=int).start()", None),
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run all cases in one pytest; return what it says of each, "passed" if nothing."""
    folder = tmp_path_factory.mktemp("guarded")
    shutil.copy(CONFTEST, folder)
    text = (folder / "conftest.py").read_text(encoding="utf-8")
    patient = "LAST_WORDS_SECONDS = 5.0"
    assert patient in text
    (folder / "conftest.py").write_text(
        text.replace(patient, "LAST_WORDS_SECONDS = 0.1"), encoding="utf-8"
    )
    head = (
        "import os, socket, threading, time\nfrom time import sleep\n"
        f"NEVER = threading.Event()\nREAL_HOME = {str(Path.home())!r}\n"
    )
    bodies = [f"def test_{name}():\n    {body}\n" for name, (body, _) in CASES.items()]
    (folder / "test_cases.py").write_text(head + "\n\n".join(bodies), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    leaks = {
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAFAKEFAKEFAKEFAKE",
        "HTTPS_PROXY": "http://192.0.2.1:3128",
        "GITHUB_ACTIONS": "true",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PATH": "",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-rA"],
        cwd=folder,
        env=leaks,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = {}
    for name in CASES:
        parts = re.split(
            r"^_{2,} (?:ERROR at teardown of )?(test_\w+) _{2,}$", done.stdout, flags=re.M
        )
        said = [
            text
            for which, text in zip(parts[1::2], parts[2::2], strict=True)
            if which == f"test_{name}"
        ]
        failed = re.search(rf"^(FAILED|ERROR) \S+::test_{name}\b", done.stdout, flags=re.M)
        passed = f"PASSED test_cases.py::test_{name}\n" in done.stdout
        assert failed or passed, done.stdout + done.stderr
        found[name] = "\n".join(said) if failed else "passed"
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_guard_says(name: str, reports: dict[str, str]) -> None:
    expected = CASES[name][1]

    if expected is None:
        assert reports[name] == "passed"
    else:
        assert expected in reports[name]
