"""Linear probe: a linear head on the frozen backbone, trained on features that are computed once."""

from __future__ import annotations

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ship.methods.base import Output, Probe, linear_head, with_head
from ship.models.vit import freeze


class Linear(Probe):
    """logits = head(pool(vit(images))). Tuned: D C + C."""

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.head = linear_head(vit.num_features, num_classes)

    def on_pooled(self, pooled: Tensor) -> Output:
        """Logits (B, C) of what the head reads, (B, D)."""
        return Output(self.head(pooled))

    def merged(self) -> VisionTransformer:
        """A plain ViT of timm with this head: `merged()(images)` are the logits (B, C)."""
        return with_head(self.vit, self.head)
