"""OFT: the frozen attention's projections turn, and stretch nothing.

OFT (Qiu et al., NeurIPS 2023): W R for queries, keys, values and output, R block-diagonal and orthogonal by Cayley's
transform (I + Q)(I - Q)^-1 of skew-symmetric blocks Q, which start as 0. The paper says how many blocks there are, here
it is how wide they are; its constrained form (COFT) is left out. Hugging Face `peft` computes the same where its series
for the transform is off; `tests/methods/test_oft.py` compares.
"""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.experiment.fields import Positive
from ship.methods.base import InPlace, Layer, linear_head
from ship.models.linear import multiply
from ship.models.vit import freeze, unrounded


class OFT(InPlace):
    """Tuned: 2 L D (S - 1) for blocks of size S, and the head."""

    recordable = False  # it solves equations, and the solver asks whether it could
    reads_weights = True

    def __init__(self, vit: VisionTransformer, num_classes: int, *, block_size: Positive = 8) -> None:
        super().__init__()
        if block_size < 2 or vit.embed_dim % block_size:
            raise BadInput(
                f"oft: block_size: expected a divisor of the width {vit.embed_dim} and at least 2, got {block_size}"
            )
        self.vit = freeze(vit)
        for block in vit.blocks:
            for name in ("qkv", "proj"):
                setattr(block.attn, name, Turned(getattr(block.attn, name), block_size))
        self.head = linear_head(vit.num_features, num_classes)


class Turned(Layer):
    """A frozen layer (P D, D), in which each of the P matrices (D, D) has a rotation of its own."""

    def __init__(self, frozen: nn.Linear, size: int) -> None:
        super().__init__()
        self.frozen, self.size = frozen, size
        width = frozen.in_features
        self.skew = nn.Parameter(torch.zeros(frozen.out_features // width, width // size, size * (size - 1) // 2))

    def forward(self, h: Tensor) -> Tensor:
        """Of tokens h (B, N, D), (B, N, P D)."""
        return multiply(h, _turn(self.frozen.weight, self.skew, self.size), self.frozen.bias)

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """The layer alone, with its rotations in its weight."""
        self.frozen.weight.copy_(_turn(self.frozen.weight, self.skew, self.size))
        return self.frozen


@unrounded
def _turn(weight: Tensor, skew: Tensor, size: int) -> Tensor:
    """W R (P D, D) of a weight, for the upper triangles of Q, (P, D / S, S (S - 1) / 2); in float32 at least."""
    parts, blocks, _ = skew.shape
    exact = torch.promote_types(skew.dtype, torch.float32)  # what the solver takes
    skew, own = skew.to(exact), weight.to(exact)
    upper = skew.new_zeros(parts, blocks, size, size)
    upper[..., *torch.triu_indices(size, size, 1, device=skew.device)] = skew
    q, one = upper - upper.mT, torch.eye(size, dtype=skew.dtype, device=skew.device)
    rotation = torch.linalg.solve(one - q, one + q)
    turned = torch.einsum("penr,pnrs->pens", own.unflatten(1, (blocks, size)).unflatten(0, (parts, -1)), rotation)
    return turned.reshape_as(weight).to(weight.dtype)
