"""What the page says of the classes of each task: which are confused, how each fares, and what is surely mistaken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from ship.artifacts import Run, data_folder
from ship.report import figures
from ship.report.classes import MEASURES
from ship.report.outcomes import Outcomes, read_outcomes
from ship.report.quality import confusion, reliability
from ship.report.thumbnails import ROOM, thumbnails

MISTAKES = 12  # that are shown
PAIRS = 15  # of confused classes
SQUARE = 20  # classes of a matrix


class Mistake(NamedTuple):
    """An image of the class `actual` that is taken for one of the class `said`."""

    actual: str
    said: str
    confidence: float
    picture: str
    """a URL that holds it"""


def inspected(root: Path, table: pd.DataFrame, classes: pd.DataFrame, shown: Sequence[Run]) -> list[dict[str, Any]]:
    """A part for each task of the `table`, of its most accurate row, as far as its predictions lie under `root`.

    `classes` is what `aggregate` left of all classes. Confusion and confidence are of all seeds, mistakes of the first.
    """
    parts = []
    for task, rows in table.groupby("task", sort=False):
        best = rows.iloc[int(rows["accuracy"].to_numpy().argmax())]
        place = {axis: str(best[axis]) for axis in ("backbone", "task", "method")}
        runs = [run for run in shown if run[:3] == tuple(place.values())]
        if runs and all((root / run.folder / "predictions.parquet").exists() for run in runs):
            own = classes[(classes[list(place)] == pd.Series(place)).all(axis=1)].to_dict("records")
            measures = {measure: float(best[measure]) for measure in ("accuracy", *MEASURES)}
            seen = _seen(root, str(task), runs, ROOM // (MISTAKES * table["task"].nunique()))
            parts.append({**place, "measures": measures, "classes": own, **seen})
    return parts


def _seen(root: Path, task: str, runs: Sequence[Run], room: int) -> dict[str, Any]:
    """What the predictions of all seeds, and those of the first, show; pictures of at most `room` characters."""
    found = [read_outcomes(root, run) for run in runs]
    names, every = found[0].classes, len(found[0].classes)
    counts = np.sum([confusion(one.labels, one.predicted, every) for one in found], axis=0)
    hits = np.concatenate([one.hits for one in found])
    trust = reliability(hits, np.concatenate([one.confidences for one in found]))
    split = root / data_folder(task) / "test.parquet"
    return {
        "seeds": len(runs),
        "pairs": pairs(counts, names),
        "matrix": matrix(counts, names),
        "reliability": Markup(figures.reliability(trust, task)),  # noqa: S704  # matplotlib has escaped its texts
        "mistakes": mistakes(found[0], split, room) if split.exists() else [],
    }


def pairs(counts: npt.NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent confusions: what an image is, what it is taken for, how often, and the share of its class."""
    wrong = _confused(counts)
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    places = [divmod(int(place), len(counts)) for place in order if wrong.flat[place]]
    totals = counts.sum(axis=1)
    return [
        {"actual": names[i], "said": names[j], "count": int(wrong[i, j]), "share": float(wrong[i, j] / totals[i])}
        for i, j in places
    ]


def _confused(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The counts (C, C) without those of the right class."""
    return counts * (1 - np.eye(len(counts), dtype=np.int64))


def matrix(counts: npt.NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """The confusion matrix, of at most SQUARE classes: where there are more, of those that are confused most often."""
    wrong = _confused(counts)
    order = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")
    chosen = sorted(int(place) for place in order[:SQUARE])
    totals = np.maximum(counts.sum(axis=1), 1)
    rows = [
        {"name": names[i], "cells": [{"count": int(counts[i, j]), "share": counts[i, j] / totals[i]} for j in chosen]}
        for i in chosen
    ]
    return {"names": [names[i] for i in chosen], "rows": rows, "all": len(chosen) == len(counts)}


def mistakes(found: Outcomes, split: Path, room: int = ROOM) -> list[Mistake]:
    """The most confident of a run's mistakes, with pictures of `room` characters from the prepared test images."""
    (wrong,) = np.nonzero(~found.hits)
    worst = wrong[np.argsort(-found.confidences[wrong], kind="stable")[:MISTAKES]].tolist()
    pictures = thumbnails(split, [found.keys[i] for i in worst], room)
    return [
        Mistake(
            found.classes[found.labels[i]],
            found.classes[found.predicted[i]],
            float(found.confidences[i]),
            pictures[found.keys[i]],
        )
        for i in worst
        if found.keys[i] in pictures
    ]
