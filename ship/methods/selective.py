"""Methods that add nothing but a head and train a part of the backbone, or all of it.

full fine-tuning · BitFit, the biases (Zaken et al., ACL 2022) · LayerNorm, scales and shifts of the norms (Basu et al.,
"Strong baselines for parameter-efficient few-shot fine-tuning", AAAI 2024) · partial-k, the last k blocks and the final
norm (Yosinski et al., NeurIPS 2014). Full fine-tuning alone trains the position embedding and the class token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.config import Count
from ship.errors import BadInput
from ship.methods.base import Output, linear_head
from ship.models.vit import embed, freeze, pool


class Selective(nn.Module):
    """logits = head(pool(vit(images))), where some parameters of the vit are trained."""

    statistics: ClassVar[tuple[str, ...]] = ()
    trains_on: ClassVar[str] = "images"

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        return Output(self.head(pool(self.vit, self.vit.blocks(embed(self.vit, images)))))


class Full(Selective):
    """Tuned: the backbone, and the head."""

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__(vit, num_classes)
        _train(self.vit.parameters())


class BitFit(Selective):
    """Tuned: every bias of the backbone, and the head."""

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__(vit, num_classes)
        biases = (getattr(module, "bias", None) for module in vit.modules())
        _train(bias for bias in biases if isinstance(bias, nn.Parameter))


class LayerNorm(Selective):
    """Tuned: scale and shift of every norm of the backbone, and the head."""

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__(vit, num_classes)
        _train(p for module in vit.modules() if isinstance(module, nn.LayerNorm) for p in module.parameters())


class Partial(Selective):
    """Tuned: the last `blocks` blocks, the norm after them, and the head."""

    def __init__(self, vit: VisionTransformer, num_classes: int, *, blocks: Count = 1) -> None:
        super().__init__(vit, num_classes)
        if blocks > len(vit.blocks):
            raise BadInput(f"partial: blocks: expected 0 to {len(vit.blocks)} of this backbone, got {blocks}")
        _train(p for block in vit.blocks[len(vit.blocks) - blocks :] for p in block.parameters())
        _train(vit.norm.parameters())


def _train(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.requires_grad_()
