"""One page that shows an experiment: self-contained, made from results/ and from what the runs say of themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from ship.artifacts import Run, data_folder, hierarchy_file, read_json, write_text
from ship.errors import BadInput
from ship.experiment.params import Params
from ship.report import figures
from ship.report.aggregate import LEAKY, PAIRED, PLOTS, TABLE, expected_runs, method_means, read_table
from ship.report.costs import costs
from ship.report.published import published
from ship.report.ranks import points_per_million, ranking
from ship.report.settings import all_options, row_settings, text
from ship.report.statistics import GROUPS
from ship.report.text import difference, memory, parameters, percent, points, rank, seconds

PAGE = Path("report", "index.html")
MEANS = ("group_mean", "task_mean")
FILTERS = (difference, memory, parameters, percent, points, rank, seconds)


def write_page(
    params: Params,
    root: Path = Path(),
    out: Path = PAGE,
    *,
    tables: Path | None = None,
    missing: Mapping[Run, str] | None = None,
) -> None:
    """Write the page of what `aggregate` left.

    Args:
        params: the experiment; rows of the table that its grid does not name are left out.
        root: where runs/, hierarchy/, data/, benchmarks/ and results/runs/ lie, as far as they are there.
        out: the page, taken from the working folder.
        tables: where `aggregate` left results/, if not under `root`.
        missing: runs that are not shown, and why; others without a result are named without a reason.
    """
    tables, missing = root if tables is None else tables, missing or {}
    table = _rows_of_grid(tables / TABLE, params)
    tasks, methods = list(table["task"].unique()), [m for m in params.grid.methods if m in set(table["method"])]
    paths = [root / run.folder / "run.json" for run in expected_runs(params) if run not in missing]
    abouts = [read_json(path) for path in paths if path.exists()]
    numbers = _numbers(params, table, methods)
    context = numbers | {
        "params": params,
        "tasks": tasks,
        "methods": methods,
        "table": {task: table[table["task"] == task].to_dict("records") for task in tasks},
        "missing": _missing(params, root, missing),
        "runs": len(expected_runs(params)),
        "backbone": _common([about["backbone"] for about in abouts]),
        "environment": _common([about["environment"] for about in abouts]),
        "images": {task: _images(root, task) for task in tasks},
        "figures": _overview(tables, table, methods, numbers["means"]),
        "comparisons": _comparisons(tables / PAIRED, tasks, methods),
        "published": published(tasks),
        "curves": _curves(tables, tasks, methods),
        "hierarchies": _hierarchies(params, root, tasks, methods),
        "costs": costs(params, root, [run for run in expected_runs(params) if run not in missing]),
        "searched": [method for method in methods if params.methods[method].search],
        "settings": {method: row_settings(params, root, method) for method in methods},
    }
    write_text(out, _template().render(context))


def _numbers(params: Params, table: pd.DataFrame, methods: Sequence[str]) -> dict[str, Any]:
    """What the page says of each method over all tasks."""
    means = {method: method_means(table, method, params.grid.tasks) for method in methods}
    ranks = ranking(table, params.grid.tasks)
    added = _mean_by_method(table, "tuned_parameters_without_head")
    return {
        "means": means,
        "ranks": ranks,
        "leaky": _leaky(table, methods, params.grid.tasks),
        "headline": headline(means),
        "best": _best(means, ranks),
        "tuned": _mean_by_method(table, "tuned_parameters"),
        "added": added,
        "per_million": {m: points_per_million(means[m].get("group_mean"), added[m]) for m in methods},
        "groups": [(group, sum(table.drop_duplicates("task")["group"] == group)) for group in GROUPS],
    }


def headline(means: Mapping[str, Mapping[str, Any]]) -> str:
    """The comparison in a sentence; empty where no method has every task."""
    complete = {method: found["group_mean"] for method, found in means.items() if "group_mean" in found}
    if not complete:
        return ""
    first, *rest = sorted(complete, key=lambda method: -complete[method])
    sentence = f"{first} has the highest group mean, {percent(complete[first])}\u00a0%"
    if not rest:
        return f"{first} has a group mean of {percent(complete[first])}\u00a0%."
    ahead = 100 * (complete[first] - complete[rest[0]])
    return f"{sentence}: {ahead:.1f} points above {rest[0]}." if ahead > 0 else f"{sentence}, as has {rest[0]}."


def levels(hierarchies: Sequence[Mapping[str, Any]], threshold: float) -> list[int]:
    """First blocks of the levels at `threshold`, from all hierarchies with the largest threshold of each, ascending."""
    fitting = [found for found in hierarchies if threshold <= found["threshold"]] or hierarchies[-1:]
    return [int(block) for block in fitting[0]["first_blocks"]]


def _template() -> Template:
    """The page, which escapes whatever it is given and refuses a name that it is not given."""
    environment = Environment(
        loader=PackageLoader("ship.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {function.__name__: function for function in FILTERS}
    return environment.get_template("page.html.j2")


def _rows_of_grid(path: Path, params: Params) -> pd.DataFrame:
    """The rows of the table that the grid names, in its order. Raises BadInput where there is none."""
    table = read_table(path) if path.exists() else pd.DataFrame({"task": [], "method": []})
    table = table[table["task"].isin(params.grid.tasks) & table["method"].isin(params.grid.methods)]
    if table.empty:
        raise BadInput(f"{path}: expected results of the grid's tasks and methods, found none (ship aggregate)")
    place = {"task": params.grid.tasks, "method": params.grid.methods}
    ordered = table.sort_values(["task", "method"], key=lambda column: column.map(place[str(column.name)].index))
    return ordered.reset_index(drop=True)


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


def _mean_by_method(table: pd.DataFrame, column: str) -> dict[str, float]:
    """Mean over tasks."""
    return {str(method): float(rows[column].mean()) for method, rows in table.groupby("method")}


def _leaky(table: pd.DataFrame, methods: Sequence[str], tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Means of the best test epochs, where the protocol was to look at them."""
    return {method: method_means(table, method, tasks, LEAKY) for method in methods} if LEAKY in table else {}


def _missing(params: Params, root: Path, given: Mapping[Run, str]) -> list[tuple[str, str, int, str]]:
    """Task, method, seed and reason of all runs of the grid that are not shown."""
    reasons = {run: "no result yet" for run in expected_runs(params) if not (root / run.result).exists()} | {**given}
    return [(*run, reasons[run]) for run in expected_runs(params) if run in reasons]


def _common(parts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Every key with its values: one where all runs agree."""
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: " or ".join(dict.fromkeys(text(part[key]) for part in parts if key in part)) for key in keys}


def _images(root: Path, task: str) -> dict[str, int]:
    """Number of images of each split, where the task is prepared."""
    path = root / data_folder(task) / "task.json"
    return {split: part["images"] for split, part in read_json(path)["splits"].items()} if path.exists() else {}


def _overview(
    tables: Path, table: pd.DataFrame, methods: Sequence[str], means: Mapping[str, Mapping[str, Any]]
) -> dict[str, Markup]:
    """Accuracy by task, and accuracy against tuned parameters where there are means to show."""
    runs = read_table(tables / PLOTS / "accuracy.csv")
    found = {"accuracy": figures.accuracy(table, runs, methods)}
    counts = {method: float(table.loc[table["method"] == method, "tuned_parameters"].mean()) for method in methods}
    points = {m: (counts[m], float(means[m]["group_mean"])) for m in methods if "group_mean" in means[m]}
    if len(points) > 1:
        found["parameters"] = figures.against_parameters(points, methods)
    return {name: Markup(svg) for name, svg in found.items()}  # noqa: S704  # matplotlib has escaped its texts


def _comparisons(path: Path, tasks: Sequence[str], methods: Sequence[str]) -> list[dict[str, Any]]:
    """The paired tests between the methods of the page, on its tasks."""
    table = read_table(path)
    shown = table["task"].isin(tasks) & table["first"].isin(methods) & table["second"].isin(methods)
    return [{str(key): value for key, value in row.items()} for row in table[shown].to_dict("records")]


def _curves(tables: Path, tasks: Sequence[str], methods: Sequence[str]) -> list[Markup]:
    table = read_table(tables / PLOTS / "curves.csv")
    return [Markup(figures.curves(table, task, methods)) for task in tasks]  # noqa: S704


def _hierarchies(params: Params, root: Path, tasks: Sequence[str], methods: Sequence[str]) -> list[dict[str, Any]]:
    """For each task that has a hierarchy: its heat map, with the levels of the first row that has a threshold."""
    files = {task: root / hierarchy_file(task, ".json") for task in tasks}
    read = {task: read_json(path) for task, path in files.items() if path.exists()}
    floor = min((value for about in read.values() for line in about["affinity"] for value in line), default=0.0)
    found = []
    for task, about in read.items():
        options = {method: all_options(params, root, method, task) for method in methods}
        cuts = {m: float(given["threshold"]) for m, given in options.items() if "threshold" in given}
        rows = [(method, cut, levels(about["hierarchies"], cut)) for method, cut in cuts.items()]
        first = rows[0][2] if rows else [0]
        svg = figures.affinity(about["affinity"], task, first, floor=min(0.9, math.floor(10 * floor) / 10))
        found.append({"task": task, "rows": rows, "figure": Markup(svg)})  # noqa: S704
    return found
