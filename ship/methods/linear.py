"""Linear probe: a linear head on the frozen backbone, trained on features that are computed once."""

from __future__ import annotations

from typing import ClassVar

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.methods.base import Output, linear_head
from ship.models.vit import encode, freeze


class Linear(nn.Module):
    """logits = head(pool(vit(images))). Tuned: D C + C."""

    statistics: ClassVar[tuple[str, ...]] = ()
    trains_on: ClassVar[str] = "pooled"

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        return self.on_pooled(encode(self.vit, images))

    def on_pooled(self, pooled: Tensor) -> Output:
        """Logits (B, C) of what the head reads, (B, D)."""
        return Output(self.head(pooled))
