"""What each method cost, as Snakemake measured it: times differ from rerun to rerun, so they are no result."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ship.artifacts import Run, benchmark_file
from ship.experiment.params import Params


def costs(params: Params, root: Path, shown: Sequence[Run]) -> list[dict[str, Any]]:
    """Of each method that was measured: number of `runs`, median `seconds` of a run, largest `peak` memory in bytes.

    Only the runs that are `shown` count: others may have left the time of an older experiment.

    `search` is the median of the seconds that choosing the settings for a task took. It is None where none was
    measured; so is `peak` where all runs were over before Snakemake looked.
    """
    found = []
    for method in params.grid.methods:
        own = [run for run in shown if run.method == method]
        runs = _measured([root / run.benchmark for run in own])
        searched = dict.fromkeys((run.backbone, run.task) for run in own) if params.methods[method].search else ()
        searches = _measured([root / benchmark_file("search", *place, method) for place in searched])
        if not runs.empty:
            about = {"method": method, "runs": len(runs), "seconds": float(runs["s"].median())}
            search = None if searches.empty else float(searches["s"].median())
            peak = runs["max_rss"].max()
            found.append({**about, "search": search, "peak": None if pd.isna(peak) else float(peak) * 2**20})
    return found


def _measured(paths: Sequence[Path]) -> pd.DataFrame:
    """A row for each file that is whole: seconds `s`, and the largest resident set `max_rss` in MiB.

    A file that a kill cut off tells no cost, and no result hangs on it.
    """
    parts = []
    for path in paths:
        with suppress(FileNotFoundError, ValueError):  # the latter of a cut file
            table = pd.read_csv(path, sep="\t", na_values="-", usecols=["s", "max_rss"], dtype=float)
            parts.append(table[np.isfinite(table["s"])])
    return pd.concat(parts) if parts else pd.DataFrame(columns=["s", "max_rss"])
