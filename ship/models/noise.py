"""Noise on what a method adds to a frozen ViT, and two views of an image that differ in it alone.

After PACE (Ni et al., NeurIPS 2024): in training, what a method adds, or changes, in a block is multiplied by factors
from N(1, deviation^2), one for each image and channel. The deviation is 0 in block 0, largest in block 1, and falls
linearly from there. The authors' program has noise on the head too, as on one more block; we have not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from timm.layers.drop import DropPath
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


class Noise(nn.Module):
    """The noise of one block; without a deviation, and in evaluation, everything passes it as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.deviation = 0.0

    def forward(self, added: Tensor) -> Tensor:
        """What a method adds, (B, N, D), with factors (B, 1, D)."""
        if not (self.training and self.deviation):
            return added
        drawn = torch.randn(len(added), 1, added.shape[-1], dtype=added.dtype, device=added.device)
        return added * (1 + self.deviation * drawn)

    def beyond(self, whole: Tensor, frozen: Callable[[], Tensor]) -> Tensor:
        """What a changed layer gives, (B, N, D), with noise on how it differs from what the `frozen` one gives."""
        if not (self.training and self.deviation):
            return whole  # without computing the other
        plain = frozen()
        return plain + self(whole - plain)


class SharedDepth(DropPath):  # type: ignore[misc]  # timm's layers have no types
    """Stochastic depth that, in training, is the same for all `views` of an image, which stand n apart in the batch."""

    views = 1

    def forward(self, z: Tensor) -> Tensor:
        """Tokens (B, N, D); prompts that are the same for all images, (1, P, D), have no views."""
        if not self.training or self.views == 1 or len(z) == 1:
            dropped: Tensor = super().forward(z)
            return dropped
        kept = super().forward(z.new_ones(len(z) // self.views, 1, 1))
        return z * kept.repeat(self.views, 1, 1)


def block_noise(vit: VisionTransformer) -> Sequence[Noise]:
    """The noise of every block, with no deviation yet: a module, whose mode is that of the model it is in."""
    noises: Any = nn.ModuleList(Noise() for _ in vit.blocks)  # a sequence, to whose elements torch gives no type
    return noises


def perturb(noises: Sequence[Noise], deviation: float) -> None:
    """Give the noise of L blocks its deviations: 0, then from `deviation` down to `deviation` / (L - 1)."""
    depth = len(noises)
    for block, noise in enumerate(noises):
        noise.deviation = deviation * (depth - block) / (depth - 1) if block else 0.0


def share_depth(vit: VisionTransformer) -> None:
    """Let the stochastic depth of every block be the same for all views of an image."""
    blocks: Any = vit.blocks
    for block in blocks:
        for name in ("drop_path1", "drop_path2"):
            if isinstance(old := getattr(block, name), DropPath):
                setattr(block, name, SharedDepth(old.drop_prob, old.scale_by_keep))


def set_views(model: nn.Module, views: int) -> None:
    """Tell the stochastic depth of `model` how many views of each image the next batch has."""
    for module in model.modules():
        if isinstance(module, SharedDepth):
            module.views = views
