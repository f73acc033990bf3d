"""What every method is: a frozen backbone, its own tuned tensors, and a forward that returns an `Output`."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput


class Output(NamedTuple):
    """What a method makes of a batch."""

    logits: Tensor
    """(B, C)"""
    penalty: Tensor | float = 0.0
    """weighted; added to the cross-entropy in training"""


def linear_head(width: int, num_classes: int) -> nn.Linear:
    """A head (C, D): truncated normal 0.02, zero bias."""
    head = nn.Linear(width, num_classes)
    nn.init.trunc_normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


def uniform(*shape: int, bound: float) -> nn.Parameter:
    """A tuned tensor, uniform in [-bound, bound]."""
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def glorot(fan: float) -> float:
    """sqrt(6 / fan), the bound of Glorot's uniform initialisation."""
    return math.sqrt(6 / fan)


def merge(
    vit: VisionTransformer, places: Callable[[VisionTransformer], list[tuple[Any, str]]], head: nn.Module
) -> VisionTransformer:
    """A plain ViT of timm: a copy of `vit` with `head`, in which what stands at `places` is `folded()`."""
    vit = copy.deepcopy(vit)
    for owner, name in places(vit):
        setattr(owner, name, getattr(owner, name).folded())
    vit.head = copy.deepcopy(head)
    return vit


def tuned_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Everything that is trained, counted and saved, by name."""
    return {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}


def tuned_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a checkpoint: tuned parameters and the method's own buffers (hierarchy, prototypes)."""
    own = {name: buffer for name, buffer in model.named_buffers() if not name.startswith("vit.")}
    return {**tuned_parameters(model), **own}


def load_tuned(model: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Put a checkpoint's tensors into a model that was built with the same options. Raises BadInput on any mismatch."""
    target = tuned_state(model)
    if target.keys() != state.keys():
        odd = sorted(target.keys() ^ state.keys())
        raise BadInput(
            f"{origin}: expected the tensors {', '.join(sorted(target))}, got a difference in {', '.join(odd)}"
        )
    for name, tensor in target.items():
        if tensor.shape != state[name].shape:
            raise BadInput(f"{origin}: {name}: expected shape {tuple(tensor.shape)}, got {tuple(state[name].shape)}")
        with torch.no_grad():
            tensor.copy_(state[name])
