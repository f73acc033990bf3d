"""FacT: factor-tuning (Jie & Deng, AAAI 2023), in its tensor-train and its Tucker form.

The weights of all blocks are cut into matrices of the width, D x D: one each for queries, keys, values and output, one
for every D outputs of the MLP's first layer and every D inputs of its second, K = 12 L of them in a plain ViT. Their
changes share two factors: matrix k changes by s V S_k U, with U (R, D) and V (D, R) the same for all.
Tensor train: every S_k (R, R) is tuned. Tucker: S_k = sum over p of P[k, p] C[p], with P (K, R) and C (R, R, R) tuned.

V starts as 0, so that the model starts as the backbone. The paper has random factors beside it; here U and S_k are
uniform within 1 / sqrt(their inputs), P and C within Glorot's bound. The paper searches the scale s for each task, here
it is an option. Dropout before V is not in the paper, but in its authors' program.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.experiment.fields import Fraction, Positive, Rate
from ship.methods.base import InPlace, Layer, glorot, linear_head, uniform
from ship.models.linear import multiply
from ship.models.noise import Noise, block_noise
from ship.models.vit import freeze, require_two_layers


class TensorTrain(nn.Module):
    """U (R, D), V (D, R) and all matrices S (K, R, R)."""

    def __init__(self, width: int, count: int, rank: int) -> None:
        super().__init__()
        self.u = uniform(rank, width, bound=width**-0.5)
        self.v = nn.Parameter(torch.zeros(width, rank))
        self.s = uniform(count, rank, rank, bound=rank**-0.5)

    def middle(self, which: slice) -> Tensor:
        """The matrices S_k between U and V that are asked for, (k, R, R)."""
        return self.s[which]


class Tucker(nn.Module):
    """U (R, D), V (D, R), the mixture P (K, R) and the core C (R, R, R)."""

    def __init__(self, width: int, count: int, rank: int) -> None:
        super().__init__()
        self.u = uniform(rank, width, bound=width**-0.5)
        self.v = nn.Parameter(torch.zeros(width, rank))
        self.p = uniform(count, rank, bound=glorot(count + rank))
        self.c = uniform(rank, rank, rank, bound=glorot(2 * rank**2))

    def middle(self, which: slice) -> Tensor:
        """The matrices S_k between U and V that are asked for, (k, R, R)."""
        return torch.einsum("kp,pij->kij", self.p[which], self.c)


class FacT(InPlace):
    """logits = head(pool(vit(images))) with weights that change by shared factors of the given form.

    `method` is its name, for errors.
    """

    takes_noise = True

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        method: str,
        form: type[TensorTrain | Tucker],
        rank: int,
        scale: float,
        dropout: float,
    ) -> None:
        super().__init__()
        require_two_layers(vit, method)
        layers = [getattr(owner, name) for owner, name in _places(vit)]
        ends = list(accumulate(_matrices(method, layer, vit.embed_dim) for layer in layers))
        self.factors = form(vit.embed_dim, ends[-1], rank)
        self.vit = freeze(vit)
        self.noise = block_noise(vit)
        for i, ((owner, name), layer) in enumerate(zip(_places(vit), layers, strict=True)):
            which, noise = slice(ends[i - 1] if i else 0, ends[i]), self.noise[i * len(vit.blocks) // len(layers)]
            setattr(owner, name, Factored(layer, self.factors, which, scale, dropout, noise))
        self.head = linear_head(vit.num_features, num_classes)


class FacTTensorTrain(FacT):
    """Tuned: 2 D R + 12 L R^2 for rank R and an MLP of four times the width, and the head."""

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        rank: Positive = 16,
        scale: Rate = 1.0,
        dropout: Fraction = 0.1,
    ) -> None:
        super().__init__(vit, num_classes, "fact_tt", TensorTrain, rank, scale, dropout)


class FacTTucker(FacT):
    """Tuned: 2 D R + 12 L R + R^3 for rank R and an MLP of four times the width, and the head."""

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        rank: Positive = 32,
        scale: Rate = 1.0,
        dropout: Fraction = 0.1,
    ) -> None:
        super().__init__(vit, num_classes, "fact_tk", Tucker, rank, scale, dropout)


class Factored(Layer):
    """A frozen linear layer, D x D matrices beside or below each other, that changes by factors of all layers."""

    def __init__(
        self,
        linear: nn.Linear,
        factors: TensorTrain | Tucker,
        which: slice,
        scale: float,
        dropout: float,
        noise: Noise,
    ) -> None:
        super().__init__()
        self.linear, self.factors, self.which, self.scale = linear, factors, which, scale
        self.dropout, self.noise = nn.Dropout(dropout), noise

    def forward(self, x: Tensor) -> Tensor:
        """What the changed layer gives for tokens x (..., D) or (..., 4 D)."""
        u, v, middle = self._factors()
        low = multiply(x.unflatten(-1, (middle.shape[1], -1)), u)
        mixed = self.dropout(torch.einsum("...ir,oiqr->...oq", low, middle))
        return self.linear(x) + self.noise(self.scale * multiply(mixed, v).flatten(-2))

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """The layer alone, with the change in its weight."""
        u, v, middle = self._factors()
        change = torch.einsum("eq,oiqr,rd->oeid", v, middle, u)
        self.linear.weight.add_(self.scale * change.reshape_as(self.linear.weight))
        return self.linear

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """U (R, D), V (D, R) and the layer's S, (O, I, R, R) for O D outputs and I D inputs."""
        u, v = self.factors.u, self.factors.v
        inputs = self.linear.in_features // u.shape[1]
        return u, v, self.factors.middle(self.which).unflatten(0, (-1, inputs))


def _places(vit: VisionTransformer) -> list[tuple[Any, str]]:
    """The modules that hold a linear layer of a block, with its name in them."""
    found: list[tuple[Any, str]] = []
    for block in vit.blocks:
        found += [(block.attn, "qkv"), (block.attn, "proj"), (block.mlp, "fc1"), (block.mlp, "fc2")]
    return found


def _matrices(method: str, linear: nn.Linear, width: int) -> int:
    """How many D x D matrices the layer is. Raises BadInput, with the `method` in front, where it is none of them."""
    outputs, inputs = linear.out_features, linear.in_features
    if outputs % width or inputs % width:
        raise BadInput(f"{method}: expected layers of multiples of the width {width}, got one of {inputs} to {outputs}")
    return (outputs // width) * (inputs // width)
