"""A page of what is there, where some runs could not be made: what is missing, and why."""

from __future__ import annotations

from pathlib import Path

from ship.artifacts import Run, backbone_file, data_folder, features_file, hierarchy_file, settings_file
from ship.experiment.params import Params
from ship.report.aggregate import aggregate, expected_runs, missing_runs
from ship.report.page import write_page
from ship.report.stale import stale_runs

NOT_STARTED = "not started"
PARTIAL = Path("report", "partial")
"""The page index.html, and the tables that it shows; apart from results/, which hold whole tables only"""


def write_partial(params: Params, root: Path = Path()) -> Path:
    """Write the page of the runs that are there under `root`; where it lies. Raises BadInput where none is.

    What an older experiment left, in a clone or before an edit, is not there.
    """
    folder = root / PARTIAL
    absent = {*missing_runs(params, root), *stale_runs(params, root)}
    missing = {run: why(run, root) for run in expected_runs(params) if run in absent}
    aggregate(params, root, folder, without=missing)
    write_page(params, root, folder / "index.html", tables=folder, missing=missing)
    return folder / "index.html"


def log_of(run: Run) -> Path:
    """What the training of a run says."""
    return Path("logs", "train", f"{run}.log")


def why(run: Run, root: Path = Path()) -> str:
    """Why a run is not there: the last line that the first unfinished step before it has logged."""
    logs = Path("logs")
    steps = {
        data_folder(run.task) / "task.json": logs / "prepare" / f"{run.task}.log",
        backbone_file(run.backbone): logs / "backbone" / f"{run.backbone}.log",
        features_file(run.backbone, run.task): logs / "features" / run.backbone / f"{run.task}.log",
        hierarchy_file(run.backbone, run.task): logs / "hierarchy" / run.backbone / f"{run.task}.log",
        settings_file(*run[:3]): logs / "search" / run.backbone / run.task / f"{run.method}.log",
        run.folder / "run.json": log_of(run),
    }
    log = next((log for made, log in steps.items() if not (root / made).exists()), None)
    if log is None:
        return "not made again, after settings or images have changed"
    if not (root / log).exists():
        return NOT_STARTED
    lines = (root / log).read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f"{log}: {said[-1] if said else 'ended without a word'}"
