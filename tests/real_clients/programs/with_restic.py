"""with_restic.py SECONDS RESTIC: one backup of what comes in slowly, with commands beside it."""

from __future__ import annotations

import os
import subprocess
import sys

from pace import BUCKET, URL, again_and_again

# Each command derives a key, which is made to be slow.
PAUSE_SECONDS = 2.0
#: In MiB: the least it makes of what it uploads at once.
PACK = "4"
# As much as is certain to be more than one pack's worth in a few rounds.
SOME_BYTES = 3_000_000
RESTIC = [sys.argv[2], "--no-cache", "--repo", f"s3:{URL}/{BUCKET}"]
ENVIRON = {**os.environ, "RESTIC_PASSWORD": "fake-password"}


def run(*words: str) -> None:
    subprocess.run([*RESTIC, *words], env=ENVIRON, stdout=subprocess.DEVNULL, check=True)


run("init")
with subprocess.Popen(
    [*RESTIC, "backup", "--pack-size", PACK, "--stdin"],
    env=ENVIRON,
    stdin=subprocess.PIPE,
    stdout=subprocess.DEVNULL,
) as backup:

    def feed() -> None:
        assert backup.stdin is not None
        backup.stdin.write(os.urandom(SOME_BYTES))
        backup.stdin.flush()
        run("cat", "config", "--no-lock")

    again_and_again(feed, PAUSE_SECONDS)
assert backup.returncode == 0, f"the backup ended with {backup.returncode}"
run("check")
