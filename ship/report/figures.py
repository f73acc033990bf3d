"""Figures as SVG text whose bytes depend on the data alone; colours follow the page's light or dark scheme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ship.evaluation.quality import Reliability
from ship.report.svg import INK, LINE, SERIES, STYLE, dash_of, gap_of, marker, short, spread, svg

Ends = dict[str, tuple[float, float]]
"""where the line of each method ends"""


def accuracy(table: pd.DataFrame, runs: pd.DataFrame, methods: Sequence[str], backbone: str) -> str:
    """Accuracy by task (rows) and method (markers): mean over seeds, 95 % interval, and a tick for every seed."""
    tasks = list(table["task"].unique())
    step = 0.8 / max(3, len(methods))
    with mpl.rc_context(STYLE):
        figure = Figure((5.2, 0.75 + len(tasks) * max(0.6, 0.1 * len(methods) + 0.2)), layout="constrained")
        axes = figure.subplots()
        for index, method in enumerate(methods):
            style = marker(index)
            offset = (index - (len(methods) - 1) / 2) * step
            for row in table[table["method"] == method].to_dict("records"):
                y = tasks.index(row["task"]) + offset
                seeds = 100 * runs.loc[(runs["task"] == row["task"]) & (runs["method"] == method), "accuracy"]
                axes.plot(
                    [100 * row["low"], 100 * row["high"]], [y, y], color=style["color"], linewidth=1.6, alpha=0.55
                )
                axes.plot(seeds, [y] * len(seeds), "|", color=style["color"], markersize=5, markeredgewidth=0.8)
                axes.plot([100 * row["accuracy"]], [y], linestyle="", markersize=5.5, **style)
            axes.plot([], [], linestyle="", markersize=5.5, label=short(method), **style)
        axes.set_yticks(range(len(tasks)), [short(task) for task in tasks], color=INK)
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        for edge in range(1, len(tasks)):
            axes.axhline(edge - 0.5, color=LINE, linewidth=0.7)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_xlabel("test accuracy, %")
        _legend(figure, methods)
        return svg(figure, f"Accuracy by task and method on {backbone}")


def against_parameters(points: Mapping[str, tuple[float, float]], methods: Sequence[str], backbone: str) -> str:
    """Accuracy (group mean) against tuned parameters on a logarithmic axis; `points` maps a method to (count, 0-1)."""
    with mpl.rc_context(STYLE):
        shown = [method for method in methods if method in points]
        rows = math.ceil(len(shown) / _columns(shown))
        figure = Figure((5.2, 2.7 + 0.2 * rows), layout="constrained")
        axes = figure.subplots()
        for method in shown:
            count, value = points[method]
            style = marker(methods.index(method))
            axes.plot([count], [100 * value], linestyle="", markersize=8, label=short(method), **style)
        axes.set_xscale("log")
        axes.margins(0.08, 0.12)
        _legend(figure, shown)
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1,) if high > 200 * low else (1, 2, 5)))
        axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(_counted))
        axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
        axes.grid()
        axes.set_xlabel("tuned parameters, head included")
        axes.set_ylabel("group mean, %")
        _tick_shares(axes)
        return svg(figure, f"Accuracy against tuned parameters on {backbone}")


def across_backbones(means: Mapping[str, Mapping[str, float]], methods: Sequence[str]) -> str:
    """Accuracy by backbone: `means` maps a backbone to the group means (0-1) of its methods; a line per method."""
    backbones = list(means)
    with mpl.rc_context(STYLE):
        figure = Figure((5.2, max(2.6, 0.21 * len(methods) + 0.8)), layout="constrained")
        axes = figure.subplots()
        ends: Ends = {}
        for index, method in enumerate(methods):
            values = [100 * means[backbone].get(method, math.nan) for backbone in backbones]
            axes.plot(range(len(backbones)), values, linestyle=dash_of(index), linewidth=1.6, **marker(index))
            if known := [value for value in values if not math.isnan(value)]:
                ends[method] = (len(backbones) - 1, known[-1])
        axes.set_xticks(range(len(backbones)), [short(backbone) for backbone in backbones], color=INK)
        axes.set_xlim(-0.3, len(backbones) - 0.7)
        axes.grid(axis="y")
        axes.set_ylabel("group mean, %")
        _tick_shares(axes)
        _label(axes, ends, methods, away=8)
        return svg(figure, "Accuracy by backbone and method")


def curves(table: pd.DataFrame, task: str, methods: Sequence[str], backbone: str) -> str:
    """Training accuracy by epoch on one task: a line per method, a band from the lowest seed to the highest.

    Where methods have other numbers of epochs, by the share of theirs, so that all lines end where their labels are.
    """
    last = table[table["task"] == task].groupby("method")["epoch"].max() + 1
    shares = last.min() < last.max()
    with mpl.rc_context(STYLE):
        figure = Figure((3.5, max(2.4, 0.21 * len(methods) + 0.5)), layout="constrained")
        axes = figure.subplots()
        ends: Ends = {}
        for index, method in enumerate(methods):
            rows = table[(table["task"] == task) & (table["method"] == method)]
            if rows.empty:
                continue
            seeds = 100 * rows.pivot_table(index="epoch", columns="seed", values="accuracy")
            epochs, mean = np.asarray(seeds.index) + 1, seeds.mean(axis=1).to_numpy()
            along = 100 * epochs / epochs[-1] if shares else epochs
            colour, dash = SERIES[index % len(SERIES)], dash_of(index)
            if seeds.shape[1] > 1:
                axes.fill_between(along, seeds.min(axis=1), seeds.max(axis=1), color=colour, alpha=0.18, linewidth=0)
            point: dict[str, Any] = {"marker": "o", "markersize": 4} if len(epochs) == 1 else {}  # which is no line
            axes.plot(along, mean, color=colour, linestyle=dash, linewidth=1.6, label=method, **point)
            ends[method] = (float(along[-1]), float(mean[-1]))
        axes.set_title(short(task))
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True, nbins=5, min_n_ticks=1))
        axes.grid(axis="y")
        axes.set_xlabel("% of its epochs" if shares else "epoch")
        axes.set_ylabel("training accuracy, %")
        _tick_shares(axes)
        _label(axes, ends, methods, away=6)
        return svg(figure, f"Training accuracy by epoch on {task} with {backbone}")


def affinity(
    matrix: Sequence[Sequence[float]], task: str, first_blocks: Sequence[int], floor: float, backbone: str
) -> str:
    """Affinity (L, L) of the blocks on one task as a heat map from `floor` to 1, a frame around each level."""
    with mpl.rc_context(STYLE):
        figure = Figure((3.3, 3.0), layout="constrained")
        axes = figure.subplots()
        depth = len(matrix)
        colours = mpl.colormaps["cividis"].resampled(32)  # from 50 on, the bar would be a bitmap
        look: dict[str, Any] = {"cmap": colours, "edgecolors": "face", "linewidth": 0.3, "clip_on": False}
        image = axes.pcolormesh(np.asarray(matrix), vmin=floor, vmax=1, **look)
        for start, stop in zip(first_blocks, [*first_blocks[1:], depth], strict=True):
            size = stop - start
            axes.add_patch(Rectangle((start, start), size, size, fill=False, edgecolor="#ffffff", linewidth=3.2))
            axes.add_patch(Rectangle((start, start), size, size, fill=False, edgecolor="#c02020", linewidth=1.6))
        every = math.ceil(depth / 8)
        ticks = np.arange(0, depth, every)
        axes.set_xticks(ticks + 0.5, [str(tick) for tick in ticks])
        axes.set_yticks(ticks + 0.5, [str(tick) for tick in ticks])
        axes.set(aspect="equal", title=short(task), xlabel="block", ylabel="block", ylim=(depth, 0))
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=22, pad=0.03)
        bar.outline.set_visible(False)
        bar.ax.collections[-1].set(edgecolor="face", clip_on=False)  # no seams
        return svg(figure, f"Affinity of the blocks of {backbone} on {task}")


def reliability(found: Reliability, task: str) -> str:
    """Accuracy against confidence, bin by bin: areas are as numbers of images; on the line, confidence is right."""
    with mpl.rc_context(STYLE):
        figure = Figure((3.3, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color=LINE, linewidth=1.2)
        there = found.counts > 0
        x, y = 100 * found.confidences[there], 100 * found.accuracies[there]
        axes.plot(x, y, color=SERIES[0], linewidth=1.2, alpha=0.6)
        axes.scatter(x, y, s=8 + 160 * found.counts[there] / found.counts.sum(), color=SERIES[0], linewidth=0)
        axes.set(aspect="equal", xlim=(0, 102), ylim=(0, 102), xlabel="confidence, %", ylabel="accuracy, %")
        axes.set_title("Confidence")
        axes.grid()
        return svg(figure, f"Accuracy against confidence on {task}")


def _label(axes: Axes, ends: Ends, methods: Sequence[str], away: float) -> None:
    """The method of each line, `away` points to the right of where the last of them ends, none on another."""
    heights = spread([y for _, y in ends.values()], gap_of(axes), top=axes.get_ylim()[1])
    right = max((x for x, _ in ends.values()), default=1.0)
    place: dict[str, Any] = {"xytext": (away, 0), "textcoords": "offset points", "va": "center_baseline"}
    for method, y in zip(ends, heights, strict=True):
        colour = SERIES[methods.index(method) % len(SERIES)]
        axes.annotate(short(method), (right, y), annotation_clip=False, color=colour, **place)


def _tick_shares(axes: Axes) -> None:
    """No tick above 100 %, where the room around a point or a line goes beyond."""
    low, high = axes.get_ylim()
    if high > 100:
        axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= 100])


def _legend(figure: Figure, methods: Sequence[str]) -> None:
    """Above the figure, the markers and their methods."""
    look: dict[str, Any] = {"frameon": False, "handletextpad": 0.2, "columnspacing": 1.2}
    figure.legend(loc="outside upper left", ncols=_columns(methods), **look)


def _columns(methods: Sequence[str]) -> int:
    """How many of the methods fit beside each other in a legend, which fills column after column."""
    lengths = [6 + len(short(method)) for method in methods]
    widths = {n: sum(max(part) for part in np.array_split(lengths, n)) for n in range(1, len(methods) + 1)}
    return max((n for n, width in widths.items() if width <= 52), default=1)


def _counted(count: float, _: object) -> str:
    """20000 as 20 K, 5000000 as 5 M."""
    return f"{count / 1e6:g} M" if count >= 1e6 else f"{count / 1e3:g} K" if count >= 1e3 else f"{count:g}"
