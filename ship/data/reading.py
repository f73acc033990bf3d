"""Prepared splits as they lie on disk: parquet files of `key`, `image` (encoded) and `label`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ship.artifacts import split_file, task_file
from ship.data.decoding import Reading
from ship.data.digests import once
from ship.errors import BadInput
from ship.experiment import records
from ship.experiment.records import read_record


def open_split(path: Path) -> pq.ParquetFile:
    """A split to be read piece by piece. Raises BadInput where there is none, or something else."""
    sys.audit("open", str(path), "rb", 0)  # as Python's own open does: pyarrow opens files by itself
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: expected a prepared split, found none (ship prepare)") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise broken(path, error) from None


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The same for a while, in which BadInput is raised, too, where what is read is broken."""
    with open_split(path) as file:
        try:
            yield file
        except (pa.ArrowException, KeyError) as error:
            raise broken(path, error) from None
        except OSError as error:
            if error.errno is not None:  # of another file, or of the disk
                raise
            raise broken(path, error) from None


def broken(path: Path, error: Exception) -> BadInput:
    """That a split cannot be read as it lies there."""
    return BadInput(f"{path}: expected a whole parquet file, got {' '.join(str(error).split())} (ship prepare)")


def verified(task: str, split: str) -> str:
    """The sha256 of a prepared split. Raises BadInput where task.json tells of another: nobody knows what it holds."""
    path, told = split_file(task, split), read_record(task_file(task), records.Task)["splits"]
    if not path.exists():
        raise BadInput(f"{path}: expected a prepared split, found none (ship prepare {task})")
    if (digest := once(path)) != told.get(split, {}).get("sha256"):
        raise BadInput(f"{path}: expected what {task_file(task)} tells of, got other bytes (ship prepare {task})")
    return digest


def read_keys(path: Path) -> list[str]:
    """The keys of a split's images, in its order; no image is read."""
    with opened(path) as file:
        found: list[str] = file.read(["key"])["key"].to_pylist()
        return found


def read_labels(*paths: Path) -> np.ndarray:
    """The labels of several splits, (n,) int64, one file after the other; no image is read."""
    found = []
    for path in paths:
        with opened(path) as file:
            found.append(whole_numbers(file.read(["label"])["label"]))
    return np.concatenate(found)


def whole_numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column of whole numbers, (n,) int64; `to_numpy` would import pandas, which takes a third of a second."""
    return np.array(column.to_pylist(), dtype=np.int64)


def read_told(path: Path) -> dict[str, Any]:
    """How the images of a split are to be read where it is not plainly: the keys of `Reading` that differ."""
    with opened(path) as file:
        return _told(file)


def reading_of(file: pq.ParquetFile) -> Reading:
    """How the images of an open split are to be read."""
    return Reading(**_told(file))


def _told(file: pq.ParquetFile) -> dict[str, Any]:
    return dict(json.loads((file.schema_arrow.metadata or {}).get(b"reading", b"{}")))


def read_encoded(path: Path, rows: Sequence[int]) -> tuple[list[bytes], Reading]:
    """The encoded images of these rows, and how they are to be read; groups of other rows are not read."""
    found, first = dict[int, bytes](), 0
    with opened(path) as file:
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            if own := [row for row in rows if first <= row < end]:
                images = file.read_row_group(group, ["image"])["image"]
                found |= {row: images[row - first].as_py() for row in own}
            first = end
        return [found[row] for row in rows], reading_of(file)
