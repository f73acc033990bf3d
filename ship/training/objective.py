"""What a step minimises: cross-entropy, a method's penalty, and how far two noisy views of an image lie apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ship.experiment.rows import Train
from ship.methods.base import Output
from ship.models.noise import set_views


class Batch(NamedTuple):
    """Training images on the model's device."""

    inputs: Tensor
    """(B, ...): images, or what the head reads of them"""
    labels: Tensor
    """(B,)"""
    rows: Tensor
    """(B,): which of the n training images they are"""


class Judged(NamedTuple):
    """What a batch comes to; where half of it stands twice, of that half."""

    logits: Tensor
    """(B, C)"""
    loss: Tensor
    """to minimise"""
    penalty: Tensor | float
    """in the loss"""


class Objective:
    """Cross-entropy of smoothed labels, mean over images, weighted by class where there are `weights` (C,); penalty.

    With `consistency` (PACE, Ni et al., NeurIPS 2024) the penalty has `consistency_weight` times the squared distance
    of the logits of two views, mean over images; cross-entropy is that of the first. `two-pass`: both views in every
    step, at twice the cost; they differ in their noise (`models.noise`) and in dropout alone. `lazy`: in every second
    step the first half of the batch is seen twice, in the others all of it once. `fast`: the second view is what the
    image's logits were when it was last seen, of the weights of then; when it is seen for the first time there is none,
    and no distance (the paper's program has zeros there).
    """

    def __init__(self, recipe: Train, images: int, classes: int, weights: Tensor | None = None) -> None:
        self.recipe, self.weights = recipe, weights
        self.kept: dict[str, Tensor] = {}
        """what the next epochs need of the last, for a fit that goes on: with `fast`, logits (n, C), nan of no epoch"""
        if recipe.consistency == "fast":
            self.kept["logits"] = torch.full((images, classes), torch.nan)

    def __call__(self, model: nn.Module, forward: Callable[[Tensor], Output], batch: Batch, step: int) -> Judged:
        """Judge what `forward` of the `model` says of a batch, in the step of that number, counted over all epochs."""
        inputs, labels, rows = batch
        kind, smoothing = self.recipe.consistency, self.recipe.label_smoothing
        if twice := self.twice(step):
            count = max(1, len(labels) // 2) if kind == "lazy" else len(labels)
            inputs, labels = inputs[:count].repeat(2, *[1] * (inputs.ndim - 1)), labels[:count]
        if kind:
            set_views(model, 2 if twice else 1)
        logits, penalty = forward(inputs)
        views = logits.float().split(len(labels))
        loss = cross_entropy(views[0], labels, self.weights, smoothing)
        if twice:
            penalty = penalty + self.recipe.consistency_weight * distance(*views)
        if kind == "fast":
            penalty = penalty + self.recipe.consistency_weight * self._from_last(views[0], rows)
        return Judged(views[0], loss + penalty, penalty)

    def twice(self, step: int) -> bool:
        """Whether the images of a step are seen in two views at once."""
        kind = self.recipe.consistency
        return kind == "two-pass" or (kind == "lazy" and step % 2 == 0)

    def _from_last(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Distance of the logits (B, C) of those images to what they were when last seen; keeps them for the next."""
        last = self.kept["logits"] = self.kept["logits"].to(logits.device)
        before = last[rows]
        last[rows] = logits.detach()
        return distance(logits, torch.where(before.isnan(), logits.detach(), before))


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """PyTorch's own, of logits (B, C) and labels (B,); a GPU need not be waited for, so that a step can be recorded."""
    if weights is None or not smoothing:
        return F.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
    spread = -(logits.log_softmax(dim=1) * weights).sum() / (weights[labels].sum() * logits.shape[1])
    return (1 - smoothing) * F.cross_entropy(logits, labels, weights) + smoothing * spread


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared distance of logits (B, C), mean over images."""
    return (first - second).square().sum(dim=1).mean()


def balanced(labels: Tensor, classes: int) -> Tensor:
    """Weights (C,) with which every class that is among the `labels` (n,) counts the same, and a mean image 1."""
    counts = torch.bincount(labels, minlength=classes)
    present = counts.clamp(max=1)
    return present * len(labels) / (present.sum() * counts.clamp(min=1))
