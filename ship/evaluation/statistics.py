"""Statistics of accuracies: means, deviations, intervals, tests. Pure functions of numbers; accuracies are 0-1."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from ship.errors import BadInput
from ship.evaluation.quality import Interval, wilson

RESAMPLES = 10_000
ENOUGH_SEEDS = 3  # seeds that say how others would differ; of fewer, a deviation says next to nothing
NEGLIGIBLE = 1e-300  # no smaller chance is told from 0
GROUPS = ("natural", "specialized", "structured", "own")


class Comparison(NamedTuple):
    """One method against another on the same images."""

    difference: float
    """of the mean accuracies, first minus second"""
    low: float
    high: float
    p: float
    """two-sided, of no difference; not yet corrected for other comparisons"""
    error: float
    """standard deviation of the difference, if there is none and the images' differences have random signs"""
    seeds: int
    images: Interval
    """of the difference, over test images alone"""
    variance: float
    """of the difference, over seeds; 0 where there are too few to say"""


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1); None where there is one value, which deviates from nothing."""
    return stdev(values) if len(values) > 1 else None


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


def interval(hits: npt.NDArray[np.bool_]) -> Interval:
    """95 % interval of the mean accuracy over S seeds, from their hits (S, n) on the same images.

    It says what another test split and, from ENOUGH_SEEDS on, other seeds would change; of fewer, it speaks of the test
    split alone. Over images it is Wilson's (1927), of as many images as would vary like these with one seed.
    """
    mean, varied, count = float(hits.mean()), float(hits.mean(axis=0).var()), float(hits.shape[1])
    if 0 < mean < 1:
        count *= mean * (1 - mean) / varied if varied else math.inf
    return _around(mean, wilson(mean, count), _variance(hits), len(hits) - 1, least=0)


def paired(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> Comparison:
    """Difference in accuracy, its 95 % interval, and an exact test, from hits (S, n) each.

    The interval is a percentile bootstrap over images and, as that of `interval`, Student's t over seeds.
    An image's difference is the number of seeds that are right with the first method less that with the second. The
    test is that of random signs: were the methods alike, each image's difference would as likely be its negative.
    With one seed it is McNemar's exact test. It speaks of other images and takes the seeds as given; the interval
    speaks of seeds, too, where there are enough: a seed is a run of the first and one of the second.
    """
    if first.shape != second.shape or not first.size:
        raise BadInput(f"paired test: expected hits of the same seeds and images, got {first.shape}, {second.shape}")
    by_seed = first.astype(np.int64) - second.astype(np.int64)
    differences = by_seed.sum(axis=0)
    difference, images, variance = float(differences.mean()) / len(first), _resampled(by_seed), _variance(by_seed)
    low, high = _around(difference, images, variance, len(first) - 1, least=-1)
    error = math.sqrt(int((differences**2).sum())) / differences.size / len(first)
    return Comparison(difference, low, high, _random_signs(differences), error, len(first), images, variance)


def paired_group_mean(tasks: Mapping[str, Comparison], groups: Mapping[str, str]) -> Comparison:
    """Difference of the group means of two methods, from their comparisons on every task; images of tasks are others.

    Of the interval, the part over images is made of those of the tasks: its arms are the roots of their arms' squared
    sums (MOVER; Zou and Donner 2008). The part over seeds is Student's t with the degrees of freedom of Welch and
    Satterthwaite: many tasks say together how seeds differ. The test of random signs takes the sum over tasks for
    normal. With one task it is that task's own.
    """
    if len(tasks) == 1:
        return next(iter(tasks.values()))
    sizes = Counter(groups[task] for task in tasks)
    shares = {task: 1 / len(sizes) / sizes[groups[task]] for task in tasks}

    def arm(lengths: Mapping[str, float]) -> float:
        return math.hypot(*(shares[task] * length for task, length in lengths.items()))

    difference = math.fsum(shares[task] * found.difference for task, found in tasks.items())
    images = Interval(
        difference - arm({task: found.difference - found.images.low for task, found in tasks.items()}),
        difference + arm({task: found.images.high - found.difference for task, found in tasks.items()}),
    )
    parts = {task: shares[task] ** 2 * found.variance for task, found in tasks.items()}
    variance = math.fsum(parts.values())
    squares = math.fsum(part**2 / (tasks[task].seeds - 1) for task, part in parts.items() if part)
    low, high = _around(difference, images, variance, variance**2 / squares if squares else math.inf, least=-1)
    error = arm({task: found.error for task, found in tasks.items()})
    p = math.erfc(abs(difference) / error / math.sqrt(2)) if error else 1.0
    seeds = min(found.seeds for found in tasks.values())
    return Comparison(difference, low, high, p, error, seeds, images, variance)


def holm(values: Sequence[float]) -> list[float]:
    """The p values corrected for their number (Holm 1979), in the order given."""
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected


def _around(mean: float, images: Interval, variance: float, freedom: float, least: float) -> Interval:
    """95 % interval of a mean from `least` to 1, over images, and over seeds by Student's t of their variance.

    The arms of both add as standard deviations do. A bootstrap of three seeds would cover 75 % and not 95.
    """
    arm = float(stdtrit(freedom, 0.975)) * math.sqrt(variance) if variance else 0.0
    low, high = mean - math.hypot(mean - images.low, arm), mean + math.hypot(images.high - mean, arm)
    return Interval(max(least, low), min(1.0, high))


def _variance(values: npt.NDArray[np.generic]) -> float:
    """Of the mean of values (S, n), over seeds; 0 of fewer than ENOUGH_SEEDS."""
    return stdev(values.mean(axis=1).tolist()) ** 2 / len(values) if len(values) >= ENOUGH_SEEDS else 0.0


def _resampled(values: npt.NDArray[np.int64]) -> Interval:
    """95 % interval of the mean of differences (S, n) from -1 to 1, over images: a percentile bootstrap.

    An image's sum over seeds has few values, so resampling n images is a multinomial draw over these.
    """
    seeds, images = values.shape
    counts = np.bincount(values.sum(axis=0) + seeds, minlength=2 * seeds + 1)
    drawn = np.random.default_rng(0).multinomial(images, counts / images, size=RESAMPLES)
    low, high = np.quantile(drawn @ (np.arange(-seeds, seeds + 1) / seeds) / images, [0.025, 0.975]).tolist()
    return Interval(low, high)


def _random_signs(differences: npt.NDArray[np.int64]) -> float:
    """Chance that the sum with random signs is at least as far from 0: the sizes' binomials, convolved.

    Chances below NEGLIGIBLE are cut before each convolution: what is left of n images is some sqrt(n) wide.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        least = max(0, count // 2 - math.ceil(math.sqrt(-math.log(NEGLIGIBLE) * count / 2)))  # Hoeffding: below, cut
        logs = [_log_binomial(count, k) - count * math.log(2) for k in range(least, count - least + 1)]
        steps = _kept(np.exp(np.maximum(logs, math.log(NEGLIGIBLE) - 1)))
        stride = 2 * size  # from -size * count to size * count
        summed = np.zeros(len(chances) + stride * (len(steps) - 1))
        if len(chances) < len(steps):
            for place, chance in enumerate(chances):
                summed[place:][: stride * len(steps) : stride] += chance * steps
        else:
            for place, step in enumerate(steps):
                summed[stride * place :][: len(chances)] += step * chances
        chances = _kept(summed)
    reach = len(chances) // 2
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(differences.sum()))
    return min(1.0, float(chances[far].sum()))


def _kept(chances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Chances of sums that lie symmetrically around 0, without those at either end that are NEGLIGIBLE."""
    (kept,) = np.nonzero(chances >= NEGLIGIBLE)
    cut = min(kept[0], len(chances) - 1 - kept[-1])
    return chances[cut : len(chances) - cut]


def _log_binomial(count: int, chosen: int) -> float:
    return math.lgamma(count + 1) - math.lgamma(chosen + 1) - math.lgamma(count - chosen + 1)
