"""Draw docs/embedded-backbone.svg from docs/embedded-backbone.csv: pre-training steps against transfer.

    python benchmarks/curve.py docs/embedded-backbone.csv docs/embedded-backbone.svg

The CSV (`step,task,accuracy`) holds the test accuracy of the quick start's linear probe on the weights
that a pre-training has after so many steps.
"""

from __future__ import annotations

import sys

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure


def main(table: str, picture: str) -> None:
    mpl.rcParams.update({"svg.hashsalt": "curve", "svg.fonttype": "none"})  # the same bytes every time
    rows = pd.read_csv(table)
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for task, found in rows.sort_values("step").groupby("task", sort=False):
        axes.plot(found["step"], 100 * found["accuracy"], marker="o", markersize=4, label=task)
    axes.set(xlabel="pre-training steps (256 images each)", ylabel="linear probe, test accuracy (%)", ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
