"""Layer norms that give what the next product takes.

On a GPU, autocast computes them in float32: every norm of a ViT then reads and writes its tokens twice as wide, and
casts them there and back. PyTorch's kernel takes tokens in bf16 as they are, and has its sums in float32 all the same.
"""

from __future__ import annotations

import torch
from timm import layers
from timm.layers.fast_norm import fast_layer_norm
from torch import Tensor


class LayerNorm(layers.LayerNorm):  # type: ignore[misc]  # timm's layers have no types
    """A layer norm of timm in a ViT."""

    def forward(self, x: Tensor) -> Tensor:
        """Of x (..., D), (..., D); on a GPU in autocast's precision."""
        if not (x.is_cuda and torch.is_autocast_enabled("cuda")):
            normed: Tensor = super().forward(x)
            return normed
        narrow: Tensor = fast_layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return narrow
