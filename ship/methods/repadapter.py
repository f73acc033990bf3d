"""RepAdapter: structural re-parameterisation (Luo et al., arXiv 2302.08106, 2023).

Before attention and before the MLP, after their norms, an adapter without non-linearity, h <- h + s (U (A h + a) + u):
A is dense, U sparse, of groups that each read their own part of the bottleneck. Being linear, it merges into the layer
that comes next: `merged` costs nothing at inference. A starts by Glorot, U and both biases as 0: it starts as the
backbone. The paper searches the scale s for each task, here it is an option. Dropout on the bottleneck is not in the
paper but in its authors' program. Both have biases, which the published 0.22 M for ViT-B seem to leave out; ours count.
"""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.experiment.fields import Fraction, Positive, Rate
from ship.methods.base import InPlace, Layer, linear_head
from ship.models.linear import Linear
from ship.models.noise import Noise, block_noise
from ship.models.vit import freeze, require_two_layers


class RepAdapter(InPlace):
    """Tuned: 2 L (D R + R + D R / G + D) for bottlenecks of width R and G groups, and the head."""

    takes_noise = True

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        bottleneck: Positive = 8,
        groups: Positive = 2,
        scale: Rate = 1.0,
        dropout: Fraction = 0.1,
    ) -> None:
        super().__init__()
        if bottleneck % groups or vit.embed_dim % groups:
            raise BadInput(
                f"repadapter: groups: expected a divisor of the bottleneck {bottleneck} and of the width "
                f"{vit.embed_dim}, got {groups}"
            )
        require_two_layers(vit, "repadapter")
        self.vit = freeze(vit)
        self.noise = block_noise(vit)
        for block, noise in zip(vit.blocks, self.noise, strict=True):
            for owner, name in ((block.attn, "qkv"), (block.mlp, "fc1")):
                setattr(owner, name, Adapted(getattr(owner, name), bottleneck, groups, scale, dropout, noise))
        self.head = linear_head(vit.num_features, num_classes)


class Adapted(Layer):
    """A frozen linear layer behind a tuned linear adapter."""

    def __init__(
        self, linear: nn.Linear, bottleneck: int, groups: int, scale: float, dropout: float, noise: Noise
    ) -> None:
        super().__init__()
        width = linear.in_features
        self.linear, self.noise = linear, noise
        self.scale = scale
        self.down = Linear(width, bottleneck)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Parameter(torch.zeros(groups, width // groups, bottleneck // groups))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, h: Tensor) -> Tensor:
        """What the layer gives for adapted tokens h (..., D)."""
        parts = self.dropout(self.down(h)).unflatten(-1, (len(self.up), -1))
        change = torch.einsum("...gr,gdr->...gd", parts, self.up).flatten(-2) + self.bias
        return self.linear(h + self.noise(self.scale * change))

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """The layer alone, with the adapter in its weight W and bias: W (h + s (U (A h + a) + u))."""
        weight = self.linear.weight
        up = self.scale * torch.block_diag(*self.up)
        shift = weight @ (up @ self.down.bias + self.scale * self.bias)
        bias = shift if self.linear.bias is None else self.linear.bias + shift
        self.linear.bias = nn.Parameter(bias, requires_grad=False)
        weight.add_(weight @ up @ self.down.weight)
        return self.linear
