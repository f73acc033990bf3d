"""What the page says of the classes of each task: which are confused, how each fares, and what is surely mistaken."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from ship.artifacts import MISTAKES, PREDICTIONS, Run, split_file
from ship.evaluation.outcomes import Outcomes
from ship.evaluation.quality import confusion, reliability
from ship.report import figures
from ship.report.classes import MEASURES
from ship.report.looks import Look, Seen, read_looks
from ship.report.runs import read_predictions
from ship.report.thumbnails import ROOM, Picture, thumbnails

PICKS = 4  # mistakes of a further row, which picks tokens
PAIRS = 15  # of confused classes
SQUARE = 20  # classes of a matrix


class Mistake(NamedTuple):
    """An image of the class `actual` that is taken for one of the class `said`, and what was looked at in it."""

    actual: str
    said: str
    confidence: float
    picture: Picture
    look: Look


def inspected(root: Path, table: pd.DataFrame, classes: pd.DataFrame, shown: Sequence[Run]) -> list[dict[str, Any]]:
    """A part for each task of the `table`, of its most accurate row, as far as its predictions lie under `root`.

    `classes` is what `aggregate` left of all classes. Confusion and confidence are of all seeds, mistakes of the first.
    """
    parts = []
    room = ROOM // ((MISTAKES + PICKS) * table["task"].nunique())
    firsts = {run.row: run for run in reversed(shown)}
    for task, rows in table.groupby("task", sort=False):
        ordered = rows.sort_values("accuracy", ascending=False, kind="stable")
        best = ordered.iloc[0]
        place = {axis: str(best[axis]) for axis in ("backbone", "task", "method")}
        runs = [run for run in shown if run.row == tuple(place.values())]
        if runs and all((root / run.folder / PREDICTIONS).exists() for run in runs):
            own = classes[(classes[list(place)] == pd.Series(place)).all(axis=1)].to_dict("records")
            measures = {measure: float(best[measure]) for measure in ("accuracy", *MEASURES)}
            names = ordered[["backbone", "task", "method"]].itertuples(index=False, name=None)
            mistaken = _mistaken(root, str(task), [firsts[name] for name in names if name in firsts], room)
            about = {"measures": measures, "classes": own, "mistaken": mistaken}
            parts.append({**place, **about, **_seen(root, runs, str(task))})
    return parts


def _seen(root: Path, runs: Sequence[Run], task: str) -> dict[str, Any]:
    """What the predictions of all seeds show."""
    found = [read_predictions(root, run) for run in runs]
    names, every = found[0].classes, len(found[0].classes)
    counts = np.sum([confusion(one.labels, one.predicted, every) for one in found], axis=0)
    hits = np.concatenate([one.hits for one in found])
    trust = reliability(hits, np.concatenate([one.confidences for one in found]))
    return {
        "seeds": len(runs),
        "pairs": pairs(counts, names),
        "matrix": matrix(counts, names),
        "reliability": Markup(figures.reliability(trust, task)),  # noqa: S704  # matplotlib has escaped its texts
    }


def _mistaken(root: Path, task: str, runs: Sequence[Run], room: int) -> list[dict[str, Any]]:
    """The most confident mistakes of the first of the `runs`, and what was looked at in them.

    Where that run picks no tokens, a few mistakes of the first that does, too.
    """
    split = root / split_file(task, "test")
    looked = ((run, read_looks(root, run)) for run in runs)
    shown = [next(looked)] if split.exists() else []
    if shown and not shown[0][1].picks:
        shown += islice(((run, seen) for run, seen in looked if seen.picks), 1)
    return [
        {
            **run._asdict(),
            "about": {**seen.about, "picks": seen.picks},
            "mistakes": mistakes(read_predictions(root, run), seen, split, most, room),
        }
        for (run, seen), most in zip(shown, (MISTAKES, PICKS), strict=False)
        if seen.images
    ]


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


def mistakes(found: Outcomes, seen: Seen, split: Path, most: int = MISTAKES, room: int = ROOM) -> list[Mistake]:
    """At most so many of the mistakes that a run left, with pictures of `room` characters of the prepared images."""
    keys = list(seen.images)[:most]
    rows, pictures = dict(zip(found.keys, range(len(found.keys)), strict=True)), thumbnails(split, keys, room)
    shown = [(key, rows[key]) for key in keys if key in pictures]
    return [
        Mistake(
            found.classes[found.labels[row]],
            found.classes[found.predicted[row]],
            float(found.confidences[row]),
            pictures[key],
            seen.look(key),
        )
        for key, row in shown
    ]
