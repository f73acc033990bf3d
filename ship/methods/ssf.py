"""SSF: scaling and shifting features (Lian et al., NeurIPS 2022).

After every operation of the frozen backbone (patch embedding, norms, query-key-value, output projection, both layers of
the MLP) a tuned scale and shift of each channel, y = gamma x + beta, gamma ~ N(1, 0.02), beta ~ N(0, 0.02). They fold
into the operation before them, so that `merged` costs nothing at inference. A norm of pooled tokens is left alone.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.methods.base import InPlace, Layer, linear_head
from ship.models.vit import freeze, require_two_layers

PLACES = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")  # of a block


class SSF(InPlace):
    """Tuned: 22 D L for an MLP of four times the width, 4 D for patch embedding and final norm, and the head."""

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__()
        require_two_layers(vit, "ssf")
        self.vit = freeze(vit)
        for owner, name in _places(vit):
            setattr(owner, name, Scaled(getattr(owner, name)))
        self.head = linear_head(vit.num_features, num_classes)


class Scaled(Layer):
    """A frozen operation with weight and bias, and a scale and a shift of each of its channels."""

    def __init__(self, operation: Any) -> None:
        super().__init__()
        if not hasattr(operation, "bias"):
            kind = type(operation).__name__
            raise BadInput(f"ssf: expected operations with a bias, which a shift folds into, got {kind}")
        channels = operation.weight.shape[0]
        self.operation = operation
        self.scale = nn.Parameter(torch.empty(channels).normal_(1, 0.02))
        self.shift = nn.Parameter(torch.empty(channels).normal_(0, 0.02))

    def forward(self, x: Tensor) -> Tensor:
        """What the operation gives, scaled and shifted; its channels are last, or first of an image's."""
        y = self.operation(x)
        shape = (-1, 1, 1) if isinstance(self.operation, nn.Conv2d) else (-1,)
        return y * self.scale.view(shape) + self.shift.view(shape)

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """The operation alone, with scale and shift in its weight and bias."""
        weight = self.operation.weight
        weight.mul_(self.scale.view(-1, *[1] * (weight.ndim - 1)))
        bias = self.shift if self.operation.bias is None else self.operation.bias * self.scale + self.shift
        self.operation.bias = nn.Parameter(bias.clone(), requires_grad=False)
        return self.operation


def _places(vit: VisionTransformer) -> list[tuple[Any, str]]:
    """The modules that hold an operation, with its name in them."""
    found: list[tuple[Any, str]] = [(vit.patch_embed, "proj"), (vit, "norm")]
    for block in vit.blocks:
        for place in PLACES:
            owner, _, name = place.rpartition(".")
            found.append((block.get_submodule(owner), name))
    return [(owner, name) for owner, name in found if not isinstance(getattr(owner, name), nn.Identity)]
