"""with_rclone.py SECONDS RCLONE: copy and list files, with one server that does what it is told.

Not a long ``rclone copy``: it would have to be slowed down between signing and sending.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from itertools import count
from pathlib import Path
from typing import Any

from pace import BUCKET, URL, again_and_again

ENVIRON = {
    "RCLONE_CONFIG": "/dev/null",
    "RCLONE_CONFIG_FAKE_TYPE": "s3",
    "RCLONE_CONFIG_FAKE_PROVIDER": "Other",
    "RCLONE_CONFIG_FAKE_ENV_AUTH": "true",
    "RCLONE_CONFIG_FAKE_ENDPOINT": URL,
    "RCLONE_CONFIG_FAKE_REGION": os.environ["AWS_REGION"],
    "RCLONE_CONFIG_FAKE_NO_CHECK_BUCKET": "true",
    # A second try would hide that the first was refused.
    "RCLONE_LOW_LEVEL_RETRIES": "1",
    "RCLONE_RETRIES": "1",
}
numbers = count(1)

with tempfile.TemporaryDirectory() as folder:
    Path(folder, "fake-file").write_text("hello")
    rclone = subprocess.Popen(
        [sys.argv[2], "rcd", "--rc-addr", "127.0.0.1:0", "--rc-no-auth"],
        env={**os.environ, **ENVIRON},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert rclone.stderr is not None
    served = re.search(r"http://127\.0\.0\.1:\d+/", rclone.stderr.readline())
    assert served is not None, rclone.stderr.readline()
    threading.Thread(target=sys.stderr.writelines, args=(rclone.stderr,), daemon=True).start()

    def tell(command: str, **arguments: object) -> Any:
        request = urllib.request.Request(
            f"{served[0]}{command}",
            data=json.dumps(arguments).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def copy_and_list() -> None:
        number = next(numbers)
        to = {"dstFs": f"fake:{BUCKET}", "dstRemote": f"fake-{number}"}
        tell("operations/copyfile", srcFs=folder, srcRemote="fake-file", **to)
        # Else it asks about each of them.
        quick = {"noModTime": True, "noMimeType": True}
        listed = tell("operations/list", fs=f"fake:{BUCKET}", remote="", opt=quick)["list"]
        assert len(listed) == number, listed

    try:
        again_and_again(copy_and_list)
    finally:
        rclone.terminate()
        rclone.wait()
