"""One step of training: forward, backward, optimiser. On a GPU it is recorded and replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ship.compute import Recording
from ship.methods.base import Method, Output, tuned_parameters
from ship.training.objective import Batch, Objective


@dataclass
class Step:
    """What one step does to the tuned parameters of `model`."""

    model: Method
    forward: Callable[[Tensor], Output]
    optimiser: torch.optim.Optimizer
    objective: Objective
    autocast: torch.autocast

    def __call__(self, batch: Batch, number: int, rate: float) -> Tensor:
        """Make step `number`, counted over all epochs; its loss, penalty and share of hits, (3,), on the device."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return self._make(batch, number)

    def _make(self, batch: Batch, number: int) -> Tensor:
        with self.autocast:
            logits, loss, penalty = self.objective(self.model, self.forward, batch, number)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        hits = (logits.detach().argmax(dim=1) == batch.labels[: len(logits)]).float().mean()
        return torch.stack([loss.detach(), (loss.new_zeros(()) + penalty).detach(), hits])


@dataclass
class Recorded(Step):
    """The same step, to the same bits; each kind of it, by its views, has a recording. The rate lies on the GPU."""

    recordings: dict[bool, Recording] = field(default_factory=dict, init=False)

    def __call__(self, batch: Batch, number: int, rate: float) -> Tensor:
        """As `Step`; all batches must have the same shape."""
        for group in self.optimiser.param_groups:
            group["lr"].fill_(rate)
        kind = self.objective.twice(number)
        if kind not in self.recordings:  # of a step that knows no recordings: a graph goes with its last user
            plain = Step(self.model, self.forward, self.optimiser, self.objective, self.autocast)
            self.recordings[kind] = Recording(lambda *parts: plain._make(Batch(*parts), number))
        return self.recordings[kind](*batch)


def step_of(
    model: Method,
    forward: Callable[[Tensor], Output],
    optimiser: torch.optim.Optimizer,
    objective: Objective,
    autocast: torch.autocast,
) -> Step:
    """The step that suits model and device."""
    on_gpu = next(iter(tuned_parameters(model).values())).is_cuda
    return (Recorded if on_gpu and model.recordable else Step)(model, forward, optimiser, objective, autocast)
