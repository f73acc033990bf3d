"""MLP head: two layers on the frozen backbone, trained on features that are computed once.

After VPT's baselines (Jia et al., ECCV 2022), whose MLP-k has k layers; here the hidden one is GELU, not ReLU.
"""

from __future__ import annotations

import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ship.experiment.fields import Positive
from ship.methods.base import Output, Probe, linear_head
from ship.models.vit import freeze


class MLP(Probe):
    """logits = head(gelu(hidden(pool(vit(images))))). Tuned: D W + W, and W C + C, for `width` W."""

    reads_pooled = False

    def __init__(self, vit: VisionTransformer, num_classes: int, *, width: Positive = 256) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.hidden = linear_head(vit.num_features, width)
        self.head = linear_head(width, num_classes)

    def on_pooled(self, pooled: Tensor) -> Output:
        """Logits (B, C) of what the head reads, (B, D)."""
        return Output(self.head(F.gelu(self.hidden(pooled))))
