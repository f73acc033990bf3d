"""Why a run is not there: what the first unfinished step before it has logged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ship.artifacts import RESULT, Run, backbone_file, features_file, hierarchy_file, log_file, settings_file, task_file

ERROR = re.compile(r"ship: |Error: |[\w.]*(Error|Exception|Interrupt)\b")


class Reason(NamedTuple):
    """What the log of a step that has not left its files ends with."""

    log: Path
    state: str
    """failed; unfinished: neither an error nor an end; missing: not started, or deleted since"""
    words: str


def why(run: Run, root: Path = Path()) -> Reason | None:
    """Of the first unfinished step before a run, or of the run itself; None where all have left their files."""
    both = run.backbone, run.task
    steps = {
        task_file(run.task): log_file("prepare", run.task),
        backbone_file(run.backbone): log_file("backbone", run.backbone),
        features_file(*both): log_file("features", *both),
        hierarchy_file(*both): log_file("hierarchy", *both),
        settings_file(*run.row): log_file("search", *run.row),
        run.folder / RESULT: log_file("train", str(run)),
    }
    log = next((log for made, log in steps.items() if not (root / made).exists()), None)
    if log is None:
        return None
    downloads = log_file("download", run.task, "*")
    before = sorted(root.glob(str(downloads))) if log.parent.name == "prepare" else []
    found = (_read(download.relative_to(root), root) for download in before)
    return next((reason for reason in found if reason.state == "failed"), None) or _read(log, root)


def _read(log: Path, root: Path) -> Reason:
    if not (root / log).exists():
        return Reason(log, "missing", "")
    lines = (root / log).read_text(encoding="utf-8", errors="replace").split("\n")
    begun = (line.rstrip() for line in reversed(lines) if line.strip() and not line[0].isspace())  # others go on
    last = next(begun, "")
    if ERROR.match(last):
        return Reason(log, "failed", last + (" (before params.yaml was changed)" if _is_older(log, root) else ""))
    if last.endswith(": done"):
        return Reason(log, "missing", "deleted since it was made")
    if last:
        return Reason(log, "unfinished", f"still running, or killed (memory, time, disk): it said last {last!r}")
    how = "waiting, just begun, killed (memory, time, disk), or refused by Slurm (`python workflow/doctor.py`)"
    return Reason(log, "unfinished", f"{how}: it said nothing at all")


def _is_older(log: Path, root: Path) -> bool:
    """Whether a log is of a time before the experiment was what it is now."""
    params = root / "params.yaml"
    return params.exists() and (root / log).stat().st_mtime < params.stat().st_mtime
