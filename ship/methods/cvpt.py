"""CVPT: cross visual prompt tuning (arXiv 2408.14961, ICCV 2025).

Prompts never enter the sequence: in every block the image tokens read them by cross-attention, with the block's own
frozen projections, which are shared by reference. Neither side is normalised, and nothing scales or gates what is read.
From the authors' implementation: stochastic depth spares the cross-attention. Dropout on the prompts is drawn once a
step, so their keys and values are the same for every image and are computed at batch 1.
"""

from __future__ import annotations

from typing import ClassVar

from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ship.config import Fraction, Positive
from ship.errors import unknown
from ship.methods.base import Output, glorot, linear_head, uniform
from ship.models.vit import add_attention, add_mlp, attend, cross_attend, embed, freeze, pool, project_qkv

POSITIONS = ("before_attention", "beside_attention", "after_attention", "beside_mlp", "after_mlp")


class CVPT(nn.Module):
    """Tuned: L P D, and the head. `position` is where in a block the image tokens read the prompts."""

    statistics: ClassVar[tuple[str, ...]] = ()
    trains_on: ClassVar[str] = "images"

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        prompt_length: Positive = 10,
        position: str = "after_attention",
        dropout: Fraction = 0.1,
    ) -> None:
        super().__init__()
        if position not in POSITIONS:
            raise unknown("cvpt: position", position, POSITIONS)
        self.vit = freeze(vit)
        self.position = position
        depth = len(vit.blocks)
        self.prompts = uniform(
            depth, prompt_length, vit.embed_dim, bound=glorot(vit.embed_dim * (prompt_length + depth))
        )
        self.dropout = nn.Dropout(dropout)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        z = embed(self.vit, images)
        for block, prompts in zip(self.vit.blocks, self.dropout(self.prompts), strict=True):
            z = self._block(block, z, prompts[None])
        return Output(self.head(pool(self.vit, z)))

    def _block(self, block: Block, z: Tensor, prompts: Tensor) -> Tensor:
        """Tokens z (B, N, D) after a block whose prompts (1, P, D) they read once on the way."""
        if self.position == "before_attention":
            z = z + cross_attend(block, z, prompts)
        before = z
        z = add_attention(block, z, attend(*project_qkv(block, block.norm1(z))))
        if self.position == "beside_attention":
            z = z + cross_attend(block, before, prompts)
        if self.position == "after_attention":
            z = z + cross_attend(block, z, prompts)
        before = z
        z = add_mlp(block, z)
        if self.position == "beside_mlp":
            z = z + cross_attend(block, before, prompts)
        if self.position == "after_mlp":
            z = z + cross_attend(block, z, prompts)
        return z
