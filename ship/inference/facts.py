"""How good an exported model is, by what its run said of the test images: for the card and for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ship.artifacts import NOTICES, TASK
from ship.data.reading import read_labels
from ship.evaluation.outcomes import Outcomes
from ship.evaluation.quality import balanced_accuracy, by_class, wilson
from ship.experiment import records
from ship.experiment.length import TRAINING
from ship.experiment.records import read_record
from ship.storage import sha256

Counts = dict[str, npt.NDArray[np.int64]]
"""by split: the number of images of each of C classes, (C,)"""


def evaluation(found: Outcomes, counts: Counts) -> dict[str, Any]:
    """What is said of the predictions that were `found`; what nobody knows, or is a figure of nothing, is None.

    `interval` is that of the accuracy, over test images; `classes` are in the order of the logits.
    """
    table = by_class(found.labels, found.predicted, len(found.classes))
    trained = np.sum([counts[split] for split in TRAINING], axis=0).tolist() if {*TRAINING} <= counts.keys() else None
    rows = zip(
        found.classes,
        trained or [None] * len(table),
        table["support"].tolist(),
        *(map(_number, table[measure]) for measure in ("recall", "precision")),
        strict=True,
    )
    names = ("class", "training_images", "test_images", "recall", "precision")
    return {
        "interval": [round(end, 6) for end in wilson(float(found.hits.mean()), len(found.keys))],
        "balanced_accuracy": round(balanced_accuracy(table), 6),
        "images": {split: int(part.sum()) for split, part in counts.items()},
        "classes": [dict(zip(names, row, strict=True)) for row in rows],
    }


def counted(folder: Path, digests: Mapping[str, str], classes: int) -> Counts:
    """The images of each split in the prepared `folder` that has the digest of the run's own; others are left out."""
    files = {split: folder / f"{split}.parquet" for split in digests}
    own = {split: path for split, path in files.items() if path.is_file() and sha256(path) == digests[split]}
    return {split: np.bincount(read_labels(path), minlength=classes) for split, path in own.items()}


def warned_of(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """What `prepare` warned of, of the images in `folder`; nothing where they are not those of the run."""
    task, notices = folder / TASK, folder / NOTICES
    if not (task.is_file() and notices.is_file()):
        return []
    splits = read_record(task, records.Task)["splits"]
    own = {split: about["sha256"] for split, about in splits.items()} == digests
    return read_record(notices, records.Notices).get("warnings", []) if own else []


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
