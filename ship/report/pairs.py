"""Every method against every other one on the same test images: task by task, and in the group mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ship.artifacts import Run
from ship.errors import BadInput
from ship.evaluation.statistics import Comparison, holm, paired, paired_group_mean

MEAN = "group mean"  # in place of a task; no task has a space in its name
FIGURES = ("difference", "low", "high", "p", "error", "seeds")  # of a comparison, in the table


def compare(hits: Mapping[Run, pd.Series[bool]], groups: Mapping[str, str]) -> pd.DataFrame:
    """A row per backbone, task and pair of methods, on the seeds that both have; `p_holm` is corrected over its family.

    A family is what is said of one baseline: on a backbone, every later method of the grid against the `first`, on all
    tasks. So a method that is added to the end of the grid adds a row a task to a family, not one for every pair.
    The last rows compare the group means of methods that have every task of `groups`, which maps a task to its group;
    on a backbone, all of them are one family, since a reader looks for the largest.
    """
    seeds: dict[tuple[str, str], dict[str, list[int]]] = {}
    for run in hits:
        seeds.setdefault((run.backbone, run.task), {}).setdefault(run.method, []).append(run.seed)
    rows: list[dict[str, Any]] = []
    found: dict[tuple[str, str, str], dict[str, Comparison]] = {}
    for (backbone, task), methods in seeds.items():
        for first, second in combinations(methods, 2):
            if not (shared := [seed for seed in methods[first] if seed in methods[second]]):
                continue
            runs = [Run(backbone, task, method, seed) for method in (first, second) for seed in shared]
            stacked = aligned([hits[run] for run in runs], f"{backbone}/{task}: {first} and {second}")
            comparison = paired(*np.split(stacked, 2))
            found.setdefault((backbone, first, second), {})[task] = comparison
            rows.append(_row(backbone, task, first, second, comparison))
    whole = ((pair, paired_group_mean(of, groups)) for pair, of in found.items() if of.keys() == groups.keys())
    rows += [_row(backbone, MEAN, first, second, comparison) for (backbone, first, second), comparison in whole]
    table = pd.DataFrame(rows, columns=["backbone", "task", "first", "second", *FIGURES])
    families = table.groupby(["backbone", table["first"].mask(table["task"] == MEAN, MEAN)])["p"]
    return table.assign(p_holm=families.transform(lambda family: holm(list(family))).astype(float))


def _row(backbone: str, task: str, first: str, second: str, found: Comparison) -> dict[str, Any]:
    names = {"backbone": backbone, "task": task, "first": first, "second": second}
    return names | {figure: getattr(found, figure) for figure in FIGURES}


def aligned(hits: Sequence[pd.Series[bool]], what: str) -> npt.NDArray[np.bool_]:
    """Hits (S, n) of S seeds, which must be on the same images in the same order."""
    for other in hits[1:]:
        if not other.index.equals(hits[0].index):
            raise BadInput(f"{what}: expected the same test images for every run, got others (rerun them)")
    return np.stack([column.to_numpy() for column in hits])
