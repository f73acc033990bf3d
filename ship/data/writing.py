"""The parquet file of a split, written and hashed in passing. Loads no torch."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ship.data.columns import numbers, pieces, words
from ship.data.sources.splits import Item

SCHEMA = pa.schema([("key", pa.string()), ("image", pa.binary()), ("label", pa.int64())])
GROUP_ROWS = 256  # images in memory at once, here and when a split is streamed
PIECE = 2**18  # bytes that are written at once
Group = tuple[Sequence[Item], Sequence[bytes]]


def write_groups(file: Pieces, groups: Iterable[Group], schema: pa.Schema) -> None:
    """Write `groups` of images, each while the next one is read. Without compression: images are compressed."""
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(file, schema, **plain) as writer, ThreadPoolExecutor(1) as meanwhile:
        last: Future[None] | None = None
        for rows, images in groups:
            table = _table(rows, images, schema)
            if last:
                last.result()
            last = meanwhile.submit(writer.write_table, table, GROUP_ROWS)
        if last:
            last.result()


class Pieces(io.FileIO):
    """A file to be written whose large writes are made of small ones, which the kernel takes faster."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb")
        self._digest = hashlib.sha256()

    def hexdigest(self) -> str:
        """The sha256 of all that was written."""
        return self._digest.hexdigest()

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        self._digest.update(view)
        for start in range(0, len(view), PIECE):
            piece = view[start : start + PIECE]
            while piece:
                piece = piece[super().write(piece) :]
        return len(view)


def _table(rows: Sequence[Item], images: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    """Images as rows."""
    keys, labels = words([row.key for row in rows]), numbers(np.array([row.label for row in rows], dtype=np.int64))
    return pa.Table.from_arrays([keys, pieces(images, pa.binary()), labels], schema=schema)
