"""What a run says of every test image: predictions.parquet, written and read. Loads no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ship.data.columns import numbers, words
from ship.errors import BadInput
from ship.storage import replacing


class Outcomes(NamedTuple):
    """Of n test images and C classes, in the order of the split."""

    keys: list[str]
    labels: npt.NDArray[np.int64]
    """(n,)"""
    predicted: npt.NDArray[np.int64]
    """(n,)"""
    confidences: npt.NDArray[np.float32]
    """(n,), the probability of the predicted class"""
    classes: list[str]
    """the names of the C classes"""

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """(n,), whether the predicted class is the right one."""
        right: npt.NDArray[np.bool_] = self.labels == self.predicted
        return right


def write_outcomes(path: Path, found: Outcomes, every: npt.NDArray[np.float16]) -> None:
    """A row an image, with the probabilities of all classes, (n, C), beside; the names of the classes come with it."""
    columns = {
        "key": words(found.keys),
        "label": numbers(found.labels),
        "prediction": numbers(found.predicted),
        "probability": numbers(found.confidences),
        "probabilities": pa.FixedSizeListArray.from_arrays(numbers(every.ravel()), every.shape[1]),
    }
    table = pa.table(columns, metadata={"classes": json.dumps(found.classes)})
    with replacing(path) as draft:
        pq.write_table(table, draft)


def read_outcomes(path: Path, way_out: str) -> Outcomes:
    """Those of the file. Raises BadInput, with the `way_out`, where it is broken, or of an older version."""
    try:
        table = pq.read_table(path, columns=["key", "label", "prediction", "probability"], partitioning=None)
        classes: list[str] = json.loads((table.schema.metadata or {}).get(b"classes", b"null"))
    except (OSError, ValueError) as error:
        got = " ".join(str(error).split())
        raise BadInput(f"{path}: expected what a run predicted, got: {got} ({way_out})") from None
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise BadInput(f"{path}: expected the names of the classes in it, found none ({way_out})")
    labels, predicted, confidences = (table[name].to_numpy() for name in ("label", "prediction", "probability"))
    if not (len(table) and all(_between(part, len(classes) - 1, "iu") for part in (labels, predicted))):
        raise BadInput(f"{path}: expected labels of its {len(classes)} classes, got others ({way_out})")
    if not _between(confidences, 1, "f"):
        raise BadInput(f"{path}: expected probabilities in 0-1, got others ({way_out})")
    return Outcomes(table["key"].to_pylist(), labels, predicted, confidences, classes)


def _between(values: npt.NDArray[Any], top: int, kinds: str) -> bool:
    """Whether a column is of one of these kinds of numbers, all from 0 to `top`."""
    return values.dtype.kind in kinds and bool((values >= 0).all() and (values <= top).all())
