"""CVPT: cross visual prompt tuning (arXiv 2408.14961, ICCV 2025).

Prompts never enter the sequence: image tokens read them by cross-attention, z <- z + CA(z, p_i), in every block. CA has
no weights of its own: it uses the query, key, value and output projections of the block's frozen self-attention, by
reference. Neither z nor the prompts are normalised for it; it has no LayerScale, no gate and no stochastic depth.

Keys and values of the prompts do not depend on the image: they are computed once a step at batch 1, so dropout on the
prompts is drawn once a step, for all images. `fold` computes them once for all for inference.
"""

from __future__ import annotations

from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.experiment.fields import Fraction, Positive
from ship.methods.base import KV, Method, Output, for_all, glorot, linear_head, uniform
from ship.models.vit import (
    add_attention,
    add_mlp,
    attend,
    embed,
    freeze,
    gather,
    pool,
    project_kv,
    project_out,
    project_q,
    read_after,
)


class CVPT(Method):
    """Tuned: L P D, and the head.

    `position` says where a block reads its prompts: 1 before self-attention, 2 beside it, 3 after it (the paper's
    choice), 4 beside the MLP, 5 after it.
    """

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        prompt_length: Positive = 10,
        position: int = 3,
        dropout: Fraction = 0.1,
    ) -> None:
        super().__init__()
        if position not in range(1, 6):
            raise BadInput(f"cvpt: position: expected 1, 2, 3, 4 or 5, got {position}")
        self.vit = freeze(vit)
        self.position = position
        depth, width = len(vit.blocks), vit.embed_dim
        self.prompts = uniform(depth, prompt_length, width, bound=glorot(width * (prompt_length + depth)))
        self.dropout = nn.Dropout(dropout)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor, folded: list[KV] | None = None) -> Output:
        """Logits (B, C) of images (B, 3, S, S); what `fold` gave spares the prompts' projections at inference."""
        z = embed(self.vit, images)
        for block, read, prompts in zip(self.vit.blocks, read_after(self.vit), folded or self.fold(), strict=True):
            z = self._through(block, z, prompts, read)
        return Output(self.head(pool(self.vit, z)))

    def fold(self) -> list[KV]:
        """Keys and values of the prompts of every block."""
        prompts = self.dropout(self.prompts)
        return [project_kv(block, own[None]) for block, own in zip(self.vit.blocks, prompts, strict=True)]

    def _through(self, block: Block, z: Tensor, prompts: KV, read: slice) -> Tensor:
        """The tokens `read` of z (B, N, D) after the block, with cross-attention where `position` puts it."""
        if self.position == 1:
            z = z + cross_attention(block, z, prompts)
        gathered, z = gather(block, z, read), z[:, read]
        whole = add_attention(block, z, gathered)
        if self.position in (2, 3):
            whole = whole + cross_attention(block, z if self.position == 2 else whole, prompts)
        z, whole = whole, add_mlp(block, whole)
        if self.position in (4, 5):
            whole = whole + cross_attention(block, z if self.position == 4 else whole, prompts)
        return whole


def cross_attention(block: Block, z: Tensor, prompts: KV) -> Tensor:
    """What tokens z (B, N, D) gather from the prompts through the block's own projections, (B, N, D)."""
    return project_out(block, attend(project_q(block, z), *for_all(prompts, z.shape[0])))
