"""Figures of predictions on cases that can be counted by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from ship.evaluation.quality import BINS, balanced_accuracy, by_class, confusion, macro_f1, reliability, wilson

LABELS = np.array([0] * 8 + [1] * 2)
PREDICTED = np.array([0] * 8 + [0, 1])


@pytest.mark.parametrize("hits", [0, 1, 5, 9, 10])
def test_the_interval_of_a_share_is_wilsons(hits):
    """As scipy has it, and within 0-1 where all images are right, or none."""
    found = wilson(hits / 10, 10)
    assert found == pytest.approx(binomtest(hits, 10).proportion_ci(method="wilson"), abs=1e-9)
    assert 0 <= found.low < found.high <= 1


def test_a_rare_class_counts_as_much_as_a_common_one():
    """Nine of ten are right, one of the two rare ones is; a class without images counts nowhere."""
    table = by_class(LABELS, PREDICTED, 3)
    assert table["support"].tolist() == [8, 2, 0]
    assert table["precision"].tolist()[:2] == pytest.approx([8 / 9, 1])
    assert table["recall"].tolist()[:2] == pytest.approx([1, 0.5])
    assert balanced_accuracy(table) == pytest.approx(0.75)
    assert macro_f1(table) == pytest.approx((2 * 8 / 17 + 2 / 3) / 2)


def test_a_class_without_test_images_has_no_figures():
    """Though images are taken for it; one that is never predicted has a precision of 0."""
    table = by_class(np.array([0, 0, 1]), np.array([0, 2, 0]), 4)
    assert table[["precision", "recall", "f1"]].isna().all(axis=1).tolist() == [False, False, True, True]
    assert table["precision"].tolist()[:2] == [0.5, 0]


def test_the_measures_are_those_of_scikit_learn():
    """To the bit, of a hundred draws, for classes that have images; a class may never be predicted."""
    rng = np.random.default_rng(0)
    for classes in rng.integers(2, 9, 100):
        labels, predicted = rng.integers(classes, size=(2, 12))
        every = np.arange(classes)
        wanted = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
        there = np.isin(every, labels)
        assert np.array_equal(by_class(labels, predicted, classes).to_numpy()[there].T, np.stack(wanted)[:, there])
        assert np.array_equal(confusion(labels, predicted, classes), confusion_matrix(labels, predicted, labels=every))


def test_rows_of_a_confusion_are_what_images_are():
    """Columns are what they are taken for."""
    assert confusion(LABELS, PREDICTED, 3).tolist() == [[8, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_perfect_confidence_has_no_error():
    """Half of what is said with 0.5 is right, all of what is said with 1."""
    found = reliability(np.array([True, False, True, True]), np.array([0.5, 0.5, 1.0, 1.0]))
    assert found.error == 0
    assert found.counts.sum() == 4
    assert np.isnan(found.accuracies).sum() == BINS - 2


def test_the_error_is_a_mean_over_images():
    """Three of four are said with 0.9, and a third of them is right."""
    hits, said = np.array([True, False, False, True]), np.array([0.9, 0.9, 0.9, 0.2])
    assert reliability(hits, said).error == pytest.approx((3 * (0.9 - 1 / 3) + 0.8) / 4)


def test_bins_have_their_upper_end():
    """Neither 0 nor 1 falls out."""
    found = reliability(np.ones(3, bool), np.array([0.0, 1 / BINS, 1.0], np.float32))
    assert found.counts.sum() == 3
    assert found.counts[-1] == 1


def test_a_bin_of_confidence_has_its_upper_end():
    """Of 15: 0.2 is the end of the third, 0.6 of the ninth."""
    assert reliability(np.ones(2, bool), np.array([0.2, 0.6])).counts.nonzero()[0].tolist() == [2, 8]
