"""What a tuned model is to others: one network from uint8 images to logits, with all that can be computed before."""

from __future__ import annotations

import copy

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.inference.model import Model
from ship.methods.base import Foldable, Folded, Mergeable, Method
from ship.models.preprocessing import Preprocessing


class Network(nn.Module):
    """Logits (B, C) of RGB images (B, 3, S, S), uint8: it normalises them, and has what is constant of prompts."""

    def __init__(self, model: Method | VisionTransformer, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(-1, 1, 1))
        folded = model.fold() if isinstance(model, Foldable) else []
        self.folded = [len(constants) for constants in folded]
        for block, constants in enumerate(folded):
            for part, constant in enumerate(constants):
                self.register_buffer(f"folded_{block}_{part}", constant.contiguous().clone())

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C) of RGB images (B, 3, S, S), uint8."""
        x = (images.float() / 255 - self.get_buffer("mean")) / self.get_buffer("std")
        if not isinstance(self.model, Method):
            logits: Tensor = self.model(x)
        elif self.folded:
            logits = self.model(x, [*map(self._constants, range(len(self.folded)))]).logits
        else:
            logits = self.model(x).logits
        return logits

    def _constants(self, block: int) -> Folded:
        return tuple(self.get_buffer(f"folded_{block}_{part}") for part in range(self.folded[block]))


@torch.no_grad()
def network(model: Model, preprocessing: Preprocessing) -> Network:
    """The cheapest form of `model`, in evaluation mode on the CPU: merged, or with folded prompts, or as it is."""
    inner = method = model.cpu().eval().method
    if isinstance(method, Mergeable):
        inner = copy.deepcopy(method).double().merged().float()  # merged weights are rounded once
    return Network(inner, preprocessing).eval().requires_grad_(False)
