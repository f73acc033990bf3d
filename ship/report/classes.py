"""What is measured of every run beyond its accuracy, and of every class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ship.artifacts import Run
from ship.report.outcomes import Outcomes, read_outcomes
from ship.report.quality import balanced_accuracy, by_class, macro_f1, reliability

MEASURES = ("balanced_accuracy", "macro_f1", "calibration_error")
CLASSES = Path("results", "classes.csv")
PLACE = ["backbone", "task", "method", "class"]


class Judged(NamedTuple):
    """Of the runs that were given, in their order."""

    measures: pd.DataFrame
    """a row a run: MEASURES"""
    classes: pd.DataFrame
    """a row a backbone, task, method and class: precision, recall and F1, means over seeds, and support"""


def judge(root: Path, runs: Sequence[Run]) -> Judged:
    """What the predictions under `root` say of each run and of each class."""
    measures, tables = [], []
    for run in runs:
        found = read_outcomes(root, run)
        table = by_class(found.labels, found.predicted, len(found.classes))
        measures.append(_measures(found, table))
        tables.append(table.assign(**run._asdict(), **{"class": found.classes}))
    means = pd.concat(tables).groupby(PLACE, sort=False)[["precision", "recall", "f1", "support"]].mean()
    return Judged(pd.DataFrame(measures), means.reset_index().astype({"support": "int64"}))


def _measures(found: Outcomes, table: pd.DataFrame) -> dict[str, Any]:
    error = reliability(found.labels == found.predicted, found.confidences).error
    return dict(zip(MEASURES, (balanced_accuracy(table), macro_f1(table), error), strict=True))
