"""Going on with a run that was killed: what is saved between epochs, and whether it may be used."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ship.compute import Runtime, environment
from ship.errors import BadInput
from ship.experiment import records
from ship.experiment.records import check_record
from ship.methods.base import load_tuned, tuned_parameters, tuned_state
from ship.storage import read_tensors, sweep, write_tensors
from ship.training.loop import Epoch

RESUME = "resume.safetensors"  # there from the first finished epoch until the fit is
SAVING_SHARE = 0.05  # of the time, at most, that goes into saving

_log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How far a fit has come."""

    log: list[Epoch]
    watched: list[float]
    """what was measured after each epoch beside training, where something was"""


class Origin(NamedTuple):
    """What a fit is made of beside its settings, as it was before the fit began."""

    files: Mapping[Path, str]
    """sha256 of every file that it reads"""
    code: Mapping[str, str]
    """digest of every module that it reaches, as `Code.modules` gives them; nothing where nobody asks"""


def identity(settings: Sequence[object], origin: Origin, runtime: Runtime) -> str:
    """Digest of everything that decides the bits of a fit: settings, input files, code, how it is computed."""
    what = [sorted(part.items()) for part in origin]
    how = [runtime.threads, environment(runtime)]
    return hashlib.sha256(repr([settings, what, how]).encode()).hexdigest()


class Keeper:
    """Keeps in the file `path` how far the fit of that `mark` has come, so that it goes on to the same bits.

    `kept` are tensors by name that the fit changes beside the model; they are saved and put back with it.
    It saves the first epoch, and then as often as a share of the time allows: the clock decides only what a kill costs.
    """

    def __init__(
        self,
        path: Path,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        mark: str,
        clock: Callable[[], float] = time.monotonic,
        kept: dict[str, Tensor] | None = None,
    ) -> None:
        self.path, self.model, self.optimiser, self.mark, self.clock = path, model, optimiser, mark, clock
        self.kept = {} if kept is None else kept
        self.due = -math.inf

    def resume(self) -> Progress:
        """Put the model and the optimiser where a killed fit left them; how far it had come, nowhere for a new one."""
        if not self.path.exists():
            return Progress([], [])
        try:
            state, about = read_tensors(self.path)
            check_record(about, records.Epochs, self.path)
        except BadInput as error:
            _log.warning("%s: starting anew", error)
            return Progress([], [])
        if about["identity"] != self.mark:
            _log.info("%s: left by a run with other settings, inputs or code: starting anew", self.path)
            return Progress([], [])
        slots = {name: state.pop(name) for name in list(state) if name.startswith("optimiser.")}
        self.kept.update({name: state.pop(f"kept.{name}") for name in self.kept})
        load_tuned(self.model, state, str(self.path))
        for name, parameter in tuned_parameters(self.model).items():
            prefix = f"optimiser.{name}."
            kept = {key.removeprefix(prefix): value for key, value in slots.items() if key.startswith(prefix)}
            if kept:  # a tensor of no elements has no gradient, and so no state
                self.optimiser.state[parameter] = {k: v.to(parameter.device) for k, v in kept.items()}
        _log.info("%s: going on after epoch %d of it", self.path, len(about["log"]))
        return Progress([Epoch(*record) for record in about["log"]], about["watched"])

    def keep(self, progress: Progress) -> None:
        """Write what it takes to go on from here, unless it was written a short while ago."""
        begin = self.clock()
        if begin < self.due:
            return
        kept = {f"kept.{name}": tensor for name, tensor in self.kept.items()}
        state = {**tuned_state(self.model), **_optimiser_state(self.model, self.optimiser), **kept}
        write_tensors(self.path, state, {"identity": self.mark, **progress._asdict()})
        end = self.clock()
        self.due = end + (end - begin) * (1 / SAVING_SHARE - 1)


def clear(folder: Path, *files: str) -> None:
    """Remove from `folder` what only an unfinished fit or search needs, and the drafts that a kill left there."""
    for name in files:
        (folder / name).unlink(missing_ok=True)
    sweep(folder)


def _optimiser_state(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors by the names of the parameters."""
    return {
        f"optimiser.{name}.{key}": tensor
        for name, parameter in tuned_parameters(model).items()
        for key, tensor in optimiser.state[parameter].items()
    }
