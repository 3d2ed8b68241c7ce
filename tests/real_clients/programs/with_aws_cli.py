"""with_aws_cli.py SECONDS AWS: a command after the other, and one that lives through all of it.

That one asks every five seconds for an object, which is put there at the end.
"""

from __future__ import annotations

import subprocess
import sys

from pace import BUCKET, URL, again_and_again

# A start of it costs most of a second.
PAUSE_SECONDS = 2.0
# Version 2.9 does not know AWS_ENDPOINT_URL.
AWS = [sys.argv[2], "--endpoint-url", URL, "--output", "json"]


def aws(*words: str) -> list[str]:
    return [*AWS, *words, "--bucket", BUCKET]


def run(*words: str) -> None:
    subprocess.run(aws(*words), stdout=subprocess.DEVNULL, check=True)


run("s3api", "put-object", "--key", "fake-object")
with subprocess.Popen(aws("s3api", "wait", "object-exists", "--key", "fake-last")) as waits:
    try:
        again_and_again(lambda: run("s3api", "list-objects-v2"), PAUSE_SECONDS)
        assert waits.poll() is None, f"the command that waits ended with {waits.returncode}"
        run("s3api", "put-object", "--key", "fake-last")
        code = waits.wait(timeout=20)
    finally:
        waits.terminate()
sys.exit(code)
