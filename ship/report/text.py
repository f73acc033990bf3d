"""The table of methods and tasks as text: for a terminal, for a document; numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ship.report.tables import LEAKY, Frame, method_means, ranking


def text_table(summary: Frame, width: int = 100) -> str:
    """For a terminal: percent, methods as rows, tasks as columns; columns beyond `width` go on below."""
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
    ranks = ranking(summary, tasks)
    for method in summary["method"].unique():
        means = method_means(summary, method, tasks)
        values = [*(means["tasks"].get(task) for task in tasks), means.get("group_mean"), means.get("task_mean")]
        tuned = summary.loc[summary["method"] == method, "tuned_parameters"].mean()
        seen = [percent(method_means(summary, method, tasks, LEAKY).get("task_mean"))] if leaky else []
        cells.append([method, *map(percent, values), rank(ranks.get(method)), parameters(float(tuned)), *seen])
    return cells


def percent(value: float | None) -> str:
    """0.8413 as 84.1; a dash where there is no value."""
    return "-" if value is None or np.isnan(value) else f"{100 * value:.1f}"


def rank(value: float | None) -> str:
    """1.333 as 1.3; a dash where there is none."""
    return "-" if value is None else f"{value:.1f}"


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
