"""No secret of ``rolecall exec`` is shown: not in its words, nor in the list of processes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from command_line import SECONDS, Desk

#: Resolves its credentials when it is told to, and keeps them where only the test looks.
CHILD = """
import json, os, sys
import botocore.session
print("ready", flush=True)
sys.stdin.readline()
found = botocore.session.get_session().get_credentials().get_frozen_credentials()
with open(sys.argv[1], "w") as file:
    json.dump([found.secret_key, found.token, dict(os.environ)], file)
print("done", flush=True)
sys.stdin.readline()
"""


def command_lines() -> str:
    """Return the command lines of all processes there are."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(one.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has just ended
    return "\n".join(found)


@pytest.mark.parametrize("way", ["endpoint", "env", "process"])
def test_no_secret_is_shown_at_all(desk: Desk, tmp_path: Path, way: str) -> None:
    """At ``-vv``, of the wrapper, the launcher, the child and a credential_process that works."""
    # Of its own: then a credential_process has to ask AWS itself, and is seen at that.
    desk.environ["ROLECALL_STORE"] = "memory"
    desk.default_keys(**desk.keys("AKIAFAKEDEFAULT", "fake-default-secret"))
    kept = tmp_path / "kept"
    process = desk.start(
        "exec", "reader", "--via", way, "-vv", program=[*desk.python(CHILD), str(kept)],
        stdin=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    seen = command_lines()
    with desk.cloud.hold("AssumeRole") as gate:
        process.stdin.write("\n")
        process.stdin.flush()
        if way == "process":
            gate.wait_for_arrival()
            seen += command_lines()
            assert "credential-process" in seen
        gate.open()
        assert process.stdout.readline() == "done\n"
    desk.cloud.recover()
    seen += command_lines()
    out, err = process.communicate("\n", timeout=SECONDS)

    assert (process.returncode, out) == (0, "")
    secret, token, environ = json.loads(kept.read_text())
    secrets = {secret, token, desk.secret, "fake-default-secret"}
    if way == "endpoint":
        secrets.add(environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
        secrets.add(environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"].rpartition("/")[2])
    # The search finds what is there: us, where we are still, and the child.
    assert way == "env" or f"exec reader --via {way}" in seen
    assert str(kept) in seen
    assert "AssumeRole" in err
    for one in secrets:
        assert len(one) > 10
        assert one not in seen
        assert one not in err
