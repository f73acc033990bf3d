"""Adapters: small bottlenecks beside the frozen layers.

AdaptFormer (Chen et al., NeurIPS 2022): a bottleneck beside the MLP, which reads the same normalised tokens,
z <- z + MLP(LN2 z) + s ReLU(LN2(z) W_down) W_up. Not in the paper: its branch takes neither LayerScale nor stochastic
depth, where a backbone has them.
"""

from __future__ import annotations

import math
from typing import ClassVar

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.config import Positive, Rate
from ship.methods.base import Output, linear_head
from ship.models.vit import add_attention, add_mlp, attend, embed, freeze, pool, project_qkv


class AdaptFormer(nn.Module):
    """Tuned: L (2 D R + R + D) for bottlenecks of width R, and the head."""

    statistics: ClassVar[tuple[str, ...]] = ()
    trains_on: ClassVar[str] = "images"

    def __init__(
        self, vit: VisionTransformer, num_classes: int, *, bottleneck: Positive = 64, scale: Rate = 0.1
    ) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.scale = scale
        self.adapters = nn.ModuleList(_bottleneck(vit.embed_dim, bottleneck) for _ in vit.blocks)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        z = embed(self.vit, images)
        for block, adapter in zip(self.vit.blocks, self.adapters, strict=True):
            z = add_attention(block, z, attend(*project_qkv(block, block.norm1(z))))
            z = add_mlp(block, z) + self.scale * adapter(block.norm2(z))
        return Output(self.head(pool(self.vit, z)))


def _bottleneck(width: int, inner: int) -> nn.Sequential:
    """Down, ReLU, up; it starts as zero, so that the model starts as the backbone."""
    down, up = nn.Linear(width, inner), nn.Linear(inner, width)
    nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
    for tensor in (down.bias, up.weight, up.bias):
        nn.init.zeros_(tensor)
    return nn.Sequential(down, nn.ReLU(), up)
