"""Adapters: small bottlenecks after or beside the frozen layers.

Houlsby (Houlsby et al., ICML 2019): a bottleneck A with a skip of its own after attention and after the MLP, before
their residuals are added, z <- z + A(SA(LN1 z)), z <- z + A(MLP(LN2 z)), A(x) = x + GELU(x W_down) W_up.
Pfeiffer (Pfeiffer et al., EACL 2021): the second alone. Both papers have post-norm transformers; LayerScale and
stochastic depth, where a backbone has them, act on what leaves the bottleneck. Both start as the backbone: W_up is 0.

AdaptFormer (Chen et al., NeurIPS 2022): a bottleneck beside the MLP, which reads the same normalised tokens,
z <- z + MLP(LN2 z) + s ReLU(LN2(z) W_down) W_up. Not in the paper: its branch takes neither LayerScale nor stochastic
depth, where a backbone has them. It starts as the backbone.

Adapter+ (Steitz & Roth, "Adapters Strike Back", CVPR 2024): a bottleneck after the whole block, MLP and its residual
included, with a tuned scale of each channel, z <- z + DP(s * (GELU(z W_down) W_up)), s = 1 at the start; both matrices
start after Houlsby, normal with deviation 0.01, cut at two deviations, biases 0. Ranks of the paper: 1 to 32. Its
stochastic depth DP is 0.1 in every block; here it has the rate of the block's own, drawn apart.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ship.experiment.fields import Positive, Rate
from ship.methods.base import Method, Output, linear_head
from ship.models.linear import Linear, multiply
from ship.models.noise import block_noise
from ship.models.vit import (
    add,
    add_attention,
    add_mlp,
    embed,
    freeze,
    gather,
    pass_block,
    pool,
    project_out,
    read_after,
    tune_biases,
)


class Pfeiffer(Method):
    """Tuned: L (2 D R + R + D) for bottlenecks of width R, and the head."""

    takes_noise = True

    def __init__(self, vit: VisionTransformer, num_classes: int, *, bottleneck: Positive = 64) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.noise = block_noise(vit)
        self.after_mlp = nn.ModuleList(_bottleneck(vit.embed_dim, bottleneck, nn.GELU()) for _ in vit.blocks)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        z = embed(self.vit, images)
        for i, (block, read, adapter) in enumerate(
            zip(self.vit.blocks, read_after(self.vit), self.after_mlp, strict=True)
        ):
            z = self._attend(i, block, z, read)
            out = block.mlp(block.norm2(z))
            z = add(z, block.drop_path2(block.ls2(out + self.noise[i](adapter(out)))))
        return Output(self.head(pool(self.vit, z)))

    def _attend(self, i: int, block: Block, z: Tensor, read: slice) -> Tensor:  # noqa: ARG002  # Houlsby's differ by block
        """The tokens `read` of z (B, N, D) after the attention half of block i."""
        return add_attention(block, z[:, read], gather(block, z, read))


class Houlsby(Pfeiffer):
    """Tuned: 2 L (2 D R + R + D) for bottlenecks of width R, and the head."""

    def __init__(self, vit: VisionTransformer, num_classes: int, *, bottleneck: Positive = 64) -> None:
        super().__init__(vit, num_classes, bottleneck=bottleneck)
        self.after_attention = nn.ModuleList(_bottleneck(vit.embed_dim, bottleneck, nn.GELU()) for _ in vit.blocks)

    def _attend(self, i: int, block: Block, z: Tensor, read: slice) -> Tensor:
        out = project_out(block, gather(block, z, read))
        return add(z[:, read], block.drop_path1(block.ls1(out + self.noise[i](self.after_attention[i](out)))))


class AdaptFormer(Method):
    """Tuned: L (2 D R + R + D) for bottlenecks of width R, and the head."""

    takes_noise = True

    def __init__(
        self, vit: VisionTransformer, num_classes: int, *, bottleneck: Positive = 64, scale: Rate = 0.1
    ) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.noise = block_noise(vit)
        self.scale = scale
        self.adapters = nn.ModuleList(_bottleneck(vit.embed_dim, bottleneck, nn.ReLU()) for _ in vit.blocks)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        z = embed(self.vit, images)
        for block, read, adapter, noise in zip(
            self.vit.blocks, read_after(self.vit), self.adapters, self.noise, strict=True
        ):
            z = add_attention(block, z[:, read], gather(block, z, read))
            z = add_mlp(block, z) + self.scale * noise(adapter(block.norm2(z)))
        return Output(self.head(pool(self.vit, z)))


class AdapterPlus(Method):
    """Tuned: L (2 D R + R + 2 D) for rank R, and the head.

    With `biases`, all of the backbone's too, which the paper has not.
    """

    takes_noise = True

    def __init__(self, vit: VisionTransformer, num_classes: int, *, rank: Positive = 8, biases: bool = False) -> None:
        super().__init__()
        self.vit = freeze(vit)
        if biases:
            tune_biases(vit)
        self.noise = block_noise(vit)
        self.adapters = nn.ModuleList(_bottleneck(vit.embed_dim, rank, nn.GELU()) for _ in vit.blocks)
        for layer in self.adapters.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.02, b=0.02)
        self.scales = nn.ParameterList(torch.ones(vit.embed_dim) for _ in vit.blocks)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        z = embed(self.vit, images)
        layers = zip(self.vit.blocks, read_after(self.vit), self.adapters, self.scales, self.noise, strict=True)
        for block, read, adapter, scale, noise in layers:
            z = pass_block(block, z, read)
            z = add(z, block.drop_path2(noise(_scaled(adapter, scale, z))))
        return Output(self.head(pool(self.vit, z)))


def _scaled(adapter: Any, scale: Tensor, z: Tensor) -> Tensor:
    """The scale (D,) times what the adapter gives of tokens z (B, N, D): in its last matrix, which is smaller."""
    down, activation, up = adapter
    return multiply(activation(down(z)), scale[:, None] * up.weight, scale * up.bias)


def _bottleneck(width: int, inner: int, activation: nn.Module) -> nn.Sequential:
    """Down, activation, up; it starts as zero, so that the model starts as the backbone."""
    down, up = Linear(width, inner), Linear(inner, width)
    nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
    for tensor in (down.bias, up.weight, up.bias):
        nn.init.zeros_(tensor)
    return nn.Sequential(down, activation, up)
