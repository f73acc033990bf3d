"""How far an experiment has come: its runs, what is done, what is not, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from ship.artifacts import Run, data_folder, notices_file
from ship.errors import BadInput
from ship.experiment import records
from ship.experiment.params import Params, read_params
from ship.experiment.records import read_record
from ship.report.reasons import why
from ship.report.runs import expected_runs, missing_runs
from ship.report.stale import Now, changes, changes_line
from ship.storage import free_disk

ROOM = 2**20  # bytes: with less, a log lacks its last words
CURES = {
    "failed": "Put right what failed, and give the same command again: what is done stays done "
    "(`ship report --partial` shows it).",
    "unfinished": "What was cut off goes on where it was saved, by the same command "
    "(after a kill of Snakemake itself, `snakemake --unlock` before it).",
    "stale": "What is stale is made again by `snakemake`; where it says `Nothing to be done` (its records are gone, or "
    "params.yaml was another one while it ran), by `snakemake --cores all --forcerun` and, for each run, the files "
    "results/settings/BACKBONE/TASK/METHOD.json and runs/BACKBONE/TASK/METHOD/SEED/run.json.",
    "left over": "What is left over is of no run in params.yaml, and stays; "
    "DVC alone (`dvc repro`, `workflow/state.py record`) wants it moved or deleted.",
}

T = TypeVar("T")


class Status(NamedTuple):
    """Of one run."""

    run: Run
    state: str
    """done, stale, failed, unfinished, missing, or left over: there, and not in the grid"""
    reason: str = ""
    log: Path | None = None

    def __str__(self) -> str:
        """State and reason, and where to read on."""
        return f"{self.words}{f' ({self.log})' if self.log else ''}"

    @property
    def words(self) -> str:
        """State and reason."""
        return f"{self.state}{f': {self.reason}' if self.reason else ''}"


def statuses(params: Params, root: Path = Path()) -> list[Status]:
    """Of every run of the grid, in its order, and of those left over, by what runs and logs under `root` say."""
    now, missing = Now(params, root), set(missing_runs(params, root))
    found = {run: _status(now, run, there=run not in missing) for run in expected_runs(params)}
    places = (path.parts[-4:] for path in sorted(root.glob("runs/*/*/*/*")) if any(path.glob("[!.]*")))
    others = (Run(backbone, task, row, int(seed)) for backbone, task, row, seed in places if seed.isdecimal())
    return [*found.values(), *(Status(run, "left over") for run in others if run not in found)]


def doubts(place: Path) -> str:
    """What speaks against the run in the folder `place`, by the params.yaml of its project; empty for nothing."""
    root, run = _run_in(place)
    if run is None or not (root / "params.yaml").is_file():
        return ""
    params = read_params(root / "params.yaml")
    if run not in expected_runs(params):
        return f"{run}: is no run of params.yaml any more"
    axes = {"backbones": [run.backbone], "tasks": [run.task], "methods": [run.method], "seeds": [run.seed]}
    alone = params.model_copy(update={"grid": params.grid.model_copy(update=axes)})  # whose files alone are read
    found = changes(Now(alone, root), run)
    return f"{run}: is stale: {changes_line(found)} (snakemake trains it again)" if found else ""


def not_done(params: Params, root: Path = Path()) -> dict[Run, str]:
    """The runs of the grid that are not done, and why."""
    return {found.run: str(found) for found in statuses(params, root) if found.state not in {"done", "left over"}}


def check_done(params: Params, root: Path = Path()) -> None:
    """Raise BadInput unless every run of the grid is done, and of the experiment that there is now."""
    if lacks := not_done(params, root):
        run, reason = next(iter(lacks.items()))
        raise BadInput(
            f"{root / run.folder}: expected a run of the experiment in params.yaml, got {reason}; so for {len(lacks)} "
            f"of {len(expected_runs(params))} runs (ship status; snakemake makes them)"
        )


def lines(found: Sequence[Status], root: Path = Path()) -> list[str]:
    """A line for all runs that lack the same for the same reason; then their numbers, and what to do."""
    said, every = [], _axes([status.run for status in found])
    for group in _groups(found, lambda status: (status.state, status.reason)).values():
        logs = [*dict.fromkeys(str(status.log) for status in group if status.log)]
        where = f" ({logs[0]}{f' and {len(logs) - 1} more' if logs[1:] else ''})" if logs else ""
        for name in names([status.run for status in group], every):
            said += [f"{name}: {group[0].words}{where}"] if group[0].state != "done" else []
    counts = Counter(status.state for status in found)
    own, extra = {state: count for state, count in counts.items() if state != "left over"}, counts["left over"]
    numbers = ", ".join(f"{count} {state}" for state, count in own.items())
    said.append(f"{sum(own.values())} runs: {numbers}" + (f"; {extra} left over" if extra else ""))
    for place in (root, root / "runs") if counts["failed"] + counts["unfinished"] else ():
        if place.exists() and (free := free_disk(place)) < ROOM:
            said.append(f"The disk of {place.resolve()} is full: {free} bytes are free.")
    return [*said, *(cure for state, cure in CURES.items() if counts[state])]


def notices(params: Params, root: Path = Path()) -> list[str]:
    """What was noticed of the images of the grid's tasks when they were prepared, a line each."""
    files = {task: root / notices_file(task) for task in params.grid.tasks}
    told = {task: read_record(path, records.Notices) for task, path in files.items() if path.exists()}
    return [f"{data_folder(task)}: {words}" for task, found in told.items() for words in found.get("warnings", [])]


def names(runs: Sequence[Run], every: Sequence[Collection[str]]) -> list[str]:
    """The `runs` as one name, such as vit_tiny/{a,b}/ssf/*, where they are all that it stands for; else one a row.

    A star is for all that there is on an axis, of which `every` has the values.
    """
    axes = _axes(runs)
    if math.prod(map(len, axes)) != len(runs):
        rows = _groups(runs, lambda run: run.row).values()
        return [name for row in rows for name in names(row, every)]
    parts = ("*" if len(some) == len(of) else f"{{{','.join(some)}}}" for some, of in zip(axes, every, strict=True))
    return ["/".join(part if len(some) > 1 else next(iter(some)) for part, some in zip(parts, axes, strict=True))]


def _run_in(place: Path) -> tuple[Path, Run | None]:
    """The project and the run of a folder runs/BACKBONE/TASK/METHOD/SEED; no run of another one."""
    folder = place if place.is_dir() else place.parent
    *root, runs, backbone, task, method, seed = ("", "", "", "", *folder.resolve().parts)
    known = runs == "runs" and seed.isdecimal()
    return Path(*root), Run(backbone, task, method, int(seed)) if known else None


def _axes(runs: Iterable[Run]) -> list[dict[str, None]]:
    """The backbones, tasks, methods and seeds of runs, each once, in their order."""
    return [dict.fromkeys(map(str, axis)) for axis in zip(*runs, strict=True)]


def _groups(found: Iterable[T], key: Callable[[T], Hashable]) -> dict[Hashable, list[T]]:
    groups: dict[Hashable, list[T]] = {}
    for one in found:
        groups.setdefault(key(one), []).append(one)
    return groups


def _status(now: Now, run: Run, *, there: bool) -> Status:
    reason = why(run, now.root)
    if there and (reason is None or reason.state == "missing"):
        found = changes(now, run)
        return Status(run, "stale", changes_line(found)) if found else Status(run, "done")
    if reason is None:
        return Status(run, "missing", "log.csv or predictions.parquet")
    return Status(run, reason.state, reason.words, None if reason.state == "missing" else reason.log)
