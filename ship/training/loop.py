"""The training loop: a generator of epoch records. It knows no method and no task by name, and reads no file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ship.data.seeds import derive_seed
from ship.errors import Unfit
from ship.experiment.rows import Train
from ship.methods.base import Output, tuned_parameters

Batches = Iterable[tuple[Tensor, Tensor]]
MOMENTUM = 0.9  # of SGD


class Epoch(NamedTuple):
    """What one epoch of training was like; means over its images."""

    epoch: int
    lr: float
    """of the last step"""
    loss: float
    """cross-entropy and penalty"""
    penalty: float
    accuracy: float
    """on the training images, while they were trained on"""


def learning_rate(step: int, steps_an_epoch: int, recipe: Train) -> float:
    """Rate of a step, counted from 0: linear warm-up that ends on `lr`, then a cosine that ends on `floor_lr`.

    Counting the first step as one, no step is spent at the rate that the warm-up starts from.
    """
    warmup, total = recipe.warmup_epochs * steps_an_epoch, recipe.epochs * steps_an_epoch
    if step < warmup:
        return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * (step + 1) / warmup
    floor = min(recipe.floor_lr, recipe.lr)
    progress = (step + 1 - warmup) / (total - warmup)
    return floor + (recipe.lr - floor) * (1 + math.cos(math.pi * progress)) / 2


def make_optimiser(model: nn.Module, recipe: Train) -> torch.optim.Optimizer:
    """The recipe's optimiser of the tuned parameters; vectors (biases, scales) do not decay."""
    tuned = tuned_parameters(model).values()
    groups = [
        {"params": [p for p in tuned if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in tuned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=MOMENTUM)
    return torch.optim.AdamW(groups, lr=recipe.lr)


def epochs(
    model: nn.Module,
    forward: Callable[[Tensor], Output],
    batches: Callable[[int], Batches],
    optimiser: torch.optim.Optimizer,
    recipe: Train,
    *,
    seed: int,
    steps: int,
    autocast: torch.autocast,
    first_epoch: int = 0,
    weights: Tensor | None = None,
) -> Iterator[Epoch]:
    """Train epoch by epoch from `first_epoch`, yielding a record after each; in between the model may be saved.

    `batches(epoch)` gives `steps` pairs (inputs, labels) on the model's device. Everything random in an epoch follows
    from the seed and the epoch alone, so a run that goes on gives the same bits as one that never stopped. An image
    counts as much as the `weights` (C,) say of its class.

    Raises:
        Unfit: The loss is not finite; names epoch and step.
    """
    for epoch in range(first_epoch, recipe.epochs):
        torch.manual_seed(derive_seed(seed, epoch))
        model.train()
        seen = []  # (loss, penalty, hits) of each step, left on the device: reading them would make it wait
        for step, (inputs, labels) in enumerate(batches(epoch)):
            rate = learning_rate(epoch * steps + step, steps, recipe)
            for group in optimiser.param_groups:
                group["lr"] = rate
            with autocast:
                logits, loss, penalty = objective(forward, inputs, labels, recipe, weights)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            hits = (logits.detach().argmax(dim=1) == labels).float().mean()
            seen.append(torch.stack([loss.detach(), (loss.new_zeros(()) + penalty).detach(), hits]))
        yield _record(epoch, rate, torch.stack(seen).double().cpu(), recipe)


def objective(
    forward: Callable[[Tensor], Output], inputs: Tensor, labels: Tensor, recipe: Train, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | float]:
    """Logits (B, C), the loss to minimise, and the penalty in it.

    Cross-entropy is the mean over images, weighted by class where there are `weights` (C,), of smoothed labels. With
    `consistency` there are two passes, each with noise of its own: cross-entropy and penalty are means of both,
    and the penalty has `consistency` times the squared distance of their logits, mean over images. After PACE (Ni et
    al., NeurIPS 2024), which puts the noise on what adapters add; here it is on what the halves of a block add
    (`models.vit.perturb`), so that every method that sees images can take it.
    """
    consistency, smoothing = recipe.consistency, recipe.label_smoothing
    passes = [forward(inputs) for _ in range(2 if consistency else 1)]
    logits = [output.logits.float() for output in passes]
    losses = [F.cross_entropy(each, labels, weights, label_smoothing=smoothing) for each in logits]
    loss = torch.stack(losses).mean()
    penalty = sum(output.penalty for output in passes) / len(passes)
    if consistency:
        penalty = penalty + consistency * (logits[0] - logits[1]).square().sum(dim=1).mean()
    return logits[0], loss + penalty, penalty


def balanced(labels: Tensor, classes: int) -> Tensor:
    """Weights (C,) with which every class that is among the `labels` (n,) counts the same, and a mean image 1."""
    counts = torch.bincount(labels, minlength=classes)
    present = counts.clamp(max=1)
    return present * len(labels) / (present.sum() * counts.clamp(min=1))


def _record(epoch: int, rate: float, seen: Tensor, recipe: Train) -> Epoch:
    """The epoch's means of (loss, penalty, hits), one row a step. Raises Unfit where a loss is not finite."""
    broken = (~seen[:, 0].isfinite()).nonzero()
    if len(broken):
        step = int(broken[0])
        raise Unfit(
            f"train: expected a finite loss, got {seen[step, 0]:g} at epoch {epoch + 1}, step {step + 1} "
            f"(lower the learning rate, now {recipe.lr:g})"
        )
    return Epoch(epoch, rate, *seen.mean(dim=0).tolist())
