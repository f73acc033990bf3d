"""What every figure shares: its style, the look of a method, labels that do not overlap, and its SVG text."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT, LINE = "#1f2430", "#667080", "#d5d9e0"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195", "#6b6f76")  # after Okabe and Ito
MARKERS = "osD^vPX*"
LONGEST = 24  # characters of a name in a figure
DASHES: tuple[tuple[float, tuple[float, ...]], ...] = ((0, ()), (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.6, 1.2, 1.6)))

# a reader's style sheet may set --ink ... --c7; without one the colours above are seen
FONT = "font-family=\"'DejaVu Sans', sans-serif\""
_NUMBER = re.compile(r"\d+\.\d+")
_TEXT = re.compile(r'(<text [^>]*style="[^"]*?)fill:(var\(--c\d, #[0-9a-f]{6}\))')
_VARIABLES = {INK: "--ink", FAINT: "--faint", LINE: "--line"} | {c: f"--c{i}" for i, c in enumerate(SERIES)}
STYLE: Any = {
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


def marker(index: int) -> dict[str, Any]:
    """Colour and marker of a method; each pair once in 64, since a colour that comes again has another marker."""
    again = index // len(SERIES)
    return {"color": SERIES[index % len(SERIES)], "marker": MARKERS[(index + again) % len(MARKERS)]}


def dash_of(index: int) -> tuple[float, tuple[float, ...]]:
    """The line of a method; a colour that comes again has another."""
    return DASHES[(index + index // len(SERIES)) % len(DASHES)]


def short(name: str) -> str:
    """The name as figures have room for it: of a long one its start and its end."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 10]}…{name[-9:]}"


def gap_of(axes: Axes) -> float:
    """Height of a line of text in the units of the y axis."""
    low, high = axes.get_ylim()
    return (high - low) * 14 / 72 / (axes.figure.get_figheight() * 0.75)  # type: ignore[union-attr]


def spread(heights: Sequence[float], gap: float, top: float = math.inf) -> list[float]:
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


def svg(figure: Figure, title: str) -> str:
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
    text = re.sub(r' transform="rotate\(-?0 [^"]*"', "", text)
    text = re.sub(r' d="([^"]+)"', lambda path: f' d="{_path(path[1])}"', text)
    text = re.sub(r' (?:x|y|transform)="[^"]+"', lambda place: _NUMBER.sub(_hundredth, place[0]), text)
    text = re.sub(r' style="[^"]+"', lambda style: re.sub(r"([:;]) ", r"\1", style[0]), text)
    text = re.sub(r"font-family:[^;\"]*;?", "", re.sub(r"\n\s+", "\n", text).replace("<g/>\n", ""))
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    text = _TEXT.sub(r"\1fill:color-mix(in srgb,\2 55%,var(--ink, #1f2430))", text)  # lines may be pale, words may not
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" stroke-linejoin="round" {FONT} ', 1)


def _path(d: str) -> str:
    """The path with tenths of a point, relative to each other where they are of lines: most of a large page is paths.

    Nobody sees less. A path with curves, a marker, keeps hundredths, since it is small.
    """
    if not re.fullmatch(r"[MLz\d\s.-]+", d):
        return re.sub(r"\s*([A-Za-z])\s+(?=[-\d])|\s+(?=z|$)", r"\1", _NUMBER.sub(_hundredth, d)).strip()
    short = ""
    for line in re.findall(r"M[^M]+", d):
        points = np.rint(10 * np.array(re.findall(r"-?[\d.]+", line), dtype=float)).astype(int).reshape(-1, 2)
        steps = np.diff(points, axis=0).ravel().tolist()
        short += "M" + _joined(points[0].tolist()) + ("l" + _joined(steps) if steps else "") + "z" * line.count("z")
    return short


def _joined(tenths: Sequence[int]) -> str:
    """Numbers as a path has them: a minus separates as well as a space."""
    return re.sub(r" (?=-)", "", re.sub(r"\b0\.", ".", " ".join(f"{number / 10:g}" for number in tenths)))


def _hundredth(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
