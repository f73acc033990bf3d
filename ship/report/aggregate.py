"""Every run's result in one table by backbone, as the files that DVC compares."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from ship.artifacts import LOG, Run, hierarchy_file
from ship.data.tasks import group_of
from ship.errors import BadInput
from ship.evaluation.statistics import deviation, group_mean, group_means, interval, task_mean
from ship.experiment import records
from ship.experiment.params import Params
from ship.experiment.records import read_record
from ship.report.classes import CLASSES, MEASURES, Measured, measure, over_seeds
from ship.report.pairs import aligned, compare
from ship.report.runs import WATCHED, expected_runs, files_of, missing_runs, read_about, read_predictions
from ship.storage import write_json, write_text

METRICS = Path("results", "metrics.json")
TABLE = Path("results", "table.csv")
PAIRED = Path("results", "paired.csv")
PLOTS = Path("results", "plots")
LEAKY = "accuracy_best_test_epoch_leaky"  # its mean over seeds

_ROW = dict.fromkeys(["backbone", "task", "method"], str)
_COUNTS = dict.fromkeys(["seeds", "test_images", "tuned_parameters", "tuned_parameters_without_head"], int)
_SHARES = dict.fromkeys(["accuracy", "std", "low", "high"], float)
_PAIR = dict.fromkeys(["backbone", "task", "first", "second"], str)
COLUMNS: dict[str, dict[str, type]] = {  # what a reader of the file needs; names are text, whatever pandas thinks
    "table.csv": {**_ROW, "group": str, **_SHARES, **_COUNTS},
    "paired.csv": {**_PAIR, **dict.fromkeys(["difference", "low", "high", "p", "p_holm"], float), "seeds": int},
    "classes.csv": {**_ROW, "class": str, **dict.fromkeys(["precision", "recall", "f1"], float), "support": int},
    "accuracy.csv": {**_ROW, "seed": int, "accuracy": float},
    "curves.csv": {**_ROW, "seed": int, "epoch": int, **dict.fromkeys(["loss", "accuracy", "lr"], float)},
}

Frame = pd.DataFrame


def read_table(path: Path) -> Frame:
    """One of the files that `aggregate` writes. Raises BadInput where it is none."""
    if not path.is_file():
        raise BadInput(f"{path}: expected the table of an experiment, found none (snakemake, or ship aggregate)")
    columns = COLUMNS[path.name]
    try:
        table = pd.read_csv(path, dtype=columns, keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise BadInput(f"{path}: expected the table of an experiment, got: {error} (ship aggregate)") from None
    if lacking := [name for name in columns if name not in table]:
        raise BadInput(f"{path}: expected the columns {', '.join(columns)}, found no {lacking[0]} (ship aggregate)")
    return table


def aggregate(
    params: Params, root: Path = Path(), into: Path | None = None, *, without: Collection[Run] | None = None
) -> Frame:
    """Write results/ of the grid's runs under `root`, or `into` another folder; returns the table.

    Raises BadInput where a run is missing. A partial table is of the grid `without` some runs: it has no means for
    methods that lack a task, since they would be means of something else.
    """
    into = root if into is None else into
    missing = missing_runs(params, root) if without is None else without
    runs = [run for run in expected_runs(params) if run not in missing]
    if missing and without is None:
        first = next(iter(missing))
        file = next((file for file in files_of(first) if not (root / file).exists()), first.folder)
        raise BadInput(
            f"{file}: expected the result of a run, found none, as for {len(missing)} of "
            f"{len(missing) + len(runs)} runs (ship train {first})"
        )
    results = _results(root, runs)
    groups = _groups(params)
    results["group"] = results["task"].map(groups)
    hits, measured = _predicted(root, runs)
    _check_accuracies(results, hits)
    summary = summarise(results.join(Frame([one.measures for one in measured])), hits)
    write_json(into / METRICS, metrics(summary, params.grid.tasks))
    write_text(into / TABLE, _csv(summary, "%.6f"))
    write_text(into / PAIRED, _csv(compare(hits, groups), "%.6g"))
    write_text(into / CLASSES, _csv(over_seeds([one.classes for one in measured]), "%.6f"))
    for path, text in _plots(root, runs, results).items():
        write_text(into / path, text)
    write_text(into / PLOTS / "affinity.csv", _csv(_affinities(root, params), "%.6f"))
    return summary


def of_these_runs(params: Params, root: Path = Path()) -> bool:
    """Whether the tables in results/ are of the runs under `root`: the same accuracies, losses of every epoch, groups.

    They are not after `git checkout results`, which brings those of a commit.
    """
    runs = expected_runs(params)
    made = _plots(root, runs, _results(root, runs))
    there = all((root / path).is_file() for path in (METRICS, TABLE, PAIRED, CLASSES, *made))
    if not (there and all((root / path).read_text(encoding="utf-8") == text for path, text in made.items())):
        return False
    try:
        table = read_table(root / TABLE)
    except BadInput:
        return False
    return {"task", "group"} <= {*table} and dict(zip(table["task"], table["group"], strict=True)) == _groups(params)


def summarise(results: Frame, hits: Mapping[Run, pd.Series[bool]]) -> Frame:
    """A row per backbone, task and method, in the order of `results`: mean, deviation, 95 % interval."""
    rows = []
    for names, runs in results.groupby(["backbone", "task", "method"], sort=False):
        backbone, task, method = map(str, names)
        seeds = [int(seed) for seed in runs["seed"]]
        right = aligned([hits[Run(backbone, task, method, seed)] for seed in seeds], f"{backbone}/{task}/{method}")
        low, high = interval(right)
        std = deviation([float(value) for value in runs["accuracy"]])
        first = runs.iloc[0]
        counts = ("test_images", "tuned_parameters", "tuned_parameters_without_head")
        leaky = {LEAKY: runs[WATCHED].mean(skipna=False)} if WATCHED in runs else {}
        rows.append(
            {"backbone": backbone, "task": task, "group": first["group"], "method": method}
            | {"accuracy": right.mean(), "std": std, "low": low, "high": high, "seeds": len(seeds)}
            | {name: int(first[name]) for name in counts}
            | {name: runs[name].mean() for name in MEASURES if name in runs}
            | leaky
        )
    return pd.DataFrame(rows).astype({"std": "float64"}).round(6)  # as in the file: no reader sees other digits


def method_means(summary: Frame, method: str, tasks: Sequence[str], column: str = "accuracy") -> dict[str, Any]:
    """Of a method on one backbone: `tasks`; where it has all the `tasks`, `groups`, `group_mean` and `task_mean`."""
    rows = summary[(summary["method"] == method) & summary[column].notna()]
    accuracies = dict(zip(rows["task"], rows[column].astype(float), strict=True))
    groups = dict(zip(summary["task"], summary["group"], strict=True))
    found: dict[str, Any] = {"tasks": accuracies}
    if set(tasks) <= set(accuracies):
        found |= {"groups": group_means(accuracies, groups)}
        found |= {"group_mean": group_mean(accuracies, groups), "task_mean": task_mean(accuracies)}
    return found


def mean_by_method(summary: Frame, column: str) -> dict[str, float]:
    """Of every method on one backbone, the mean of a `column` over the tasks that it has."""
    return {str(method): float(rows[column].mean()) for method, rows in summary.groupby("method")}


def metrics(summary: Frame, tasks: Sequence[str]) -> dict[str, Any]:
    """What `dvc metrics diff` compares, by backbone and method, six decimals; what is leaky stands apart."""

    def of(rows: Frame, column: str) -> dict[str, Any]:
        return {m: _rounded(method_means(rows, m, tasks, column)) for m in sorted(rows["method"].unique())}

    return {
        column: {backbone: of(rows, column) for backbone, rows in sorted(by_backbone(summary).items())}
        for column in sorted(("accuracy", *MEASURES, LEAKY))
        if column in summary
    }


def by_backbone(table: Frame) -> dict[str, Frame]:
    """The rows of each backbone, in the order in which they come."""
    return {str(backbone): rows for backbone, rows in table.groupby("backbone", sort=False)}


def _groups(params: Params) -> dict[str, str]:
    """The group of every task of the grid."""
    return {task: group_of(task, params.tasks[task]) for task in params.grid.tasks}


def _check_accuracies(results: Frame, hits: Mapping[Run, pd.Series[bool]]) -> None:
    """Raise BadInput where a result is not that of the predictions beside it."""
    for (run, found), stated in zip(hits.items(), results["accuracy"], strict=True):
        if not abs(float(found.mean()) - stated) <= 1e-6:
            raise BadInput(
                f"{run.folder}/run.json: expected the accuracy of predictions.parquet, {found.mean():.6f}, "
                f"got {stated} (ship train {run})"
            )


def _predicted(root: Path, runs: Sequence[Run]) -> tuple[dict[Run, pd.Series[bool]], list[Measured]]:
    """Of every run, whether each test image was predicted right, by its key, and how good it is beyond that.

    Runs of a task share the keys of its images, which else were most of the memory.
    """
    hits, measured, keys = {}, [], dict[str, Any]()
    for run in runs:
        found = read_predictions(root, run)
        own = pd.Index(found.keys)
        shared = keys.setdefault(run.task, own)
        hits[run] = pd.Series(found.hits, index=shared if shared.equals(own) else own)
        measured.append(measure(run, found))
    return hits, measured


def _results(root: Path, runs: Sequence[Run]) -> Frame:
    """A row per run: what its run.json says came out."""
    return Frame([run._asdict() | read_about(root, run)["result"] for run in runs])


def _plots(root: Path, runs: Sequence[Run], results: Frame) -> dict[Path, str]:
    """The files on single runs: their accuracies, and what training was like, epoch by epoch."""
    curves = pd.concat([_curve(root, run) for run in runs])[[*Run._fields, "epoch", "loss", "accuracy", "lr"]]
    accuracies = results[[*Run._fields, "accuracy"]]
    return {PLOTS / "accuracy.csv": _csv(accuracies, "%.6f"), PLOTS / "curves.csv": _csv(curves, "%.9g")}


def _curve(root: Path, run: Run) -> Frame:
    """What training was like, a row an epoch. Raises BadInput where its file is broken."""
    path = root / run.folder / LOG
    try:
        return pd.read_csv(path)[["epoch", "loss", "accuracy", "lr"]].assign(**run._asdict())
    except (ValueError, KeyError) as error:
        raise BadInput(f"{path}: expected a row an epoch, got: {error} (ship train {run})") from None


def _affinities(root: Path, params: Params) -> Frame:
    """A row per backbone, task and pair of blocks."""
    rows = [
        {"backbone": backbone, "task": task, "block_i": i, "block_j": j, "affinity": value}
        for backbone, task in product(params.grid.backbones, params.grid.tasks)
        if (path := root / hierarchy_file(backbone, task, ".json")).exists()
        for i, line in enumerate(read_record(path, records.Hierarchy)["affinity"])
        for j, value in enumerate(line)
    ]
    return pd.DataFrame(rows, columns=["backbone", "task", "block_i", "block_j", "affinity"])


def _rounded(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _rounded(tree[key]) for key in sorted(tree)}
    return round(tree, 6)


def _csv(frame: Frame, float_format: str) -> str:
    return frame.to_csv(index=False, float_format=float_format, lineterminator="\n")
