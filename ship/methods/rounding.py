"""Frozen weights in bf16, rounded once instead of at every use.

Autocast multiplies in bf16, so each call of a frozen layer rounds its weight anew: in a step of ViT-B/16, half a
gigabyte is read and written for that alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ship.methods.base import Method
from ship.models.norm import LayerNorm


@contextmanager
def rounded(method: Method, autocast: torch.autocast) -> Iterator[None]:
    """Within, the frozen weights that tokens are multiplied with are as `autocast` rounds them: the same bits, sooner.

    Nothing happens where it is off, or where the method does more with them (`reads_weights`). Afterwards, all are as
    they were before.
    """
    device = next(method.parameters()).device.type
    with autocast:
        rounds = torch.is_autocast_enabled(device) and not method.reads_weights
        precision = torch.get_autocast_dtype(device)
    kept = {weight: weight.data for weight in _multiplied(method)} if rounds else {}
    try:
        for weight, exact in kept.items():
            weight.data = exact.to(precision)
        yield
    finally:
        for weight, exact in kept.items():
            weight.data = exact


def _multiplied(method: Method) -> Iterator[nn.Parameter]:
    """Frozen weights and biases of linear layers and convolutions, and on a GPU of layer norms."""
    kinds = (nn.Linear, nn.Conv2d, LayerNorm) if next(method.parameters()).is_cuda else (nn.Linear, nn.Conv2d)
    for layer in method.modules():
        if isinstance(layer, kinds):
            yield from (tensor for tensor in layer.parameters(recurse=False) if not tensor.requires_grad)
