"""Answers as rows of a table, CSV or parquet, written as they come."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from ship.errors import BadInput
from ship.inference.files import Answer
from ship.storage import replacing

Put = Callable[[Answer], None]
GROUP_ROWS = 1024
DIGITS = 4  # of a probability in CSV


class Columns:
    """path, class, probability; class_2, probability_2 ... up to `top`; then, if wanted, p(NAME) of every class."""

    def __init__(self, classes: list[str], top: int = 1, every: bool = False) -> None:
        if not 1 <= top <= len(classes):
            raise BadInput(f"--top: expected 1 to {len(classes)}, the number of classes, got {top}")
        self.classes, self.top, self.every = classes, top, every
        more = [f"{name}_{rank}" for rank in range(2, top + 1) for name in ("class", "probability")]
        self.names = ["path", "class", "probability", *more, *(f"p({name})" for name in classes if every)]

    def row(self, answer: Answer) -> list[str | float]:
        """The values of an answer, in the order of `names`."""
        values, chosen = answer.probabilities.topk(self.top)
        pairs = zip(chosen.tolist(), values.tolist(), strict=True)
        ranked = [part for label, value in pairs for part in (self.classes[label], value)]
        return [str(answer.path), *ranked, *(answer.probabilities.tolist() if self.every else [])]


@contextmanager
def to_csv(file: TextIO, columns: Columns) -> Iterator[Put]:
    """A function that writes an answer to `file`, where it can be read at once."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns.names)

    def put(answer: Answer) -> None:
        row = columns.row(answer)
        writer.writerow([f"{value:.{DIGITS}f}" if isinstance(value, float) else value for value in row])
        file.flush()

    yield put


@contextmanager
def to_parquet(path: Path, columns: Columns) -> Iterator[Put]:
    """A function that takes an answer; the file at `path` is there when the block ends well."""
    kinds = [pa.string() if name == "path" or name.startswith("class") else pa.float32() for name in columns.names]
    schema = pa.schema(zip(columns.names, kinds, strict=True))
    rows: list[list[str | float]] = []
    with replacing(path) as draft, pq.ParquetWriter(draft, schema) as writer:

        def flush() -> None:
            writer.write_table(pa.table(list(map(list, zip(*rows, strict=True))), schema=schema))
            rows.clear()

        def put(answer: Answer) -> None:
            rows.append(columns.row(answer))
            if len(rows) == GROUP_ROWS:
                flush()

        yield put
        if rows:
            flush()


@contextmanager
def to_file(path: Path, columns: Columns) -> Iterator[Put]:
    """As `to_csv` or `to_parquet`, by the suffix of `path`; the file is there when the block ends well."""
    if path.suffix.lower() == ".parquet":
        with to_parquet(path, columns) as put:
            yield put
    elif path.suffix.lower() == ".csv":
        with (
            replacing(path) as draft,
            draft.open("w", encoding="utf-8", newline="") as file,
            to_csv(file, columns) as put,
        ):
            yield put
    else:
        raise BadInput(f"--out: expected a file .csv or .parquet, got {path}")
