"""Tuning tensors that the backbone already has: all of them, the last blocks, the biases, or the layer norms.

Full: every tensor. Partial: the last k blocks and the final norm, as in the baselines of VPT (ECCV 2022).
BitFit (Ben Zaken et al., ACL 2022): every bias, those of the patch embedding and of the norms among them.
LayerNorm: weight and bias of every layer norm, the final one among them.

What is tuned is chosen by the kind of a module, never by its name. A checkpoint holds the tuned tensors of the backbone
under `vit.`, so that of `full` is as large as the backbone.
"""

from __future__ import annotations

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ship.errors import BadInput
from ship.experiment.fields import Positive
from ship.methods.base import InPlace, linear_head
from ship.models.vit import freeze, tune_biases


class Selective(InPlace):
    """logits = head(pool(vit(images))) with a frozen vit, of which the methods below tune a part."""

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.head = linear_head(vit.num_features, num_classes)


class Full(Selective):
    """Tuned: the whole backbone, and the head."""

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__(vit, num_classes)
        self.vit.requires_grad_()


class Partial(Selective):
    """Tuned: the last `blocks` blocks, 12 D^2 + 13 D each for a plain ViT, the final norm 2 D, the head."""

    def __init__(self, vit: VisionTransformer, num_classes: int, *, blocks: Positive = 1) -> None:
        super().__init__(vit, num_classes)
        if not 1 <= blocks <= len(vit.blocks):
            raise BadInput(f"partial: blocks: expected 1 to {len(vit.blocks)}, got {blocks}")
        for module in (*vit.blocks[-blocks:], vit.norm, vit.fc_norm):
            module.requires_grad_()


class BitFit(Selective):
    """Tuned: every bias of the backbone, 11 D L + 2 D for a plain ViT, and the head."""

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__(vit, num_classes)
        tune_biases(vit)


class LayerNorm(Selective):
    """Tuned: every layer norm of the backbone, 4 D L + 2 D for a plain ViT, and the head."""

    def __init__(self, vit: VisionTransformer, num_classes: int) -> None:
        super().__init__(vit, num_classes)
        norms = [module for module in vit.blocks.modules() if isinstance(module, nn.LayerNorm)]
        if not norms:
            raise BadInput("layernorm: expected a backbone whose blocks have layer norms, got one with others")
        for module in vit.modules():
            if isinstance(module, nn.LayerNorm):
                module.requires_grad_()
