"""What is measured of every run beyond its accuracy, and of every class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ship.artifacts import Run
from ship.evaluation.outcomes import Outcomes
from ship.evaluation.quality import balanced_accuracy, by_class, macro_f1, reliability

MEASURES = ("balanced_accuracy", "macro_f1", "calibration_error")
CLASSES = Path("results", "classes.csv")
PLACE = ["backbone", "task", "method", "class"]


class Measured(NamedTuple):
    """Of the predictions of one run."""

    measures: dict[str, float]
    """by the names of MEASURES"""
    classes: pd.DataFrame
    """a row a class: whose run it is, precision, recall, F1 and support"""


def measure(run: Run, found: Outcomes) -> Measured:
    """What a run's predictions say of it and of each class."""
    table = by_class(found.labels, found.predicted, len(found.classes))
    values = balanced_accuracy(table), macro_f1(table), reliability(found.hits, found.confidences).error
    whose = table.assign(**run._asdict(), **{"class": found.classes})
    return Measured(dict(zip(MEASURES, values, strict=True)), whose)


def over_seeds(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """A row a backbone, task, method and class, of the `classes` of runs: means over seeds, and support.

    Those of a class without test images are empty.
    """
    means = pd.concat(tables).groupby(PLACE, sort=False)[["precision", "recall", "f1", "support"]].mean()
    return means.reset_index().astype({"support": "int64"})
