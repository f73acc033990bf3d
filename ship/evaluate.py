"""Statistics of accuracies: means, deviations, intervals. Pure functions of numbers; accuracies are 0-1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ship.errors import BadInput

GROUPS = ("natural", "specialized", "structured", "own")


class Interval(NamedTuple):
    """Where an accuracy lies."""

    low: float
    high: float


def accuracy(labels: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> float:
    """Share of the n images whose prediction (n,) is their label (n,)."""
    if labels.shape != predictions.shape or not labels.size:
        raise BadInput(f"predictions: expected one a label {labels.shape}, and any at all, got {predictions.shape}")
    return float(np.mean(labels == predictions))


def mean_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and sample standard deviation (n - 1): None where there is one value, which deviates from nothing."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def group_means(accuracies: Mapping[str, float], groups: Mapping[str, str]) -> dict[str, float]:
    """Mean over the tasks of each group that is present, in the order of GROUPS; `groups` maps a task to its group."""
    members = {group: [a for task, a in accuracies.items() if groups[task] == group] for group in GROUPS}
    return {group: fmean(values) for group, values in members.items() if values}


def group_mean(accuracies: Mapping[str, float], groups: Mapping[str, str]) -> float:
    """Mean of the group means: every group present weighs the same. On VTAB-1k, the mean of three numbers."""
    return fmean(group_means(accuracies, groups).values())


def task_mean(accuracies: Mapping[str, float]) -> float:
    """Mean over tasks: every task weighs the same. On VTAB-1k, the mean of 19; not the group mean."""
    return fmean(accuracies.values())


def interval(hits: npt.NDArray[np.bool_], level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Bootstrap percentile interval of the mean accuracy over seeds, from hits (S, n) of S seeds on the same n images.

    Images are resampled, seeds are not: an image keeps its hits of all seeds. So the interval says what another test
    split would change, not what other seeds would; the deviation over seeds says that. An image counts k/S, k of S
    seeds being right, so resampling n images is one multinomial draw over the S + 1 values of k. Where all images
    agree the interval has no width: a percentile bootstrap sees no variance there.
    """
    seeds, images = hits.shape
    counts = np.bincount(hits.sum(axis=0), minlength=seeds + 1)
    draws = np.random.default_rng(seed).multinomial(images, counts / images, size=resamples)
    means = draws @ np.arange(seeds + 1) / (images * seeds)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
