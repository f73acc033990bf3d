"""The training loop: a generator of epoch records. It knows no method and no task by name, and reads no file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.data.seeds import derive_seed
from ship.errors import Unfit
from ship.experiment.rows import Train
from ship.methods.base import Method, Output, tuned_parameters
from ship.training.objective import Batch, Objective
from ship.training.step import step_of

MOMENTUM = 0.9  # of SGD


class Epoch(NamedTuple):
    """What one epoch of training was like; means over its steps."""

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
    progress = (step + 1 - warmup) / (total - warmup)
    return recipe.floor_lr + (recipe.lr - recipe.floor_lr) * (1 + math.cos(math.pi * progress)) / 2


def make_optimiser(model: nn.Module, recipe: Train) -> torch.optim.Optimizer:
    """The recipe's optimiser of the tuned parameters.

    Vectors (biases, scales) do not decay, nor does what a ViT holds itself: position embedding, class token, registers.
    """
    vits = (module for module in model.modules() if isinstance(module, VisionTransformer))
    held = {id(p) for vit in vits for p in vit.parameters(recurse=False)}
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for p in tuned_parameters(model).values():
        (decaying if p.ndim > 1 and id(p) not in held else others).append(p)
    groups = [
        {"params": decaying, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    gpu = [p.device for p in (*decaying, *others) if p.is_cuda][:1]
    lr = torch.tensor(recipe.lr, device=gpu[0]) if gpu else recipe.lr  # there, a recorded step reads it
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, fused=True)
    return torch.optim.AdamW(groups, lr=lr, fused=True, capturable=bool(gpu))


def epochs(
    model: Method,
    forward: Callable[[Tensor], Output],
    batches: Callable[[int], Iterable[Batch]],
    optimiser: torch.optim.Optimizer,
    objective: Objective,
    *,
    seed: int,
    steps: int,
    autocast: torch.autocast,
    first_epoch: int = 0,
) -> Iterator[Epoch]:
    """Train epoch by epoch from `first_epoch`, yielding a record after each; in between the model may be saved.

    `batches(epoch)` gives `steps` batches on the model's device. Everything random in an epoch follows from the seed
    and the epoch alone, so a run that goes on, with what the objective had kept, gives the same bits as one that never
    stopped.

    Raises:
        Unfit: The loss is not finite; names epoch and step.
    """
    recipe, make = objective.recipe, step_of(model, forward, optimiser, objective, autocast)
    for epoch in range(first_epoch, recipe.epochs):
        torch.manual_seed(derive_seed(seed, epoch))
        model.train()
        seen = []  # (loss, penalty, hits) of each step, left on the device: reading them would make it wait
        for step, batch in enumerate(batches(epoch), start=epoch * steps):
            rate = learning_rate(step, steps, recipe)
            seen.append(make(batch, step, rate))
        yield _record(epoch, rate, torch.stack(seen).double().cpu(), recipe)


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
