"""The data room: where images come from, and how every task becomes one parquet file per split."""
