"""What each method cost, as Snakemake measured it: times differ from rerun to rerun, so they are no result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ship.config import Params
from ship.report.tables import expected_runs


def costs(params: Params, root: Path, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Of each method that was measured: number of `runs`, median `seconds` of a run, largest `peak` memory in bytes.

    `search` is the median of the seconds that choosing the settings for a task took. It is None where none was
    measured; so is `peak` where all runs were over before Snakemake looked.
    """
    found = []
    for method in methods:
        runs = _measured([root / run.benchmark for run in expected_runs(params) if run.method == method])
        searched = params.grid.tasks if params.methods[method].search else []
        searches = _measured([root / "benchmarks" / "tune" / task / f"{method}.tsv" for task in searched])
        if not runs.empty:
            about = {"method": method, "runs": len(runs), "seconds": float(runs["s"].median())}
            search = None if searches.empty else float(searches["s"].median())
            peak = runs["max_rss"].max()
            found.append({**about, "search": search, "peak": None if pd.isna(peak) else float(peak) * 2**20})
    return found


def _measured(paths: Sequence[Path]) -> pd.DataFrame:
    """A row for each file that is there: seconds `s`, and the largest resident set `max_rss` in MiB."""
    parts = [pd.read_csv(path, sep="\t", na_values="-")[["s", "max_rss"]] for path in paths if path.exists()]
    return pd.concat(parts).astype(float) if parts else pd.DataFrame(columns=["s", "max_rss"])
