"""What the page shows of one backbone: its methods compared, their training, their levels and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from ship.artifacts import RESULT, Run, hierarchy_file
from ship.evaluation.statistics import GROUPS
from ship.experiment import records
from ship.experiment.params import Params
from ship.experiment.records import read_record
from ship.experiment.values import as_yaml
from ship.report import figures
from ship.report.aggregate import LEAKY, mean_by_method, method_means
from ship.report.costs import costs
from ship.report.pairs import MEAN
from ship.report.ranks import points_per_million, ranking
from ship.report.runs import read_about
from ship.report.settings import all_options

MEANS = ("group_mean", "task_mean")


class Tables(NamedTuple):
    """What `aggregate` left beside the table, of all backbones."""

    runs: pd.DataFrame
    curves: pd.DataFrame
    paired: pd.DataFrame


def compared(
    params: Params, root: Path, backbone: str, table: pd.DataFrame, tables: Tables, shown: Sequence[Run]
) -> dict[str, Any]:
    """All that the page says of a `backbone`, of whose rows the `table` is; `shown` are the runs of the page."""
    methods = [method for method in params.grid.methods if method in set(table["method"])]
    tasks = list(table["task"].unique())
    runs, curves, paired = (part[part["backbone"] == backbone] for part in tables)
    own = [run for run in shown if run.backbone == backbone]
    numbers = _numbers(table, methods, params.grid.tasks)
    return numbers | {
        "backbone": backbone,
        "methods": methods,
        "table": {task: table[table["task"] == task].to_dict("records") for task in tasks},
        "preprocessing": _preprocessing(root, own),
        "figures": _overview(table, runs, methods, backbone, numbers),
        "comparisons": _comparisons(paired, table, tasks, methods),
        "curves": [Markup(figures.curves(curves, task, methods, backbone)) for task in tasks],  # noqa: S704
        "hierarchies": _hierarchies(params, root, backbone, tasks, methods),
        "costs": costs(params, root, own),
    }


def levels(hierarchies: Sequence[Mapping[str, Any]], threshold: float) -> list[int]:
    """First blocks of the levels at `threshold`, from all hierarchies with the largest threshold of each, ascending."""
    cut = np.float32(threshold)  # as the affinity is
    fitting = [found for found in hierarchies if cut <= np.float32(found["threshold"])] or hierarchies[-1:]
    return [int(block) for block in fitting[0]["first_blocks"]]


def _numbers(table: pd.DataFrame, methods: Sequence[str], tasks: Sequence[str]) -> dict[str, Any]:
    """What is said of each method over all tasks of the grid."""
    means = {method: method_means(table, method, tasks) for method in methods}
    ranks = ranking(table, tasks)
    added = mean_by_method(table, "tuned_parameters_without_head")
    return {
        "means": means,
        "ranks": ranks,
        "leaky": {m: method_means(table, m, tasks, LEAKY) for m in methods} if LEAKY in table else {},
        "best": _best(means, ranks),
        "tuned": mean_by_method(table, "tuned_parameters"),
        "added": added,
        "per_million": {m: points_per_million(means[m].get("group_mean"), added[m]) for m in methods},
        "groups": [(group, sum(table.drop_duplicates("task")["group"] == group)) for group in GROUPS],
    }


def _best(means: Mapping[str, Mapping[str, Any]], ranks: Mapping[str, float]) -> dict[str, Any]:
    """Shaped as the means of a method: the highest of all methods, and the lowest rank."""
    return {
        "tasks": _highest([found["tasks"] for found in means.values()]),
        "groups": _highest([found.get("groups", {}) for found in means.values()]),
        "rank": min(ranks.values(), default=None),
        **_highest([{kind: found[kind] for kind in MEANS if kind in found} for found in means.values()]),
    }


def _highest(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The highest value of every key."""
    return {key: max(part[key] for part in parts if key in part) for part in parts for key in part}


def _preprocessing(root: Path, runs: Sequence[Run]) -> dict[str, str]:
    """What the runs say of their backbone: the same of all; nothing where none is there."""
    first = next((run for run in runs if (root / run.folder / RESULT).exists()), None)
    return {key: as_yaml(value) for key, value in read_about(root, first)["backbone"].items()} if first else {}


def _overview(
    table: pd.DataFrame,
    runs: pd.DataFrame,
    methods: Sequence[str],
    backbone: str,
    numbers: Mapping[str, Any],
) -> dict[str, Markup]:
    """Accuracy by task, and accuracy against tuned parameters where there are means among the `numbers` to show."""
    found = {"accuracy": figures.accuracy(table, runs, methods, backbone)}
    tuned, means = numbers["tuned"], numbers["means"]
    points = {m: (tuned[m], float(means[m]["group_mean"])) for m in methods if "group_mean" in means[m]}
    if len(points) > 1:
        found["parameters"] = figures.against_parameters(points, methods, backbone)
    return {name: Markup(svg) for name, svg in found.items()}  # noqa: S704  # matplotlib has escaped its texts


def _comparisons(
    paired: pd.DataFrame, table: pd.DataFrame, tasks: Sequence[str], methods: Sequence[str]
) -> list[dict[str, Any]]:
    """The paired tests between the methods of the page, on its tasks, and in the mean over them.

    `whole` says of each whether it is of all the seeds that the methods' means are of.
    """
    seeds = {method: {*table.loc[table["method"] == method, "seeds"]} for method in methods}
    shown = paired["task"].isin([*tasks, MEAN]) & paired["first"].isin(methods) & paired["second"].isin(methods)
    rows = [{str(key): value for key, value in row.items()} for row in paired[shown].to_dict("records")]
    return [row | {"whole": seeds[row["first"]] | seeds[row["second"]] == {row["seeds"]}} for row in rows]


def _hierarchies(
    params: Params, root: Path, backbone: str, tasks: Sequence[str], methods: Sequence[str]
) -> list[dict[str, Any]]:
    """For each task that has a hierarchy: its heat map, with the levels of the first row that has a threshold."""
    files = {task: root / hierarchy_file(backbone, task, ".json") for task in tasks}
    read = {task: read_record(path, records.Hierarchy) for task, path in files.items() if path.exists()}
    lowest = min((value for about in read.values() for line in about["affinity"] for value in line), default=0.0)
    floor = min(0.9, math.floor(10 * lowest) / 10)
    found = []
    for task, about in read.items():
        options = {method: all_options(params, root, backbone, task, method) for method in methods}
        cuts = {m: float(given["threshold"]) for m, given in options.items() if "threshold" in given}
        rows = [(method, cut, levels(about["hierarchies"], cut)) for method, cut in cuts.items()]
        first = rows[0][2] if rows else [0]
        svg = figures.affinity(about["affinity"], task, first, floor, backbone)
        found.append({"task": task, "rows": rows, "figure": Markup(svg)})  # noqa: S704
    return found
