"""What a run said of every test image, as it stands in predictions.parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from ship.artifacts import Run
from ship.errors import BadInput


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


def read_outcomes(root: Path, run: Run) -> Outcomes:
    """Those of a run under `root`. Raises BadInput where its file is of an older version, without class names."""
    path = root / run.folder / "predictions.parquet"
    table = pq.read_table(path, columns=["key", "label", "prediction", "probability"], partitioning=None)
    names = (table.schema.metadata or {}).get(b"classes")
    if names is None:
        raise BadInput(f"{path}: expected the names of the classes in it, found none (ship train {run})")
    labels, predicted, confidences = (table[name].to_numpy() for name in ("label", "prediction", "probability"))
    return Outcomes(table["key"].to_pylist(), labels, predicted, confidences, json.loads(names))
