"""MLP head: two layers on the frozen backbone, trained on features that are computed once.

After VPT's baselines (Jia et al., ECCV 2022), whose MLP-k has k layers; here the hidden one is GELU, not ReLU.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.experiment.fields import Positive
from ship.methods.base import Output, linear_head
from ship.models.vit import encode, freeze


class MLP(nn.Module):
    """logits = head(gelu(hidden(pool(vit(images))))). Tuned: D W + W, and W C + C, for `width` W."""

    statistics: ClassVar[tuple[str, ...]] = ()
    trains_on: ClassVar[str] = "pooled"

    def __init__(self, vit: VisionTransformer, num_classes: int, *, width: Positive = 256) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.hidden = linear_head(vit.num_features, width)
        self.head = linear_head(width, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        return self.on_pooled(encode(self.vit, images))

    def on_pooled(self, pooled: Tensor) -> Output:
        """Logits (B, C) of what the head reads, (B, D)."""
        return Output(self.head(F.gelu(self.hidden(pooled))))
