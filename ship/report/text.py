"""The table of methods and tasks as text: for a terminal, for a document; numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pandas import Series

from ship.evaluation.statistics import NEGLIGIBLE
from ship.experiment.params import Params
from ship.report.aggregate import LEAKY, Frame, mean_by_method, method_means
from ship.report.ranks import ranking

WIDTH = 100  # characters, where there is no terminal


def text_table(summary: Frame, width: int = WIDTH) -> str:
    """For a terminal: percent, methods as rows, tasks as columns; columns beyond `width` go on below.

    The `summary` is that of one backbone, here and below.
    """
    header, *rows = table_cells(summary)
    columns = [[str(cell) for cell in column] for column in zip(header, *rows, strict=True)]
    sizes = [max(map(len, column)) for column in columns]
    parts, chosen = [], [0]
    for index in range(1, len(columns)):
        if len(chosen) > 1 and sum(sizes[i] + 2 for i in [*chosen, index]) - 2 > width:
            parts.append(chosen)
            chosen = [0]
        chosen.append(index)
    return "\n\n".join(_lines(columns, sizes, part) for part in [*parts, chosen]) + "\n"


def caption(backbone: str, params: Params) -> str:
    """What a table is of: backbone, protocol, seeds, and what stands beside an accuracy."""
    seeds = params.grid.seeds
    beside = "\N{PLUS-MINUS SIGN} deviation over seeds" if len(seeds) > 1 else "95 % interval over test images"
    random = ", random weights" if params.backbones[backbone].weights == "random" else ""
    of = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    return f"{backbone}{random}: {params.protocol}, {of}; test accuracy in %, {beside}"


def markdown_table(summary: Frame) -> str:
    """The same table for a document."""
    header, *rows = table_cells(summary)
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *rows])


def table_cells(summary: Frame) -> list[list[str]]:
    """Header and a row per method: percent on each task, both means, mean rank, tuned parameters (mean over tasks)."""
    tasks = list(summary["task"].unique())
    leaky = ["task mean, best test epoch (leaky)"] if LEAKY in summary else []
    cells = [["accuracy, %", *tasks, "group mean", "task mean", "mean rank", "tuned", *leaky]]
    ranks, tuned = ranking(summary, tasks), mean_by_method(summary, "tuned_parameters")
    for method in summary["method"].unique():
        means = method_means(summary, method, tasks)
        rows = summary[summary["method"] == method].set_index("task")
        accuracies = [_accuracy(rows.loc[task]) if task in rows.index else "-" for task in tasks]
        values = [percent(means.get(kind)) for kind in ("group_mean", "task_mean")]
        seen = [percent(method_means(summary, method, tasks, LEAKY).get("task_mean"))] if leaky else []
        cells.append([method, *accuracies, *values, rank(ranks.get(method)), parameters(tuned[method]), *seen])
    return cells


def _accuracy(row: Series) -> str:
    """Of a method on a task: mean and deviation over seeds, 84.1 ± 0.4; of one seed its interval, 84.1 (82.0-86.1)."""
    if row["seeds"] > 1:
        return f"{percent(row['accuracy'])} \N{PLUS-MINUS SIGN} {percent(row['std'])}"
    return f"{percent(row['accuracy'])} ({percent(row['low'])}\N{EN DASH}{percent(row['high'])})"


def percent(value: float | None) -> str:
    """0.8413 as 84.1; a dash where there is no value."""
    return "-" if value is None or np.isnan(value) else f"{100 * value:.1f}"


def chance(value: float) -> str:
    """A p value in two digits, 0.0017 or 1.4e-9; none is exactly 0."""
    return f"{value:.2g}".replace("e-0", "e-") if value >= NEGLIGIBLE else f"< {NEGLIGIBLE:g}"


def difference(value: float) -> str:
    """0.0312 as +3.1; less than 0 has the sign that is as wide as a plus."""
    rounded = round(100 * value, 1)
    return f"{rounded:+.1f}".replace("-", "\N{MINUS SIGN}") if rounded else "0.0"


def rank(value: float | None) -> str:
    """1.333 as 1.3; a dash where there is none."""
    return "-" if value is None else f"{value:.1f}"


def points(value: float | None) -> str:
    """2987.6 as 2988, 0.92653 as 0.927: three digits or all before the point; a dash where there is none."""
    return "-" if value is None else f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def seconds(value: float | None) -> str:
    """4.96 as 5.0, 83.2 as 83, 5025 as 1 h 24 min; a dash where there is none."""
    if value is None:
        return "-"
    if value < 59.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, left = divmod(round(value / 60), 60)
    return f"{minutes} min {rest} s" if value < 3570 else f"{hours} h {left} min"


def memory(count: float | None) -> str:
    """Bytes in GiB: 955252736 as 0.89 GiB; a dash where there are none."""
    return "-" if count is None else f"{count / 2**30:.2f} GiB"


def parameters(count: float) -> str:
    """1 234 567 as 1.23 M, 76 543 as 76.5 K."""
    scaled, unit = (count / 1e6, " M") if count >= 999_500 else (count / 1e3, " K")
    return f"{count:.0f}" if count < 999.5 else f"{scaled:#.3g}".rstrip(".") + unit


def _lines(columns: Sequence[Sequence[str]], sizes: Sequence[int], chosen: Sequence[int]) -> str:
    """The `chosen` columns as lines: the first to the left, the others to the right."""
    rows = zip(*(columns[i] for i in chosen), strict=True)
    widths = [sizes[i] for i in chosen]
    lines = []
    for row in rows:
        cells = [cell.rjust(size) for cell, size in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]))
    return "\n".join(lines)
