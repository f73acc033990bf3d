"""One step of training: forward, backward, optimiser. On a GPU it is recorded as a CUDA graph and replayed.

A step of a small ViT is a thousand kernels of some microseconds each: launched one by one they take ten times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ship.methods.base import Method, Output, tuned_parameters
from ship.training.objective import Batch, Objective


class Step:
    """What one step does to the tuned parameters of `model`."""

    def __init__(
        self,
        model: Method,
        forward: Callable[[Tensor], Output],
        optimiser: torch.optim.Optimizer,
        objective: Objective,
        autocast: torch.autocast,
    ) -> None:
        self.model, self.forward, self.optimiser = model, forward, optimiser
        self.objective, self.autocast = objective, autocast

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


class Recording(NamedTuple):
    """A step that the GPU can make again, of the numbers that are then in `batch`."""

    batch: Batch
    graph: torch.cuda.CUDAGraph
    found: Tensor


class Recorded(Step):
    """The same step, to the same bits, random numbers included.

    The first step of a kind, by its views, is launched kernel by kernel, since libraries set themselves up in it; the
    second is recorded. The rate lies on the GPU, where a replay reads it.
    """

    def __init__(self, *parts: object) -> None:
        super().__init__(*parts)  # type: ignore[arg-type]  # what Step takes
        self.recordings: dict[bool, Recording | None] = {}

    def __call__(self, batch: Batch, number: int, rate: float) -> Tensor:
        """As `Step`; all batches must have the same shape."""
        for group in self.optimiser.param_groups:
            group["lr"].fill_(rate)
        kind = self.objective.twice(number)
        if kind not in self.recordings:
            self.recordings[kind] = None
            return self._aside(batch, number)
        recording = self.recordings[kind] = self.recordings[kind] or self._record(batch, number)
        for place, part in zip(recording.batch, batch, strict=True):
            place.copy_(part)
        recording.graph.replay()
        return recording.found.clone()

    def _aside(self, batch: Batch, number: int) -> Tensor:
        """The step, on a stream of its own, as PyTorch wants it before a recording."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            found = self._make(batch, number)
        torch.cuda.current_stream().wait_stream(stream)
        return found

    def _record(self, batch: Batch, number: int) -> Recording:
        """The step as a graph; nothing is computed yet."""
        own, graph = Batch(*(part.clone() for part in batch)), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = self._make(own, number)
        return Recording(own, graph, found)


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
