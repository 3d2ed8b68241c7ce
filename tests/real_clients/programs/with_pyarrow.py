"""pyarrow, which is the C++ SDK: write, read and list files, with one file system."""

from __future__ import annotations

from pace import BUCKET, URL, again_and_again
from pyarrow.fs import AwsStandardS3RetryStrategy, FileSelector, S3FileSystem

files = S3FileSystem(
    endpoint_override=URL, retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1)
)


def write_read_and_list() -> None:
    with files.open_output_stream(f"{BUCKET}/fake-object") as stream:
        stream.write(b"hello")
    with files.open_input_stream(f"{BUCKET}/fake-object") as stream:
        assert stream.read() == b"hello"
    assert [file.base_name for file in files.get_file_info(FileSelector(BUCKET))] == ["fake-object"]


again_and_again(write_read_and_list)
