"""Why a run is not there, by the logs of the steps before it."""

from __future__ import annotations

from pathlib import Path

from ship.artifacts import Run, backbone_file, data_folder, features_file, hierarchy_file, settings_file

NOT_STARTED = "not started"


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
