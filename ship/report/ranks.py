"""How methods stand to each other and to what they tune; of our own runs alone, never of published rows."""

from __future__ import annotations

from collections.abc import Sequence

from ship.report.aggregate import Frame, method_means


def ranking(summary: Frame, tasks: Sequence[str]) -> dict[str, float]:
    """Mean rank over the `tasks` of each method that has them all; 1.0 is a method that is the best of every task.

    On one task the methods are ordered by their accuracy, the mean over seeds: the highest has rank 1, the next 2, and
    equal ones share the mean of the places that they take, as 2.5 for the second and the third. A rank says who is
    ahead, not by how much; that, and whether it is more than chance, the paired tests say.
    """
    found = {str(method): method_means(summary, str(method), tasks)["tasks"] for method in summary["method"].unique()}
    complete = Frame({method: values for method, values in found.items() if set(tasks) <= set(values)})
    return {str(method): float(rank) for method, rank in complete.rank(axis=1, ascending=False).mean().items()}


def points_per_million(accuracy: float | None, count: float) -> float | None:
    """Percentage points of an `accuracy` (0-1) for each million of `count` tuned parameters, without the head.

    None where there is no accuracy, or nothing but the head is tuned: nothing can be divided by 0.
    """
    return 1e8 * accuracy / count if accuracy is not None and count else None
