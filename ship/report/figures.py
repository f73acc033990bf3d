"""Figures as SVG text whose bytes depend on the data alone; colours follow the page's light or dark scheme."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

INK, FAINT, LINE = "#1f2430", "#667080", "#d5d9e0"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195", "#6b6f76")  # after Okabe and Ito
MARKERS = "osD^vPX*"
DASHES: tuple[tuple[float, tuple[float, ...]], ...] = ((0, ()), (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.6, 1.2, 1.6)))

# a reader's style sheet may set --ink ... --c7; without one the colours above are seen
_VARIABLES = {INK: "--ink", FAINT: "--faint", LINE: "--line"} | {c: f"--c{i}" for i, c in enumerate(SERIES)}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": FAINT,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
}


def accuracy(table: pd.DataFrame, runs: pd.DataFrame, methods: Sequence[str]) -> str:
    """Accuracy by task (rows) and method (markers): mean over seeds, 95 % interval, and a tick for every seed."""
    tasks = list(table["task"].unique())
    step = 0.8 / max(3, len(methods))
    with mpl.rc_context(_STYLE):
        figure = Figure((5.2, 0.75 + len(tasks) * max(0.6, 0.1 * len(methods) + 0.2)), layout="constrained")
        axes = figure.subplots()
        for index, method in enumerate(methods):
            style = _marker(index)
            offset = (index - (len(methods) - 1) / 2) * step
            for row in table[table["method"] == method].to_dict("records"):
                y = tasks.index(row["task"]) + offset
                seeds = 100 * runs.loc[(runs["task"] == row["task"]) & (runs["method"] == method), "accuracy"]
                axes.plot(
                    [100 * row["low"], 100 * row["high"]], [y, y], color=style["color"], linewidth=1.6, alpha=0.55
                )
                axes.plot(seeds, [y] * len(seeds), "|", color=style["color"], markersize=5, markeredgewidth=0.8)
                axes.plot([100 * row["accuracy"]], [y], linestyle="", markersize=5.5, **style)
            axes.plot([], [], linestyle="", markersize=5.5, label=method, **style)
        axes.set_yticks(range(len(tasks)), tasks, color=INK)
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        for edge in range(1, len(tasks)):
            axes.axhline(edge - 0.5, color=LINE, linewidth=0.7)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_xlabel("test accuracy, %")
        columns = max(1, min(len(methods), 52 // (6 + max(map(len, methods)))))
        figure.legend(loc="outside upper left", ncols=columns, frameon=False, handletextpad=0.2, columnspacing=1.2)
        return _svg(figure, "Accuracy by task and method")


def against_parameters(points: Mapping[str, tuple[float, float]], methods: Sequence[str]) -> str:
    """Accuracy (group mean) against tuned parameters on a logarithmic axis; `points` maps a method to (count, 0-1)."""
    with mpl.rc_context(_STYLE):
        figure = Figure((4.6, 3.1), layout="constrained")
        axes = figure.subplots()
        found = [method for method in methods if method in points]
        for method in found:
            count, value = points[method]
            axes.plot([count], [100 * value], linestyle="", markersize=8, **_marker(methods.index(method)))
        axes.set_xscale("log")
        axes.margins(0.16, 0.18)
        middle = math.sqrt(math.prod(axes.get_xlim()))
        heights = _spread([100 * points[method][1] for method in found], _gap(axes))
        for method, y in zip(found, heights, strict=True):
            x = points[method][0]
            left = x > middle
            place: dict[str, Any] = {
                "xytext": (-8 if left else 8, 0),
                "ha": "right" if left else "left",
                "va": "center_baseline",
            }
            axes.annotate(method, (x, y), textcoords="offset points", **place)
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1,) if high > 200 * low else (1, 2, 5)))
        axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(_counted))
        axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
        axes.grid()
        axes.set_xlabel("tuned parameters, head included")
        axes.set_ylabel("group mean, %")
        return _svg(figure, "Accuracy against tuned parameters")


def curves(table: pd.DataFrame, task: str, methods: Sequence[str]) -> str:
    """Training accuracy by epoch on one task: a line per method, a band from the lowest seed to the highest."""
    with mpl.rc_context(_STYLE):
        figure = Figure((3.5, max(2.4, 0.21 * len(methods) + 0.5)), layout="constrained")
        axes = figure.subplots()
        ends: dict[str, tuple[float, float]] = {}
        for index, method in enumerate(methods):
            rows = table[(table["task"] == task) & (table["method"] == method)]
            if rows.empty:
                continue
            seeds = 100 * rows.pivot_table(index="epoch", columns="seed", values="accuracy")
            epochs, mean = np.asarray(seeds.index) + 1, seeds.mean(axis=1).to_numpy()
            colour, dash = SERIES[index % len(SERIES)], _dash(index)
            if seeds.shape[1] > 1:
                axes.fill_between(epochs, seeds.min(axis=1), seeds.max(axis=1), color=colour, alpha=0.18, linewidth=0)
            axes.plot(epochs, mean, color=colour, linestyle=dash, linewidth=1.6, label=method)
            ends[method] = (float(epochs[-1]), float(mean[-1]))
        axes.set_title(task)
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True, nbins=5))
        axes.grid(axis="y")
        axes.set_xlabel("epoch")
        axes.set_ylabel("training accuracy, %")
        heights = _spread([y for _, y in ends.values()], _gap(axes), top=axes.get_ylim()[1])
        right = max((x for x, _ in ends.values()), default=1.0)
        for (method, _), y in zip(ends.items(), heights, strict=True):
            colour = SERIES[methods.index(method) % len(SERIES)]
            place: dict[str, Any] = {
                "xytext": (6, 0),
                "textcoords": "offset points",
                "va": "center_baseline",
                "color": colour,
            }
            axes.annotate(method, (right, y), annotation_clip=False, **place)
        return _svg(figure, f"Training accuracy by epoch on {task}")


def affinity(matrix: Sequence[Sequence[float]], task: str, first_blocks: Sequence[int], floor: float) -> str:
    """Affinity (L, L) of the blocks on one task as a heat map from `floor` to 1, a frame around each level."""
    with mpl.rc_context(_STYLE):
        figure = Figure((3.3, 3.0), layout="constrained")
        axes = figure.subplots()
        depth = len(matrix)
        colours = mpl.colormaps["cividis"].resampled(32)  # from 50 on, the bar would be a bitmap
        image = axes.pcolormesh(np.asarray(matrix), cmap=colours, vmin=floor, vmax=1, edgecolors="face", linewidth=0.3)
        for start, stop in zip(first_blocks, [*first_blocks[1:], depth], strict=True):
            size = stop - start
            axes.add_patch(Rectangle((start, start), size, size, fill=False, edgecolor="#ffffff", linewidth=3.2))
            axes.add_patch(Rectangle((start, start), size, size, fill=False, edgecolor="#c02020", linewidth=1.6))
        every = math.ceil(depth / 12)
        ticks = np.arange(0, depth, every)
        axes.set_xticks(ticks + 0.5, [str(tick) for tick in ticks])
        axes.set_yticks(ticks + 0.5, [str(tick) for tick in ticks])
        axes.set(aspect="equal", title=task, xlabel="block", ylabel="block", ylim=(depth, 0))
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=22, pad=0.03)
        bar.outline.set_visible(False)
        bar.ax.collections[-1].set_edgecolor("face")  # no seams
        return _svg(figure, f"Affinity of the blocks on {task}")


def _counted(count: float, _: object) -> str:
    """20000 as 20 K, 5000000 as 5 M."""
    return f"{count / 1e6:g} M" if count >= 1e6 else f"{count / 1e3:g} K" if count >= 1e3 else f"{count:g}"


def _marker(index: int) -> dict[str, Any]:
    """Colour and marker of a method; each pair once in 64, since a colour that comes again has another marker."""
    again = index // len(SERIES)
    return {"color": SERIES[index % len(SERIES)], "marker": MARKERS[(index + again) % len(MARKERS)]}


def _dash(index: int) -> tuple[float, tuple[float, ...]]:
    """The line of a method; a colour that comes again has another."""
    return DASHES[(index + index // len(SERIES)) % len(DASHES)]


def _gap(axes: Axes) -> float:
    """Height of a line of text in the units of the y axis."""
    low, high = axes.get_ylim()
    return (high - low) * 14 / 72 / (axes.figure.get_figheight() * 0.75)  # type: ignore[union-attr]


def _spread(heights: Sequence[float], gap: float, top: float = math.inf) -> list[float]:
    """The heights, moved apart until neighbours keep `gap` and none is above `top`: no label overlaps."""
    order = np.argsort(np.asarray(heights), kind="stable")
    moved = np.asarray(heights, dtype=float)[order]
    for _ in range(200):
        for i in range(len(moved) - 1):
            lack = gap - (moved[i + 1] - moved[i])
            if lack > 1e-9:
                moved[i] -= lack / 2
                moved[i + 1] += lack / 2
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], top - (len(moved) - 1 - i) * gap)
    result = np.empty_like(moved)
    result[order] = moved
    return [float(value) for value in result]


def _svg(figure: Figure, title: str) -> str:
    """The figure as one svg element: no date, no external reference, ids that no other figure has, theme colours."""
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": title}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, flags=re.DOTALL)  # would style the whole page
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'(<svg [^>]*?) width="[^"]*pt"', r"\1", text)
    text = re.sub(r'(<svg [^>]*?) height="[^"]*pt"', r"\1", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" stroke-linejoin="round" ', 1)
