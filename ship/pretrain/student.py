"""The ViT that is pre-trained on images made by formulas, with its heads.

The heads have hidden layers, which are thrown away with them: features from which a linear layer must tell the
categories keep less of what other tasks need (Wang et al., CVPR 2022).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.models.vit import embed


class Guess(NamedTuple):
    """What the heads say of B images, k patches each."""

    category: Tensor
    """(B, categories): logits, of the class token"""
    place: Tensor
    """(B, k, places)"""
    ink: Tensor
    """(B, k, inks): logits"""


class Student(nn.Module):
    """A ViT with a head on its class token and two on its patches."""

    def __init__(self, model: Mapping[str, Any], categories: int, places: int, inks: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # timm's own start (0.02 everywhere) is made for wide models and learns slowly at this width
            self.vit = VisionTransformer(**model, num_classes=0, weight_init="jax")
            width = self.vit.embed_dim
            self.category, self.place, self.ink = (head(width, n) for n in (categories, places, inks))
        with torch.no_grad():
            self.vit.pos_embed[:, 1:] = 0.5 * waves_of_place(self.vit.patch_embed.grid_size, width)

    def forward(self, images: Tensor, order: Tensor) -> Guess:
        """What is said of images (B, 3, S, S) of which the patches `order` (B, k) alone are seen."""
        z = embed(self.vit, images)
        z = torch.cat([z[:, :1], z[:, 1:].take_along_dim(order[..., None], dim=1)], dim=1)
        for block in self.vit.blocks:
            z = block(z)
        z = self.vit.norm(z)
        return Guess(self.category(z[:, 0]), self.place(z[:, 1:]), self.ink(z[:, 1:]))


def head(width: int, outputs: int) -> nn.Sequential:
    """From the features of one token to what is said of it."""
    sizes = (width, 4 * width, 4 * width)
    hidden = [nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.GELU()) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], outputs))


def losses(guess: Guess, category: Tensor, place: Tensor, ink: Tensor) -> list[Tensor]:
    """Of the category, the mean over both labels (B, 2); of the place (B, k, places); of the ink (B, k, inks).

    The place counts as cross-entropy of whether an object owns the patch, and where one does, as squared error.
    """
    logits, ahead, owned = guess.category.float(), guess.place.float(), place[..., :1]
    both = [F.cross_entropy(logits, label) for label in category.T]
    missed = ((ahead - place)[..., 1:].square() * owned).sum() / owned.sum().clamp(min=1)
    owns = F.binary_cross_entropy_with_logits(ahead[..., :1], owned)
    return [(both[0] + both[1]) / 2, owns + missed, F.binary_cross_entropy_with_logits(guess.ink.float(), ink)]


def groups(student: Student, weight_decay: float) -> list[dict[str, Any]]:
    """The optimiser's groups of parameters: matrices decay, vectors and embeddings do not."""
    decayed = [p for name, p in student.named_parameters() if p.ndim > 1 and not name.endswith(("_token", "_embed"))]
    chosen = {id(p) for p in decayed}
    others = [p for p in student.parameters() if id(p) not in chosen]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def waves_of_place(grid: tuple[int, int], width: int) -> Tensor:
    """Sines and cosines of the patches' rows and columns, (rows columns, width): the first position embedding."""
    rows, columns = grid
    pace = 100.0 ** -torch.linspace(0, 1, width // 4)
    down, across = (torch.arange(n)[:, None] * pace for n in (rows, columns))
    down, across = down[:, None].expand(-1, columns, -1), across[None].expand(rows, -1, -1)
    return torch.cat([down.sin(), down.cos(), across.sin(), across.cos()], dim=-1).flatten(0, 1)
