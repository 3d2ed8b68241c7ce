"""s3fs: write, read and list files, with one file system."""

from __future__ import annotations

import s3fs
from pace import BUCKET, again_and_again

files = s3fs.S3FileSystem(
    use_listings_cache=False, config_kwargs={"retries": {"total_max_attempts": 1}}
)
files.retries = 1  # its own, on top of botocore's


def write_read_and_list() -> None:
    files.pipe_file(f"{BUCKET}/fake-object", b"hello")
    assert files.cat_file(f"{BUCKET}/fake-object") == b"hello"
    assert files.ls(BUCKET) == [f"{BUCKET}/fake-object"]


again_and_again(write_read_and_list)
