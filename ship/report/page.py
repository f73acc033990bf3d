"""One page that shows an experiment: self-contained, made from results/ and from what the runs say of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from ship.artifacts import RESULT, Run, notices_file, task_file
from ship.errors import BadInput
from ship.evaluation.statistics import ENOUGH_SEEDS
from ship.experiment import records
from ship.experiment.params import Params
from ship.experiment.records import read_record
from ship.experiment.values import as_yaml
from ship.report import figures
from ship.report.aggregate import LEAKY, PAIRED, PLOTS, TABLE, by_backbone, read_table
from ship.report.classes import CLASSES
from ship.report.comparison import Tables, compared
from ship.report.inspection import inspected
from ship.report.literature import published
from ship.report.pairs import MEAN
from ship.report.runs import expected_runs, read_about
from ship.report.settings import row_settings
from ship.report.text import chance, difference, memory, parameters, percent, points, rank, seconds
from ship.storage import write_text

PAGE = Path("report", "index.html")
FILTERS = (chance, difference, memory, parameters, percent, points, rank, seconds)


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
        root: where runs/, hierarchy/, data/ and benchmarks/ lie, as far as they are there.
        out: the page, taken from the working folder.
        tables: where `aggregate` left results/, if not under `root`.
        missing: runs that are not shown, and why; others without a result are named without a reason.
    """
    tables, missing = root if tables is None else tables, missing or {}
    table = _rows_of_grid(tables / TABLE, params)
    tasks, methods = list(table["task"].unique()), [m for m in params.grid.methods if m in set(table["method"])]
    read = Tables(*(read_table(tables / path) for path in (PLOTS / "accuracy.csv", PLOTS / "curves.csv", PAIRED)))
    shown = [run for run in expected_runs(params) if run not in missing]
    prepared = {task: _read(root / task_file(task), records.Task, task) for task in tasks}
    noted = {task: _read(root / notices_file(task), records.Notices, task) for task in tasks}
    parts = [compared(params, root, name, rows, read, shown) for name, rows in by_backbone(table).items()]
    context = {
        "params": params,
        "tasks": tasks,
        "methods": methods,
        "parts": parts,
        "several": len(parts) > 1,
        "leaky": LEAKY in table,
        "fewest": int(table["seeds"].min()),
        "headline": " ".join(
            headline(part["means"], part["comparisons"], part["backbone"] if len(parts) > 1 else "") for part in parts
        ),
        "inspected": inspected(root, table, read_table(tables / CLASSES), shown),
        "across": _across(parts, methods),
        "missing": _missing(params, read.runs, missing),
        "runs": len(expected_runs(params)),
        "environment": _environment(root, shown),
        "images": {task: _images(told) for task, told in prepared.items()},
        "unused": {task: found for task, told in noted.items() if (found := _unused(told))},
        "warnings": {task: told["warnings"] for task, told in noted.items() if told.get("warnings")},
        "published": published(tasks),
        "searched": [method for method in methods if params.methods[method].search],
        "settings": {method: row_settings(params, root, method) for method in methods},
    }
    write_text(out, _template().render(context))


def headline(
    means: Mapping[str, Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]] = (), backbone: str = ""
) -> str:
    """Which method leads, by how much, and whether that may be chance; empty if no method has all tasks.

    It names the `backbone` where one is given; `comparisons` are the paired tests of its methods.
    """
    complete = {method: found["group_mean"] for method, found in means.items() if "group_mean" in found}
    if not complete:
        return ""
    first, *rest = sorted(complete, key=lambda method: -complete[method])
    place = f"On {backbone}, " if backbone else ""
    if not rest:
        return f"{place}{first} has a group mean of {percent(complete[first])}\u00a0%."
    sentence = f"{place}{first} has the highest group mean, {percent(complete[first])}\u00a0%"
    ahead = 100 * (complete[first] - complete[rest[0]])
    if ahead <= 0:
        return f"{sentence}, as has {rest[0]}."
    overall = [row for row in comparisons if row["task"] == MEAN]
    tests = (row for row in overall if {row["first"], row["second"]} == {first, rest[0]} and row["whole"])
    doubt = "".join(_doubt(row, first, len(overall)) for row in tests)
    return f"{sentence}: {ahead:.1f} points above {rest[0]}{doubt}."


def _doubt(row: Mapping[str, Any], leader: str, compared: int) -> str:
    """How sure the lead in a row of the paired tests is, in words; the `leader` is ahead, `compared` are all pairs."""
    low, high = (row["low"], row["high"]) if row["first"] == leader else (-row["high"], -row["low"])
    chances = "" if sure(row) else ", which may be chance"
    corrected = f", corrected for {compared} pairs" if compared > 1 else ""
    drawn = "test images and seeds" if row["seeds"] >= ENOUGH_SEEDS else "test images"
    return (
        f"{chances} (95\u00a0% interval over {drawn}: {difference(low)} to {difference(high)}; "
        f"p\u00a0=\u00a0{chance(row['p_holm'])}{corrected})".replace("=\u00a0<", "<")
    )


def sure(row: Mapping[str, Any]) -> bool:
    """Whether chance is no likely reason of a difference: by the test of images, and by the interval, of seeds too."""
    return bool(row["p_holm"] < 0.05 and not row["low"] <= 0 <= row["high"])


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
    environment.tests["sure"] = sure
    return environment.get_template("page.html.j2")


def _rows_of_grid(path: Path, params: Params) -> pd.DataFrame:
    """The rows of the table that the grid names, in its order. Raises BadInput where there is none."""
    place = {"backbone": params.grid.backbones, "task": params.grid.tasks, "method": params.grid.methods}
    table = read_table(path) if path.exists() else pd.DataFrame({axis: [] for axis in place})
    for axis, names in place.items():
        table = table[table[axis].isin(names)]
    if table.empty:
        raise BadInput(f"{path}: expected results of the grid's tasks and methods, found none (ship aggregate)")
    ordered = table.sort_values(list(place), key=lambda column: column.map(place[str(column.name)].index))
    return ordered.reset_index(drop=True)


def _across(parts: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> Markup | None:
    """Accuracy against backbone, where there are several with means."""
    means = {
        part["backbone"]: {m: found["group_mean"] for m, found in part["means"].items() if "group_mean" in found}
        for part in parts
    }
    several = sum(map(bool, means.values())) > 1
    return Markup(figures.across_backbones(means, methods)) if several else None  # noqa: S704  # texts are escaped


def _missing(params: Params, runs: pd.DataFrame, given: Mapping[Run, str]) -> list[tuple[Run, str]]:
    """Every run of the grid that is not among the `runs` of the tables, and why."""
    there = set(runs[[*Run._fields]].itertuples(index=False, name=None))
    reasons = dict.fromkeys((run for run in expected_runs(params) if run not in there), "no result yet") | {**given}
    return [(run, reasons[run]) for run in expected_runs(params) if run in reasons]


def _environment(root: Path, shown: Sequence[Run]) -> dict[str, str]:
    """What the runs were computed with: one value where all agree."""
    found = [read_about(root, run)["environment"] for run in shown if (root / run.folder / RESULT).exists()]
    keys = dict.fromkeys(key for part in found for key in part)
    return {key: " or ".join(dict.fromkeys(as_yaml(part[key]) for part in found if key in part)) for key in keys}


def _read(path: Path, kind: type[records.Record], task: str) -> dict[str, Any]:
    """What a file of a prepared task says; nothing where it is not there."""
    return read_record(path, kind, f"ship prepare {task}") if path.exists() else {}


def _images(told: Mapping[str, Any]) -> dict[str, int]:
    """Number of images of each split."""
    return {split: part["images"] for split, part in told.get("splits", {}).items()}


def _unused(told: Mapping[str, Any]) -> dict[str, int]:
    """How many files of a task's folder no split has, by suffix and reason."""
    count = told.get("broken", 0)
    broken = {f"image{'s' if count > 1 else ''} that cannot be read": count} if count else {}
    return {**broken, **told.get("passed_over", {})}
