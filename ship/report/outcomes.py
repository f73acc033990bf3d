"""The runs of an experiment, and what each left: what it says of itself, and of every test image."""

from __future__ import annotations

import json
from itertools import product, starmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from ship.artifacts import LOG, PREDICTIONS, RESULT, Run
from ship.errors import BadInput
from ship.experiment import records
from ship.experiment.params import Params
from ship.experiment.records import read_record

WATCHED = "best_test_epoch_accuracy"  # of a run, where the protocol looks at test after every epoch


def expected_runs(params: Params) -> list[Run]:
    """Every run of the grid, in its order; seeds ascend."""
    grid = params.grid
    return list(starmap(Run, product(grid.backbones, grid.tasks, grid.methods, sorted(grid.seeds))))


def missing_runs(params: Params, root: Path = Path()) -> list[Run]:
    """The runs of the grid that have not left all that the tables are made of under `root`."""
    return [run for run in expected_runs(params) if not all((root / file).exists() for file in files_of(run))]


def files_of(run: Run) -> tuple[Path, ...]:
    """The files of a run that the tables are made of."""
    return run.folder / RESULT, run.folder / PREDICTIONS, run.folder / LOG


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


def read_about(root: Path, run: Run) -> dict[str, Any]:
    """The run.json of a run under `root`. Raises BadInput where it is none."""
    return read_record(root / run.folder / RESULT, records.Run, f"ship train {run}")


def read_outcomes(root: Path, run: Run) -> Outcomes:
    """Those of a run under `root`. Raises BadInput where its file is broken, or of an older version."""
    path = root / run.folder / PREDICTIONS
    try:
        table = pq.read_table(path, columns=["key", "label", "prediction", "probability"], partitioning=None)
        classes: list[str] = json.loads((table.schema.metadata or {}).get(b"classes", b"null"))
    except (OSError, ValueError) as error:
        got = " ".join(str(error).split())
        raise BadInput(f"{path}: expected what a run predicted, got: {got} (ship train {run})") from None
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise BadInput(f"{path}: expected the names of the classes in it, found none (ship train {run})")
    labels, predicted, confidences = (table[name].to_numpy() for name in ("label", "prediction", "probability"))
    if not (len(table) and all(_between(part, len(classes) - 1, "iu") for part in (labels, predicted))):
        raise BadInput(f"{path}: expected labels of its {len(classes)} classes, got others (ship train {run})")
    if not _between(confidences, 1, "f"):
        raise BadInput(f"{path}: expected probabilities in 0-1, got others (ship train {run})")
    return Outcomes(table["key"].to_pylist(), labels, predicted, confidences, classes)


def _between(values: npt.NDArray[Any], top: int, kinds: str) -> bool:
    """Whether a column is of one of these kinds of numbers, all from 0 to `top`."""
    return values.dtype.kind in kinds and bool((values >= 0).all() and (values <= top).all())
