"""How far an experiment has come: its runs by row and task, what is done, what is not, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ship.artifacts import Run
from ship.experiment.params import Params
from ship.report.aggregate import expected_runs
from ship.report.reasons import NOT_STARTED, log_of, why
from ship.report.stale import Changes, Now, changes

SHOWN = 3  # changes of a run, in its line


class Status(NamedTuple):
    """Of one run."""

    run: Run
    state: str
    """done, stale, failed, unfinished or missing"""
    reason: str = ""


def statuses(params: Params, root: Path = Path()) -> list[Status]:
    """Of every run of the grid, in its order, by what the runs under `root` and their logs say of themselves."""
    now = Now(params, root)
    return [_status(now, run) for run in expected_runs(params)]


def lines(found: Sequence[Status]) -> list[str]:
    """A line for each backbone, task and method whose runs are not all done, and one that counts all."""
    rows: dict[str, list[Status]] = {}
    for status in found:
        rows.setdefault("/".join(status.run[:3]), []).append(status)
    width = max(map(len, rows), default=0)
    said = []
    for name, members in rows.items():
        for state, reason in dict.fromkeys((status.state, status.reason) for status in members):
            seeds = [str(s.run.seed) for s in members if (s.state, s.reason) == (state, reason)]
            if state != "done":
                said.append(f"{name:{width}}  seed {', '.join(seeds)}: {state}" + (f": {reason}" if reason else ""))
    counts = Counter(status.state for status in found)
    total = ", ".join(f"{count} {state}" for state, count in counts.items())
    return [*said, f"{len(found)} runs: {total}"]


def _status(now: Now, run: Run) -> Status:
    if (now.root / run.folder / "run.json").exists():
        found = changes(now, run)
        return Status(run, "stale", _told(found)) if found else Status(run, "done")
    reason = why(run, now.root)
    if reason == NOT_STARTED:
        return Status(run, "missing")
    if (now.root / run.folder / "resume.safetensors").exists() and f"{log_of(run)}: ship: " not in reason:
        return Status(run, "unfinished", reason)
    return Status(run, "failed", reason)


def _told(found: Changes) -> str:
    """Each key with the old value and the new one; of files and modules, that they are others."""
    said = []
    for key, (old, new) in found.items():
        group, _, name = key.partition(".")
        if group == "code":
            said.append(f"the code of {name}")
        elif group in {"backbone", "data"}:
            said.append(f"the {'weights of the backbone' if group == 'backbone' else f'images of {name}'}")
        elif group == "settings":
            said.append(str(new))
        else:
            said.append(f"{key} {_value(old)} -> {_value(new)}")
    more = f" and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return ", ".join(said[:SHOWN]) + more


def _value(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
