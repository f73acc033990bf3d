"""The patch embedding, nearer to its exact value than one long sum in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ship.errors import BadInput

PART = 64  # products in a sum: of a 16 px patch, four rows of a colour


class PatchEmbedding(nn.Conv2d):
    """A convolution whose patches lie side by side, as matrix products of `PART` columns that are added then.

    The rounding of a sum of 768 products is the largest in a ViT, and some images make much of it. Parts have less,
    and libraries sum them in the same order: a run and its exported files are nearer to each other.
    """

    def forward(self, images: Tensor) -> Tensor:
        """A vector for each of R x C patches, (B, D, R, C), of images (B, 3, S, S).

        Raises BadInput for images of other channels.
        """
        if images.shape[1] != self.in_channels:
            raise BadInput(f"images: expected {self.in_channels} channels, as the ViT has, got {images.shape[1]}")
        height, width = self.kernel_size
        rest = images.shape[2] % height or images.shape[3] % width  # the convolution leaves it out
        if rest or torch.is_autocast_enabled(images.device.type):  # whose products are rounded more than their sum
            return super().forward(images)
        patches = images.unflatten(3, (-1, width)).unflatten(2, (-1, height)).permute(0, 2, 4, 1, 3, 5)
        columns = patches.flatten(3).flatten(0, 2).split(PART, dim=1)
        (first, start), *others = zip(columns, self.weight.flatten(1).split(PART, dim=1), strict=True)
        sums = F.linear(first, start, self.bias)
        for part, weight in others:
            sums.addmm_(part, weight.t())
        return sums.view(*patches.shape[:3], self.out_channels).permute(0, 3, 1, 2)


def lie_side_by_side(patches: nn.Module) -> bool:
    """Whether it is a convolution that takes every pixel once, as of a plain ViT."""
    return isinstance(patches, nn.Conv2d) and (
        (patches.stride, patches.padding, patches.dilation, patches.groups) == (patches.kernel_size, (0, 0), (1, 1), 1)
    )
