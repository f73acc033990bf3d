"""Convpass: convolutional bypasses (Jie & Deng, arXiv 2207.07039, 2022).

Beside attention and beside the MLP stands a bypass that reads the same normalised tokens, z <- z + SA(h) + s B(h): down
to a few channels, GELU, a 3 x 3 convolution on the grid of the patches, GELU, up. The class token goes through the
convolution as an image of its own, 1 x 1, and so does every register, which the paper does not have. The convolution
starts as the identity and the way up as 0, so that the model starts as the backbone.

The paper searches the scale s for each task, here it is an option. Its authors' program has dropout before the way up,
as here, and approximates GELU by x sigmoid(1.702 x), which we do not. Where a backbone has LayerScale, it acts on its
own branch alone; stochastic depth has the same rate on both branches and is drawn apart.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.experiment.fields import Fraction, Positive, Rate
from ship.methods.base import Method, Output, linear_head
from ship.models.attention import attend
from ship.models.linear import Linear
from ship.models.noise import block_noise
from ship.models.vit import add_attention, add_mlp, embed, freeze, pool, project_qkv


class Convpass(Method):
    """Tuned: 2 L (2 D R + R + D + 9 R^2 + R) for bottlenecks of width R, and the head."""

    takes_noise = True

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        bottleneck: Positive = 8,
        scale: Rate = 1.0,
        dropout: Fraction = 0.1,
    ) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.noise = block_noise(vit)
        self.scale = scale
        self.beside_attention, self.beside_mlp = (
            nn.ModuleList(Bypass(vit.embed_dim, bottleneck, dropout) for _ in vit.blocks) for _ in range(2)
        )
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        z, grid = embed(self.vit, images), self.vit.patch_embed.dynamic_feat_size(images.shape[-2:])
        if (patches := z.shape[1] - self.vit.num_prefix_tokens) != math.prod(grid):
            told = f"expected {math.prod(grid)} patches, on the ViT's grid of {grid[0]} x {grid[1]}"
            raise BadInput(f"convpass: {told}, got {patches} (other methods need no grid)")
        bypasses = zip(self.vit.blocks, self.beside_attention, self.beside_mlp, self.noise, strict=True)
        for block, first, second, noise in bypasses:
            h = block.norm1(z)
            bypass = block.drop_path1(noise(first(h, grid)))
            z = add_attention(block, z, attend(*project_qkv(block, h))) + self.scale * bypass
            z = add_mlp(block, z) + self.scale * block.drop_path2(noise(second(block.norm2(z), grid)))
        return Output(self.head(pool(self.vit, z)))


class Bypass(nn.Module):
    """A bottleneck that convolves the patches on their grid, and every token before them alone."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.down, self.up = Linear(width, inner), Linear(inner, width)
        self.conv = nn.Conv2d(inner, inner, kernel_size=3, padding=1)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.dirac_(self.conv.weight)
        biases = [tensor for tensor in self.parameters() if tensor.ndim == 1]
        for tensor in (self.up.weight, *biases):
            nn.init.zeros_(tensor)

    def forward(self, h: Tensor, grid: tuple[int, int]) -> Tensor:
        """The bypass of normalised tokens h (B, N, D), (B, N, D), of which the last are a grid (rows, columns)."""
        low = F.gelu(self.down(h))
        rows, columns = grid
        alone, patches = low.split([h.shape[1] - rows * columns, rows * columns], dim=1)
        # around an image of one pixel there is only padding: the middle of the kernel is all that it meets
        alone = F.linear(alone, self.conv.weight[:, :, 1, 1], self.conv.bias)
        patches = self.conv(patches.transpose(1, 2).unflatten(2, grid)).flatten(2).transpose(1, 2)
        return self.up(self.dropout(F.gelu(torch.cat([alone, patches], dim=1))))
