"""with_s5cmd.py SECONDS S5CMD: copy and list objects, with one process told line by line."""

from __future__ import annotations

import subprocess
import sys

from pace import BUCKET, URL, again_and_again

s5cmd = subprocess.Popen(
    [sys.argv[2], "--endpoint-url", URL, "--retry-count", "0", "run"],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
)


def tell(command: str) -> str:
    assert s5cmd.stdin is not None
    assert s5cmd.stdout is not None
    print(command, file=s5cmd.stdin, flush=True)
    said = s5cmd.stdout.readline()
    # It goes on after a failure, without a word on stdout.
    assert said, "s5cmd ended"
    return said


def copy_and_list() -> None:
    assert tell(f"cp {__file__} s3://{BUCKET}/fake-object").startswith("cp ")
    assert tell(f"ls s3://{BUCKET}/").endswith(" fake-object\n")


again_and_again(copy_and_list)
s5cmd.communicate()
sys.exit(s5cmd.returncode)
