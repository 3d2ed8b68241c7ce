"""deltalake, which is Rust's own SDK: write and read a table that stays open."""

from __future__ import annotations

import pyarrow
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from pace import BUCKET, URL, again_and_again

PATH = f"s3://{BUCKET}/fake-table"
OPTIONS = {"aws_endpoint_url": URL, "aws_allow_http": "true", "max_retries": "0"}
numbers = pyarrow.table({"number": [1, 2, 3]})

write_deltalake(PATH, numbers, storage_options=OPTIONS)
table = DeltaTable(PATH, storage_options=OPTIONS)


def overwrite_and_read() -> None:
    write_deltalake(table, numbers, mode="overwrite")
    # Not with pyarrow: threads of its own, which come back to Python, can abort it at the exit.
    query = QueryBuilder().register("numbers", table)
    assert query.execute("SELECT number FROM numbers").read_all().num_rows == 3


again_and_again(overwrite_and_read)
