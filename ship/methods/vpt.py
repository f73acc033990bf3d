"""VPT: visual prompt tuning (Jia et al., ECCV 2022), shallow and deep.

Prompts stand beside the image tokens and have no position embedding. The paper puts them after the class token;
attention does not see the order, so here they stand last. In the deep form the prompts that leave a block are thrown
away, so only their keys and values are computed: exact, and cheaper than the paper's figure.
"""

from __future__ import annotations

from functools import partial

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.experiment.fields import Fraction, Positive
from ship.methods.base import Folded, Method, Output, glorot, linear_head, uniform
from ship.methods.prompts import joined
from ship.models.attention import QKV, attend
from ship.models.noise import block_noise
from ship.models.vit import embed, finish_block, freeze, pool, project_kv, project_qkv, read_after


class VPT(Method):
    """Tuned: P D (shallow) or L P D (deep), and the head."""

    takes_noise = True

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        prompt_length: Positive = 50,
        deep: bool = True,
        dropout: Fraction = 0.1,
    ) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.noise = block_noise(vit)
        self.deep = deep
        patch_height, patch_width = vit.patch_embed.patch_size
        bound = glorot(3 * patch_height * patch_width + vit.embed_dim)
        self.prompts = uniform(len(vit.blocks) if deep else 1, prompt_length, vit.embed_dim, bound=bound)
        self.dropout = nn.Dropout(dropout)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor, folded: list[Folded] | None = None) -> Output:
        """Logits (B, C) of images (B, 3, S, S); what `fold` gave spares the prompts' projections at inference."""
        z = embed(self.vit, images)
        z = self._deep(z, folded) if self.deep else self._shallow(z)
        return Output(self.head(pool(self.vit, z)))

    def fold(self) -> list[Folded]:
        """Keys and values of every block's prompts; in the shallow form none, since those prompts see the image."""
        blocks = self.vit.blocks if self.deep else []
        return [project_kv(block, block.norm1(own[None])) for block, own in zip(blocks, self.prompts, strict=False)]

    def _shallow(self, z: Tensor) -> Tensor:
        tokens = torch.cat([z, self._drawn(0, z.shape[0])], dim=1)
        for block, read, noise in zip(self.vit.blocks, read_after(self.vit), self.noise, strict=True):
            q, k, v = project_qkv(block, block.norm1(tokens))
            qkv = QKV(q[:, :, read], k, v)
            gathered = attend(*qkv)
            alone = partial(_alone, z.shape[1], qkv, gathered)
            tokens = finish_block(block, tokens[:, read], noise.beyond(gathered, alone))
        return tokens[:, : z.shape[1]]

    def _deep(self, z: Tensor, folded: list[Folded] | None) -> Tensor:
        for i, (block, read) in enumerate(zip(self.vit.blocks, read_after(self.vit), strict=True)):
            image = project_qkv(block, block.norm1(z))
            prompts = folded[i] if folded else project_kv(block, block.norm1(self._drawn(i, z.shape[0])))
            keys, values = joined((image.k, image.v), prompts)
            own = image._replace(q=image.q[:, :, read])
            gathered = self.noise[i].beyond(attend(own.q, keys, values), partial(attend, *own))
            z = finish_block(block, z[:, read], gathered)
        return z

    def _drawn(self, i: int, batch: int) -> Tensor:
        """The prompts of block i for every image, (B, P, D), with dropout drawn for each element."""
        return self.dropout(self.prompts[i].expand(batch, -1, -1))


def _alone(tokens: int, qkv: QKV, gathered: Tensor) -> Tensor:
    """What the first `tokens` gather from each other alone, and the prompts behind them what they `gathered`."""
    image = QKV(*(part[:, :, :tokens] for part in qkv))
    return torch.cat([attend(*image), gathered[:, tokens:]], dim=1)
