"""Shared adapter: one bottleneck of high rank that all blocks use, and what is little is each block's own.

Ours, in no paper. After block l, z <- u + DP(s_l * U GELU(g_l * V u)), u = block(z): V (R, D) and U (D, R) are the same
for all blocks, a gate g_l of each rank and a scale s_l of each channel are the block's own. U = 0 and g = s = 1 at the
start, so that the model starts as the backbone; V is normal with deviation 0.03, and there are no biases. Adapter+ has
the place and the scale, FacT the shared factors, SHIP the levels.

With `level_rank`, the blocks of a level share more: that rank is dealt out to the levels, and each has V and U of its
own beside the common ones. So matrices have 2 D (R + level_rank) parameters, however blocks are grouped. Controls are
rows: `grouping` uniform or random with as many levels, `threshold=2` for a level a block, `level_rank=0` for one level.
"""

from __future__ import annotations

import random
from typing import Literal

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.experiment.fields import Count
from ship.methods.base import Method, Output, linear_head
from ship.models.hierarchy import first_blocks
from ship.models.linear import multiply
from ship.models.noise import block_noise
from ship.models.vit import add, embed, freeze, pass_block, pool, read_after, tune_biases

Grouping = Literal["hierarchy", "uniform", "random"]


class SharedAdapter(Method):
    """Tuned: 2 D (R + level_rank) + D + R + R_l for each block l whose level has R_l of level_rank, and the head.

    With `biases`, all of the backbone's too, as `bitfit` has them.
    """

    statistics = ("affinity",)
    takes_noise = True
    affinity: Tensor

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        affinity: Tensor,
        rank: Count = 55,
        level_rank: Count = 0,
        threshold: float = 0.95,
        grouping: Grouping = "hierarchy",
        draw: Count = 0,
        biases: bool = False,
    ) -> None:
        super().__init__()
        depth, width = len(vit.blocks), vit.embed_dim
        if affinity.shape != (depth, depth):
            raise BadInput(
                f"shared_adapter: affinity: expected shape {(depth, depth)} of this backbone, "
                f"got {tuple(affinity.shape)}"
            )
        starts = grouped(first_blocks(affinity, threshold), depth, grouping, draw)
        if not rank and level_rank < len(starts):
            raise BadInput(
                f"shared_adapter: rank, level_rank: expected one above 0, or {len(starts)} at the least for as many "
                f"levels, got {rank} and {level_rank}"
            )
        dealt = [(level_rank + level) // len(starts) for level in range(len(starts))]
        ranks = {"all": rank, **{f"level_{level}": part for level, part in enumerate(dealt)}}
        ranks = {part: own for part, own in ranks.items() if own}
        levels = [f"level_{sum(start <= block for start in starts) - 1}" for block in range(depth)]
        self.parts = [[part for part in ("all", level) if part in ranks] for level in levels]
        self.vit = freeze(vit)
        if biases:
            tune_biases(vit)
        self.noise = block_noise(vit)
        self.register_buffer("affinity", affinity)
        drawn = {part: nn.init.trunc_normal_(torch.empty(own, width), std=0.03) for part, own in ranks.items()}
        self.down = nn.ParameterDict(drawn)
        self.up = nn.ParameterDict({part: torch.zeros(width, own) for part, own in ranks.items()})
        self.gates = nn.ParameterList(torch.ones(sum(ranks[part] for part in parts)) for parts in self.parts)
        self.scales = nn.ParameterList(torch.ones(width) for _ in vit.blocks)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        z = embed(self.vit, images)
        for i, (block, read) in enumerate(zip(self.vit.blocks, read_after(self.vit), strict=True)):
            u = pass_block(block, z, read)
            z = add(u, block.drop_path2(self.noise[i](self._update(i, u))))
        return Output(self.head(pool(self.vit, z)))

    def _update(self, i: int, u: Tensor) -> Tensor:
        """What block i adds to its tokens u (B, N, D), by what all blocks share and what its level does.

        It is s U GELU(g V u); gates and scales multiply the matrices, which are smaller than what comes of tokens.
        """
        down = torch.cat([self.down[part] for part in self.parts[i]])
        up = torch.cat([self.up[part] for part in self.parts[i]], dim=1)
        return multiply(F.gelu(multiply(u, self.gates[i][:, None] * down)), self.scales[i][:, None] * up)


def grouped(starts: list[int], depth: int, grouping: Grouping, draw: int) -> list[int]:
    """First blocks of the levels: `starts`, or as many at equal distances, or as many at random, block 0 among them."""
    if grouping == "uniform":
        return [level * depth // len(starts) for level in range(len(starts))]
    if grouping == "random":
        return [0, *sorted(random.Random(draw).sample(range(1, depth), len(starts) - 1))]  # noqa: S311  # no secret
    return starts
