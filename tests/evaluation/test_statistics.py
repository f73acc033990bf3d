"""Statistics against numbers computed by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from ship.errors import BadInput
from ship.evaluation.quality import Interval
from ship.evaluation.statistics import (
    Comparison,
    deviation,
    group_mean,
    group_means,
    holm,
    interval,
    paired,
    paired_group_mean,
    task_mean,
)
from ship.report.text import chance

ACCURACIES = {"a": 0.9, "b": 0.7, "c": 0.8, "d": 0.2}
GROUPS = {"a": "natural", "b": "natural", "c": "natural", "d": "structured"}


def hits(share: float, images: int, seeds: int = 1) -> np.ndarray:
    return np.tile(np.arange(images) < share * images, (seeds, 1))


def test_deviation_is_that_of_a_sample():
    """The denominator is n - 1."""
    assert deviation([0.8, 0.9]) == pytest.approx(0.1 / 2**0.5)


def test_one_seed_has_no_deviation():
    """Neither 0 nor nan, which would look like numbers."""
    assert deviation([0.8]) is None


def test_group_mean_weighs_groups_and_task_mean_tasks():
    """On groups of unequal size they are different numbers."""
    assert group_means(ACCURACIES, GROUPS) == pytest.approx({"natural": 0.8, "structured": 0.2})
    assert group_mean(ACCURACIES, GROUPS) == pytest.approx(0.5)
    assert task_mean(ACCURACIES) == pytest.approx(0.65)


def test_means_agree_on_one_group():
    """Then every task weighs the same in both."""
    groups = dict.fromkeys(ACCURACIES, "own")
    assert group_mean(ACCURACIES, groups) == pytest.approx(task_mean(ACCURACIES))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.93])
@pytest.mark.parametrize("seeds", [1, 3])
def test_interval_contains_the_mean_and_narrows_with_images(share, seeds):
    """By the square root of their number."""
    few, many = interval(hits(share, 400, seeds)), interval(hits(share, 6400, seeds))
    assert few.low < share < few.high
    assert few.high - few.low == pytest.approx(4 * (many.high - many.low), rel=0.15)


def test_interval_is_that_of_a_share():
    """For one seed: plus and minus 1.96 standard errors of a binomial."""
    low, high = interval(hits(0.6, 5000))
    assert (high - low) / 2 == pytest.approx(1.96 * (0.6 * 0.4 / 5000) ** 0.5, rel=0.05)


def test_seeds_that_agree_do_not_narrow_the_interval():
    """The same predictions five times are no new evidence."""
    assert interval(hits(0.6, 500, seeds=5)) == pytest.approx(interval(hits(0.6, 500)), abs=0.005)


def test_seeds_that_err_on_other_images_narrow_the_interval():
    """An image's mean over seeds then varies less from image to image."""
    same = np.tile(np.arange(400) % 2 == 0, (2, 1))
    other = np.stack([same[0], ~same[0]])
    assert interval(other) == (0.5, 0.5)
    assert interval(same).low < 0.5 < interval(same).high


def test_seeds_that_differ_widen_the_interval_from_three_on():
    """To Student's t of their means, or differences; two say too little of that, and leave it out."""
    random = np.random.default_rng(5)
    levels = np.array([0.5, 0.6, 0.7])
    three = random.random((3, 20_000)) < levels[:, None]
    for found in (interval(three), paired(three, np.zeros_like(three))):
        assert (found.high - found.low) / 2 == pytest.approx(4.303 * 0.1 / np.sqrt(3), rel=0.05)
    two = interval(random.random((2, 20_000)) < levels[:2, None])
    assert (two.high - two.low) / 2 == pytest.approx(1.96 * np.sqrt(0.55 * 0.45 / 2 / 20_000), rel=0.1)


@pytest.mark.parametrize("deviation", [0.0, 0.005, 0.03])
def test_interval_of_three_seeds_covers_what_it_says(deviation):
    """In 19 of 20 experiments with other seeds and other images, or a little more often."""
    random, covered = np.random.default_rng(8), 0
    for _ in range(400):
        levels = 0.7 + deviation * random.standard_normal((3, 1))
        low, high = interval(random.random((3, 1000)) < levels)
        covered += low <= 0.7 <= high
    assert 0.93 <= covered / 400 <= 1.0


@pytest.mark.parametrize(("images", "share"), [(5, 0.9), (20, 0.95), (100, 0.98), (100, 0.5)])
def test_interval_of_few_images_covers_what_it_says(images, share):
    """By the chances of every number of hits; a bootstrap would cover 40 % of the first."""
    chances = binom(images, share).pmf(np.arange(images + 1))
    covered = [low <= share <= high for low, high in (interval(hits(k / images, images)) for k in range(images + 1))]
    assert chances[covered].sum() > 0.91


def test_few_images_that_are_all_right_do_not_make_it_certain():
    """Five of five say that the accuracy is above a half, and no more."""
    assert interval(hits(1.0, 5)) == pytest.approx((0.566, 1.0), abs=1e-3)


def test_interval_stays_within_what_is_possible():
    """Where seeds differ much."""
    assert interval(np.tile([[True], [True], [False]], 100)) == (0.0, 1.0)


def test_two_methods_share_the_seeds_that_are_drawn():
    """A deviation that both have from seed to seed is none of their difference."""
    random = np.random.default_rng(6)
    shared = random.random((3, 5000)) < np.array([[0.3], [0.5], [0.7]])
    better = shared | (random.random((3, 5000)) < 0.05)
    found = paired(better, shared)
    assert found.low > 0
    assert found.high - found.low < 0.05 < interval(shared).high - interval(shared).low


def test_interval_is_the_same_every_time():
    """Its random numbers have a fixed seed."""
    assert interval(hits(0.6, 300)) == interval(hits(0.6, 300))


@pytest.mark.parametrize("images", [1, 30, 900])
def test_paired_test_of_one_seed_is_mcnemars(images):
    """The binomial test of the images on which exactly one of the two is right."""
    first, second = np.random.default_rng(images).random((2, 1, images)) < np.array([[[0.8]], [[0.7]]])
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    expected = binomtest(only_first, only_first + only_second).pvalue if only_first + only_second else 1.0
    assert paired(first, second).p == pytest.approx(expected, rel=1e-9)


def test_paired_test_of_seeds_counts_all_signs():
    """Against the enumeration of 2^n signs."""
    first, second = np.random.default_rng(3).random((2, 3, 10)) < np.array([[[0.9]], [[0.4]]])
    differences = first.sum(0).astype(int) - second.sum(0)
    sums = np.array([np.dot(signs, differences) for signs in itertools.product((-1, 1), repeat=10)])
    found = paired(first, second)
    assert found.p == pytest.approx(np.mean(np.abs(sums) >= abs(differences.sum())), rel=1e-9)
    assert found.error == pytest.approx((sums / 10 / 3).std())


def test_paired_difference_turns_its_sign_with_the_order():
    """And a method does not differ from itself."""
    first, second = np.random.default_rng(4).random((2, 2, 500)) < np.array([[[0.8]], [[0.7]]])
    forth, back = paired(first, second), paired(second, first)
    assert forth.difference == pytest.approx(first.mean() - second.mean())
    assert (back.difference, back.p) == pytest.approx((-forth.difference, forth.p))
    assert forth.low < forth.difference < forth.high
    assert paired(first, first)[:5] == (0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.mark.parametrize("better", [0.01, 0.05])
def test_group_means_are_compared_as_all_images_are(better):
    """Interval and p are those of images drawn anew, and of random signs, on every task at once."""
    random, groups = np.random.default_rng(7), {"a": "natural", "b": "natural", "c": "structured"}
    images, shares = {"a": 300, "b": 900, "c": 500}, {"a": 0.25, "b": 0.25, "c": 0.5}
    hit = {task: random.random((2, n)) < np.array([[0.7 + better], [0.7]]) for task, n in images.items()}
    found = paired_group_mean({task: paired(one[:1], one[1:]) for task, one in hit.items()}, groups)
    differences = {task: one[0].astype(int) - one[1] for task, one in hit.items()}
    assert found.difference == pytest.approx(sum(shares[task] * d.mean() for task, d in differences.items()))
    drawn = sum(shares[task] * random.choice(d, (4000, len(d))).mean(1) for task, d in differences.items())
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.002)
    signs = sum(shares[t] * (d * random.choice([-1, 1], (4000, len(d)))).mean(1) for t, d in differences.items())
    assert found.p == pytest.approx(np.mean(np.abs(signs) >= abs(found.difference)), abs=0.02)


def test_the_group_mean_of_one_task_is_the_task():
    """Its exact test too; methods that agree on all images do not differ."""
    first, second = np.random.default_rng(8).random((2, 1, 40)) < np.array([[[0.8]], [[0.6]]])
    assert paired_group_mean({"a": paired(first, second)}, {"a": "own"}) == paired(first, second)
    alike = {task: paired(first, first) for task in "ab"}
    assert paired_group_mean(alike, {"a": "own", "b": "own"})[:5] == (0, 0, 0, 1, 0)


VTAB = {"natural": 7, "specialized": 4, "structured": 8}


@pytest.mark.parametrize(("sizes", "width"), [(VTAB, 1.3), ({"natural": 3, "own": 1}, 2.0)])
def test_the_interval_of_group_means_covers_what_it_says(sizes, width):
    """In 19 of 20 experiments of three seeds that deviate by a point, and not because it is wide.

    Seeds err on the same images: where they do not, what is theirs alone counts as images' and as seeds'.
    """
    random, covered, arms, means = np.random.default_rng(9), 0, [], []
    groups = {f"{group}{number}": group for group, size in sizes.items() for number in range(size)}
    for _ in range(100):
        levels = 0.8 + 0.01 * random.standard_normal((len(groups), 2, 3, 1))
        right = random.random((len(groups), 2, 1, 500)) < levels
        found = paired_group_mean({task: paired(*pair) for task, pair in zip(groups, right, strict=True)}, groups)
        covered += found.low <= 0 <= found.high
        arms.append((found.high - found.low) / 2)
        means.append(found.difference)
    assert 0.9 <= covered / 100 <= 1.0
    assert np.mean(arms) < width * 1.96 * np.std(means)


def test_paired_test_refuses_other_images():
    """Hits of other shapes are not pairs."""
    with pytest.raises(BadInput, match="paired test: expected"):
        paired(hits(0.5, 10), hits(0.5, 11))


def test_holm_multiplies_by_what_is_left():
    """Worked by hand; never above one, and in the order of p."""
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def plain(differences):
    """The test of random signs by whole convolutions."""
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = [math.comb(count, k) / 2**count for k in range(count + 1)]
        chances = np.convolve(chances, steps)
    reach = len(chances) // 2
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(differences.sum()))
    return min(1.0, float(chances[far].sum()))


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_cutting_negligible_chances_changes_no_p(seeds):
    """Equal to the plain convolution within 1e-12, for near and far methods."""
    random = np.random.default_rng(seeds)
    for level in (0.5, 0.55, 0.8, 1.0):
        first, second = random.random((seeds, 300)) < level, random.random((seeds, 300)) < 0.5
        differences = first.sum(axis=0).astype(int) - second.sum(axis=0)
        assert paired(first, second).p == pytest.approx(plain(differences), rel=1e-12, abs=1e-300)


def test_a_large_test_split_takes_no_time_and_no_p_is_told_from_less_than_it_can_be():
    """73,728 images and 3 seeds, 55 and 56 % right; and two methods that could not be further apart."""
    random = np.random.default_rng(0)
    near = paired(random.random((3, 73_728)) < 0.56, random.random((3, 73_728)) < 0.55)
    assert 1e-20 < near.p < 1e-3
    far = paired(np.ones((1, 40_000), dtype=bool), np.zeros((1, 40_000), dtype=bool))
    assert far.p < 1e-300
    assert chance(far.p) == "< 1e-300"


def skewed(low, difference, high):
    """A comparison whose arms differ, without seeds."""
    return Comparison(difference, low, high, 0.5, 0.1, 1, Interval(low, high), 0.0)


def test_the_interval_of_a_group_mean_turns_with_the_methods():
    """Its arms are those of the tasks on the same side."""
    groups = {"a": "natural", "b": "natural", "c": "own"}
    one = {"a": skewed(-0.1, 0.1, 0.15), "b": skewed(0.0, 0.02, 0.3), "c": skewed(-0.2, -0.1, 0.05)}
    other = {task: skewed(-found.high, -found.difference, -found.low) for task, found in one.items()}
    ahead, behind = paired_group_mean(one, groups), paired_group_mean(other, groups)
    assert (ahead.low, ahead.high) == pytest.approx((-behind.high, -behind.low))
    assert tuple(ahead.images) == pytest.approx((-behind.images.high, -behind.images.low))


def test_seeds_count_once_in_the_interval_of_a_group_mean():
    """Its part over images is made of the parts over images."""
    one = Comparison(0.0, -0.5, 0.5, 0.5, 0.1, 3, Interval(-0.1, 0.2), 0.01)
    found = paired_group_mean({"a": one, "b": one}, {"a": "natural", "b": "own"})
    assert tuple(found.images) == pytest.approx((-0.1 / 2**0.5, 0.2 / 2**0.5))


def test_seeds_of_many_tasks_say_together_how_they_differ():
    """Two tasks of three seeds that vary alike have four degrees of freedom, of which Student's t is 2.776."""
    one = Comparison(0.0, -0.5, 0.5, 0.5, 0.1, 3, Interval(0.0, 0.0), 0.01)
    found = paired_group_mean({"a": one, "b": one}, {"a": "natural", "b": "own"})
    assert found.high == pytest.approx(2.776 * (0.01 / 2) ** 0.5, rel=1e-3)
