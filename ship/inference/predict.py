"""What a tuned model says of images: one batch, or one pass over a split."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ship.errors import Unfit
from ship.methods.base import Foldable, Method, Output


class Predictions(NamedTuple):
    """For n images, in the order of the split."""

    labels: Tensor
    """(n,)"""
    classes: Tensor
    """(n,), the predicted ones"""
    probabilities: Tensor
    """(n,), of the predicted class"""
    losses: Tensor
    """(n,), cross-entropy"""
    every: Tensor
    """(n, C), the probabilities of all classes, in float16: three digits are enough for every figure"""

    @property
    def accuracy(self) -> float:
        """Share of the images that are predicted right, six decimals."""
        return round((self.classes == self.labels).double().mean().item(), 6)

    @property
    def loss(self) -> float:
        """Mean cross-entropy, six decimals. Raises Unfit where it is not finite."""
        mean = self.losses.double().mean()
        if not mean.isfinite():
            raise Unfit(f"train: expected finite losses on the images to predict, got {mean:g} (lower train.lr)")
        return round(mean.item(), 6)


def batch_size(device: torch.device) -> int:
    """How many images are predicted at once: on a GPU as many as fill it, on a CPU as few as stay in its caches."""
    return 32 if device.type == "cpu" else 256


@torch.inference_mode()
def readied(method: Method, autocast: torch.autocast) -> Callable[[Tensor], Output]:
    """The method's forward in evaluation mode, with what is the same for all images computed now, once."""
    method.eval()
    if not isinstance(method, Foldable):
        return method
    with autocast:
        return partial(method, folded=method.fold())


@torch.inference_mode()
def answer(forward: Callable[[Tensor], Output], inputs: Tensor, autocast: torch.autocast) -> Tensor:
    """Logits (B, C) in float32; the model must be in evaluation mode."""
    with autocast:
        return forward(inputs).logits.float()


def predict(
    forward: Callable[[Tensor], Output], batches: Iterable[tuple[Tensor, Tensor]], autocast: torch.autocast
) -> Predictions:
    """Predictions for (inputs, labels) pairs on the model's device; the model must be in evaluation mode."""
    parts = []
    for inputs, labels in batches:
        logits = answer(forward, inputs, autocast)
        every = logits.softmax(dim=1)
        probabilities, classes = every.max(dim=1)
        losses = F.cross_entropy(logits, labels, reduction="none")
        columns = (labels, classes, probabilities, losses, every.half())
        parts.append(Predictions(*(column.cpu() for column in columns)))
    return Predictions(*(torch.cat(column) for column in zip(*parts, strict=True)))
