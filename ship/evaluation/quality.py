"""How good predictions are: how sure their accuracy is, class by class, as probabilities. Pure functions of numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

BINS = 15  # of equal width, as in Guo et al., ICML 2017
SCORE = 1.959963984540054  # 95 % of a normal distribution lies within as many deviations of its mean

Labels = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """Where an accuracy lies."""

    low: float
    high: float


class Reliability(NamedTuple):
    """Of the images in each of BINS bins of confidence; nan where there are none."""

    counts: Labels
    confidences: Numbers
    """their mean"""
    accuracies: Numbers

    @property
    def error(self) -> float:
        """Expected calibration error: how far confidence is from accuracy, mean over images."""
        gaps = np.abs(self.confidences - self.accuracies)
        return float(np.nansum(self.counts * gaps) / self.counts.sum())


def wilson(share: float, count: float) -> Interval:
    """Wilson's score interval of a share of `count` images: it covers 95 % of few images too, or of a share of 1."""
    part = SCORE**2 / count
    centre = (share + part / 2) / (1 + part)
    arm = SCORE * math.sqrt(share * (1 - share) / count + (part / 2 / SCORE) ** 2) / (1 + part)
    return Interval(max(0.0, centre - arm), min(1.0, centre + arm))


def by_class(labels: Labels, predicted: Labels, classes: int) -> pd.DataFrame:
    """A row for each of the C classes: `precision`, `recall`, `f1`, and `support`, the number of its images.

    A class without images has none of the three (nan); one that is never predicted has a precision of 0.
    """
    counts = confusion(labels, predicted, classes)
    hits, support, taken = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    shares = (hits / np.maximum(taken, 1), hits / np.maximum(support, 1), 2 * hits / np.maximum(taken + support, 1))
    there = (np.where(support > 0, share, np.nan) for share in shares)
    return pd.DataFrame(dict(zip(("precision", "recall", "f1"), there, strict=True)) | {"support": support})


def balanced_accuracy(table: pd.DataFrame) -> float:
    """Mean recall over the classes that have test images, from `by_class`."""
    return float(table["recall"].mean())


def macro_f1(table: pd.DataFrame) -> float:
    """Mean F1 over the classes that have test images, from `by_class`."""
    return float(table["f1"].mean())


def confusion(labels: Labels, predicted: Labels, classes: int) -> npt.NDArray[np.int64]:
    """Counts (C, C): rows are what images are, columns what they are taken for."""
    counts: npt.NDArray[np.int64] = np.bincount(labels * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def reliability(hits: npt.NDArray[np.bool_], confidences: npt.NDArray[np.floating]) -> Reliability:
    """Confidence against accuracy, bin by bin; a bin has its upper end."""
    place = np.clip(np.ceil(confidences.astype(np.float64) * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        sums = [np.bincount(place, weights=values, minlength=BINS) / counts for values in (confidences, hits)]
    return Reliability(counts, *sums)
