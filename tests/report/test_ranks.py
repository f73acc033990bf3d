"""Ranks, and accuracy against what is tuned."""

from __future__ import annotations

import pandas as pd
import pytest

from ship.report.ranks import points_per_million, ranking


def summary(accuracies: dict[str, tuple[float, ...]], tasks: str) -> pd.DataFrame:
    rows = [(task, m, values[i]) for i, task in enumerate(tasks) for m, values in accuracies.items() if i < len(values)]
    return pd.DataFrame(rows, columns=["task", "method", "accuracy"]).assign(group="own")


def test_ranks_are_means_over_tasks_and_ties_share():
    """1 for the highest accuracy; a method that lacks a task has none, and takes none from others."""
    table = summary({"a": (0.9, 0.5), "b": (0.8, 0.5), "c": (0.7, 0.9), "d": (1.0,)}, "xy")
    assert ranking(table, ["x", "y"]) == {"a": (1 + 2.5) / 2, "b": (2 + 2.5) / 2, "c": (3 + 1) / 2}


def test_ranks_depend_on_the_order_alone():
    """Not on the distance, nor on the order of the rows; their mean is that of the places."""
    table = summary({"a": (0.9, 0.5, 0.3), "b": (0.8, 0.6, 0.2), "c": (0.7, 0.9, 0.1)}, "xyz")
    found = ranking(table, ["x", "y", "z"])
    assert sum(found.values()) == pytest.approx(1 + 2 + 3)
    assert ranking(table.assign(accuracy=table["accuracy"] ** 3).iloc[::-1], ["z", "y", "x"]) == pytest.approx(found)


def test_no_method_with_every_task_no_ranks():
    """Those of some tasks would be ranks among others."""
    assert ranking(summary({"a": (0.9,)}, "x"), ["x", "y"]) == {}


@pytest.mark.parametrize(
    ("accuracy", "count", "expected"), [(0.8, 2_000_000, 40.0), (0.8, 10_000, 8000.0), (0.8, 0, None), (None, 5, None)]
)
def test_points_per_million_are_finite_or_none(accuracy, count, expected):
    """A linear probe tunes the head alone: nothing to divide by."""
    assert points_per_million(accuracy, count) == pytest.approx(expected)
