"""Going on with a run that was killed: what is saved after each epoch, and whether it may be used."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from torch import Tensor, nn

import ship
from ship.artifacts import (
    Run,
    backbone_file,
    data_folder,
    features_file,
    hierarchy_file,
    read_tensors,
    sha256,
    write_tensors,
)
from ship.compute import Compute, environment
from ship.config import Params
from ship.methods.base import load_tuned, tuned_parameters, tuned_state
from ship.train import Epoch

_log = logging.getLogger(__name__)


def resume_file(run: Run) -> Path:
    """There from the first finished epoch until the run is."""
    return run.folder / "resume.safetensors"


def clear(run: Run) -> None:
    """Remove what only an unfinished run needs, and the drafts that a kill in the middle of a write left."""
    drafts = [*run.folder.glob(".*.part"), *run.result.parent.glob(f".{run.result.name}.*.part")]
    for path in [resume_file(run), *drafts]:
        path.unlink(missing_ok=True)


def identity(params: Params, run: Run, compute: Compute) -> str:
    """Digest of everything that decides the bits of a run: settings, inputs, code, environment."""
    files = [data_folder(run.task) / name for name in ("train.parquet", "val.parquet", "task.json")]
    files += [backbone_file(params.backbone.name), features_file(run.task), hierarchy_file(run.task)]
    code = sorted(Path(ship.__file__).parent.rglob("*.py"))
    row, recipe = params.methods[run.method], params.train_of(run.method, run.task)
    settings = [
        run,
        row.method,
        params.options_of(run.method, run.task),
        recipe.model_dump(),
        params.compute.model_dump(),
    ]
    digests = [sha256(path) for path in [*files, *code]]
    return hashlib.sha256(repr([settings, digests, environment(compute)]).encode()).hexdigest()


def resume(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, mark: str) -> list[Epoch]:
    """Put the model and the optimiser where a killed run left them; the records of its epochs, none for a new run."""
    if not path.exists():
        return []
    state, about = read_tensors(path)
    if about["identity"] != mark:
        _log.info("%s: left by a run with other settings, inputs or code: starting anew", path)
        return []
    slots = {name: state.pop(name) for name in list(state) if name.startswith("optimiser.")}
    load_tuned(model, state, str(path))
    for name, parameter in tuned_parameters(model).items():
        prefix = f"optimiser.{name}."
        kept = {key.removeprefix(prefix): value for key, value in slots.items() if key.startswith(prefix)}
        if kept:  # a tensor of no elements has no gradient, and so no state
            optimiser.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in kept.items()}
    _log.info("%s: going on after epoch %d of it", path, len(about["log"]))
    return [Epoch(*record) for record in about["log"]]


def save(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, mark: str, log: list[Epoch]) -> None:
    """Write what it takes to go on after the last epoch of `log`."""
    state = {**tuned_state(model), **_optimiser_state(model, optimiser)}
    write_tensors(path, state, {"identity": mark, "log": log})


def _optimiser_state(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's tensors by the names of the parameters."""
    return {
        f"optimiser.{name}.{key}": tensor
        for name, parameter in tuned_parameters(model).items()
        for key, tensor in optimiser.state[parameter].items()
    }
