"""Going on with a run that was killed: what is saved after each epoch, and whether it may be used."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import ship
from ship.artifacts import read_tensors, sha256, write_tensors
from ship.compute import Compute, environment
from ship.methods.base import load_tuned, tuned_parameters, tuned_state
from ship.train import Epoch

_log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How far a fit has come."""

    log: list[Epoch]
    watched: list[float]
    """what was measured after each epoch beside training, where something was"""


def identity(settings: Sequence[object], files: Sequence[Path], compute: Compute) -> str:
    """Digest of everything that decides the bits of a fit: settings, input files, code, how it is computed."""
    code = sorted(Path(ship.__file__).parent.rglob("*.py"))
    digests = [sha256(path) for path in [*files, *code]]
    how = [compute.threads, compute.precision, environment(compute)]
    return hashlib.sha256(repr([settings, digests, how]).encode()).hexdigest()


def resume(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, mark: str) -> Progress:
    """Put the model and the optimiser where a killed fit left them; how far it had come, nowhere for a new one."""
    if not path.exists():
        return Progress([], [])
    state, about = read_tensors(path)
    if about["identity"] != mark:
        _log.info("%s: left by a run with other settings, inputs or code: starting anew", path)
        return Progress([], [])
    slots = {name: state.pop(name) for name in list(state) if name.startswith("optimiser.")}
    load_tuned(model, state, str(path))
    for name, parameter in tuned_parameters(model).items():
        prefix = f"optimiser.{name}."
        kept = {key.removeprefix(prefix): value for key, value in slots.items() if key.startswith(prefix)}
        if kept:  # a tensor of no elements has no gradient, and so no state
            optimiser.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in kept.items()}
    _log.info("%s: going on after epoch %d of it", path, len(about["log"]))
    return Progress([Epoch(*record) for record in about["log"]], about["watched"])


def save(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, mark: str, progress: Progress) -> None:
    """Write what it takes to go on from here."""
    state = {**tuned_state(model), **_optimiser_state(model, optimiser)}
    write_tensors(path, state, {"identity": mark, **progress._asdict()})


def _optimiser_state(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors by the names of the parameters."""
    return {
        f"optimiser.{name}.{key}": tensor
        for name, parameter in tuned_parameters(model).items()
        for key, tensor in optimiser.state[parameter].items()
    }
