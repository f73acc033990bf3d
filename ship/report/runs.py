"""The runs of an experiment, and what each left: what it says of itself, and of every test image. Loads no torch."""

from __future__ import annotations

from itertools import product, starmap
from pathlib import Path
from typing import Any

from ship.artifacts import LOG, OUTPUTS, PREDICTIONS, RESULT, Run, hierarchy_file
from ship.evaluation.outcomes import Outcomes, read_outcomes
from ship.experiment import records
from ship.experiment.params import Params
from ship.experiment.records import read_record
from ship.locks import LOCK

UNFINISHED = (".part", "resume.safetensors", LOCK)  # what goes when a run ends, as .dvcignore has it
WATCHED = "best_test_epoch_accuracy"  # of a run, where the protocol looks at test after every epoch


def expected_runs(params: Params) -> list[Run]:
    """Every run of the grid, in its order; seeds ascend."""
    grid = params.grid
    return list(starmap(Run, product(grid.backbones, grid.tasks, grid.methods, sorted(grid.seeds))))


def missing_runs(params: Params, root: Path = Path()) -> list[Run]:
    """The runs of the grid that have not left all that the tables are made of under `root`."""
    return [run for run in expected_runs(params) if not all((root / file).exists() for file in files_of(run))]


def files_of(run: Run) -> tuple[Path, ...]:
    """The files of a run that the tables are made of."""
    return run.folder / RESULT, run.folder / PREDICTIONS, run.folder / LOG


def strays(params: Params, root: Path = Path()) -> list[Path]:
    """Files in runs/ and hierarchy/ that the grid does not leave there; DVC takes all for inputs of the table."""
    grid = params.grid
    known = {run.folder / name for run in expected_runs(params) for name in OUTPUTS}
    known |= set(starmap(hierarchy_file, product(grid.backbones, grid.tasks, (".safetensors", ".json"))))
    there = (path for folder in ("hierarchy", "runs") for path in (root / folder).rglob("*") if path.is_file())
    found = sorted(path.relative_to(root) for path in there if not path.name.endswith(UNFINISHED))
    return [path for path in found if path not in known]


def read_about(root: Path, run: Run) -> dict[str, Any]:
    """The run.json of a run under `root`. Raises BadInput where it is none."""
    return read_record(root / run.folder / RESULT, records.Run, f"ship train {run}")


def read_predictions(root: Path, run: Run) -> Outcomes:
    """What a run under `root` says of its test images. Raises BadInput where its file is broken."""
    return read_outcomes(root / run.folder / PREDICTIONS, f"ship train {run}")
