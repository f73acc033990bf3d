"""CVPT: cross visual prompt tuning (arXiv 2408.14961, ICCV 2025).

Prompts never enter the sequence: image tokens read them by cross-attention, z <- z + CA(z, p_i), in every block. CA has
no weights of its own: it uses the query, key, value and output projections of the block's frozen self-attention, by
reference. Neither z nor the prompts are normalised for it; it has no LayerScale, no gate and no stochastic depth.

Keys and values of the prompts do not depend on the image: they are computed once a step at batch 1, so dropout on the
prompts is drawn once a step, for all images. `fold` also takes the frozen query and output projections
into them, exactly: a token then meets H P numbers instead of D, twice.
"""

from __future__ import annotations

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.experiment.fields import Fraction, Positive
from ship.methods.base import KV, Folded, Method, Output, glorot, linear_head, uniform
from ship.models.attention import attend
from ship.models.linear import multiply
from ship.models.noise import Noise, block_noise
from ship.models.vit import (
    add_attention,
    add_mlp,
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

    takes_noise = True

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
        self.noise = block_noise(vit)
        self.position = position
        depth, width = len(vit.blocks), vit.embed_dim
        self.prompts = uniform(depth, prompt_length, width, bound=glorot(width * (prompt_length + depth)))
        self.dropout = nn.Dropout(dropout)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor, folded: list[Folded] | None = None) -> Output:
        """Logits (B, C) of images (B, 3, S, S); what `fold` gave spares the prompts' projections at inference."""
        z = embed(self.vit, images)
        prompts = folded or self.fold()
        for block, read, own, noise in zip(self.vit.blocks, read_after(self.vit), prompts, self.noise, strict=True):
            z = self._through(block, z, own, read, noise)
        return Output(self.head(pool(self.vit, z)))

    def fold(self) -> list[Folded]:
        """What every block needs of its prompts: two layers, or keys and values where these are cheaper."""
        prompts = self.dropout(self.prompts)
        pairs = zip(self.vit.blocks, prompts, strict=True)
        return [_layers(block, project_kv(block, own[None])) for block, own in pairs]

    def _through(self, block: Block, z: Tensor, prompts: Folded, read: slice, noise: Noise) -> Tensor:
        """The tokens `read` of z (B, N, D) after the block, with cross-attention where `position` puts it."""
        if self.position == 1:
            z = z + noise(cross_attention(block, z, prompts))
        gathered, z = gather(block, z, read), z[:, read]
        whole = add_attention(block, z, gathered)
        if self.position in (2, 3):
            whole = whole + noise(cross_attention(block, z if self.position == 2 else whole, prompts))
        z, whole = whole, add_mlp(block, whole)
        if self.position in (4, 5):
            whole = whole + noise(cross_attention(block, z if self.position == 4 else whole, prompts))
        return whole


def cross_attention(block: Block, z: Tensor, prompts: Folded) -> Tensor:
    """What tokens z (B, N, D) gather from the prompts through the block's own projections, (B, N, D)."""
    if len(prompts) > 2:  # more than keys and values
        return _through_layers(block, z, *prompts)
    return project_out(block, attend(project_q(block, z), *prompts))


def _layers(block: Block, prompts: KV) -> Folded:
    """Weight (H P, D) and bias of queries that have met the keys, weight (D, H P) and bias of values projected out.

    Keys and values as they are, where a norm stands between, or P > D / H.
    """
    attn, (keys, values) = block.attn, (part[0] for part in prompts)
    heads, length, size = keys.shape
    if length > size or not all(isinstance(norm, nn.Identity) for norm in (attn.q_norm, attn.norm)):
        return prompts
    queries = attn.qkv.weight[: heads * size].unflatten(0, (heads, size))
    reading = torch.einsum("hpd,hdw->hpw", keys, queries).flatten(0, 1) * size**-0.5
    bias = keys.new_zeros(heads * size) if attn.qkv.bias is None else attn.qkv.bias[: heads * size]
    shift = torch.einsum("hpd,hd->hp", keys, bias.unflatten(0, (heads, size))).flatten() * size**-0.5
    writing = torch.einsum("whd,hpd->whp", attn.proj.weight.unflatten(1, (heads, size)), values).flatten(1)
    return reading, shift, writing


def _through_layers(block: Block, z: Tensor, reading: Tensor, shift: Tensor, writing: Tensor) -> Tensor:
    """Cross-attention by its `_layers`, with a softmax over the P prompts of each head between them."""
    weights = multiply(z, reading, shift).unflatten(-1, (block.attn.num_heads, -1)).softmax(dim=-1)
    return block.attn.proj_drop(multiply(weights.flatten(-2), writing, block.attn.proj.bias))
