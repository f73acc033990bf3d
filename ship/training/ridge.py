"""Where a head may start: ridge regression on features of the training images, in closed form."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WEIGHTS = 10.0 ** (torch.arange(-16, 5, dtype=torch.float64) / 2)  # times the mean squared singular value
SCALES = (1e-2, 1e3)  # of the logits: the ends of what is searched


class Ridge(NamedTuple):
    """A head, and what was chosen for it."""

    weight: Tensor
    """(C, D)"""
    bias: Tensor
    """(C,)"""
    ridge: float
    """the weight of the ridge, with the least squared leave-one-out error"""
    scale: float
    """of the logits, one over the temperature, with the least leave-one-out cross-entropy"""


def start_head(head: nn.Linear, features: Tensor, labels: Tensor) -> None:
    """Set the head to the ridge regression of labels (n,) on what it reads of the training images, (n, D)."""
    found = fit_ridge(features, labels, head.out_features)
    with torch.no_grad():
        head.weight.copy_(found.weight)
        head.bias.copy_(found.bias)


def fit_ridge(features: Tensor, labels: Tensor, classes: int) -> Ridge:
    """Ridge regression, with an intercept, of one-hot labels (n,) on features (n, D), n > 1; all in float64.

    Without image i, its prediction would be y_i - (y_i - f_i) / (1 - h_i), with f the fit of all images and h the
    diagonal of the matrix that makes f of y: so leaving out each in turn takes no other fit.
    """
    x, y = features.double(), F.one_hot(labels, classes).double()
    centre, mean = x.mean(dim=0), y.mean(dim=0)
    u, s, vh = torch.linalg.svd(x - centre, full_matrices=False)
    projected = u.T @ (y - mean)

    def left_out(ridge: float) -> Tensor:
        shrunk = s**2 / (s**2 + ridge)
        fitted = mean + u @ (shrunk[:, None] * projected)
        leverage = 1 / len(x) + u**2 @ shrunk
        return y - (y - fitted) / (1 - leverage)[:, None]

    ridges = (WEIGHTS * s.square().mean().clamp(min=1e-12)).tolist()
    ridge = min(ridges, key=lambda each: float((y - left_out(each)).square().sum()))
    scale = _best_scale(left_out(ridge), labels)
    weight = scale * (vh.T @ ((s / (s**2 + ridge))[:, None] * projected)).T
    return Ridge(weight, scale * mean - weight @ centre, ridge, scale)


def _best_scale(logits: Tensor, labels: Tensor) -> float:
    """The factor of logits (n, C) with the least cross-entropy, which is convex in it: by halving."""
    low, high = map(math.log, SCALES)
    right = logits.gather(1, labels[:, None]).squeeze(1)
    for _ in range(50):
        middle = (low + high) / 2
        expected = ((logits * math.exp(middle)).softmax(dim=1) * logits).sum(dim=1)
        low, high = (low, middle) if (expected - right).mean() > 0 else (middle, high)
    return math.exp((low + high) / 2)
