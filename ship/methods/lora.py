"""LoRA and its relatives: queries and values change by products of two thin matrices.

LoRA (Hu et al., ICLR 2022): W + (alpha / R) B A. DoRA (Liu et al., ICML 2024): the rows of that, brought to lengths
that are tuned; what they are divided by is a constant on the way back. VeRA (Kopiczko et al., ICLR 2024): W + diag(b) B
diag(d) A, where A and B are random, frozen and the same for all; they follow from a fixed seed and are not saved.

LoRA's A starts uniform within 1 / sqrt(D) and its B as 0, DoRA's lengths as those of W, VeRA's b as 0 and its d as
`initial`; so all start as the backbone. VeRA's A and B are uniform within sqrt(6 / their inputs). Hugging Face `peft`
has the same; `tests/methods/test_lora.py` compares.

timm has queries, keys and values in one layer. Its product stays one, and what changes is added to its parts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.experiment.fields import Fraction, Positive, Rate
from ship.methods.base import InPlace, Layer, glorot, linear_head, uniform
from ship.models.linear import multiply
from ship.models.noise import Noise, block_noise
from ship.models.vit import freeze


class LowRankLayer(Layer):
    """A frozen layer to queries, keys and values, whose queries and values change by products of two matrices."""

    def __init__(self, qkv: nn.Linear, noise: Noise, dropout: float) -> None:
        super().__init__()
        self.frozen, self.noise, self.dropout = qkv, noise, nn.Dropout(dropout)

    @abstractmethod
    def matrices(self) -> tuple[Tensor, Tensor]:
        """A (2, R, D) and B (2, D, R): of queries and of values."""

    def forward(self, h: Tensor) -> Tensor:
        """Of tokens h (B, N, D), (B, N, 3 D), with noise on what has changed."""
        if torch.compiler.is_exporting() and not self.training:
            return multiply(h, self._weight(), self.frozen.bias)  # a program has no sums in place
        return self.noise.beyond(self._changed(h, self.frozen.bias), partial(self.frozen, h))

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """The layer alone, with the change in its weight."""
        self.frozen.weight.copy_(self._weight())
        return self.frozen

    def _changed(self, h: Tensor, bias: Tensor | None) -> Tensor:
        a, b = self.matrices()
        low = multiply(self.dropout(h), a.flatten(0, 1))
        changed: Tensor = _Sum.apply(h.to(low.dtype), self.frozen.weight, bias, low, b.to(low.dtype))
        return changed

    def _weight(self) -> Tensor:
        """The changed weight, (3 D, D)."""
        a, b = self.matrices()
        q, v = b @ a
        return self.frozen.weight + torch.cat([q, torch.zeros_like(q), v])


class LoRALayer(LowRankLayer):
    """Tuned: A (2, R, D) and B (2, D, R)."""

    def __init__(self, qkv: nn.Linear, noise: Noise, rank: int, scale: float, dropout: float) -> None:
        super().__init__(qkv, noise, dropout)
        self.scale = scale
        self.a = uniform(2, rank, qkv.in_features, bound=qkv.in_features**-0.5)
        self.b = nn.Parameter(torch.zeros(2, qkv.in_features, rank))

    def matrices(self) -> tuple[Tensor, Tensor]:
        """A and (alpha / R) B."""
        return self.a, self.scale * self.b


class DoRALayer(LoRALayer):
    """Tuned besides: the lengths of the rows of queries and values, (2 D,)."""

    def __init__(self, qkv: nn.Linear, noise: Noise, rank: int, scale: float, dropout: float) -> None:
        super().__init__(qkv, noise, rank, scale, dropout)
        q, _, v = qkv.weight.detach().norm(dim=1).chunk(3)
        self.length = nn.Parameter(torch.cat([q, v]))

    def _changed(self, h: Tensor, bias: Tensor | None) -> Tensor:
        whole = super()._changed(h, None)
        whole = whole * self._stretch(super()._weight()).to(whole.dtype)
        return whole if bias is None else whole + bias.to(whole.dtype)

    def _weight(self) -> Tensor:
        weight = super()._weight()
        return self._stretch(weight)[:, None] * weight

    def _stretch(self, weight: Tensor) -> Tensor:
        """What each row of a weight (3 D, D) is to be multiplied with, (3 D,)."""
        q, k, v = weight.detach().norm(dim=1).chunk(3)
        to_q, to_v = self.length.chunk(2)
        return torch.cat([to_q / q, torch.ones_like(k), to_v / v])


class Fixed(nn.Module):
    """VeRA's A (R, D) and B (D, R), which all layers have in common."""

    a: Tensor
    b: Tensor

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        for name, outputs, inputs in (("a", rank, width), ("b", width, rank)):
            matrix = torch.empty(outputs, inputs, device="cpu")
            self.register_buffer(name, matrix.uniform_(-glorot(inputs), glorot(inputs), generator=draw))


class VeRALayer(LowRankLayer):
    """Tuned: the diagonals d (2 R,) and b (2 D,)."""

    def __init__(self, qkv: nn.Linear, noise: Noise, fixed: Fixed, initial: float, dropout: float) -> None:
        super().__init__(qkv, noise, dropout)
        self.fixed = fixed
        self.d = nn.Parameter(torch.full((2 * len(fixed.a),), initial))
        self.b = nn.Parameter(torch.zeros(2 * len(fixed.b)))

    def matrices(self) -> tuple[Tensor, Tensor]:
        """The common A and B, by the scales of this layer."""
        d, b = self.d.unflatten(0, (2, -1, 1)), self.b.unflatten(0, (2, -1, 1))
        return d * self.fixed.a, b * self.fixed.b


class LowRank(InPlace):
    """logits = head(pool(vit(images))) with queries and values that change as `update` has them."""

    takes_noise = True

    def __init__(
        self, vit: VisionTransformer, num_classes: int, update: Callable[[nn.Linear, Noise], LowRankLayer]
    ) -> None:
        super().__init__()
        self.vit = freeze(vit)
        self.noise = block_noise(vit)
        for block, noise in zip(vit.blocks, self.noise, strict=True):
            block.attn.qkv = update(block.attn.qkv, noise)
        self.head = linear_head(vit.num_features, num_classes)


class LoRA(LowRank):
    """Tuned: 4 D R L for rank R, 2 D L more for DoRA's lengths, and the head."""

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        rank: Positive = 8,
        alpha: Rate = 8.0,
        dropout: Fraction = 0.0,
        dora: bool = False,
    ) -> None:
        kind = DoRALayer if dora else LoRALayer
        super().__init__(vit, num_classes, partial(kind, rank=rank, scale=alpha / rank, dropout=dropout))
        self.reads_weights = dora  # the length of a row is that of the weight with its update


class VeRA(LowRank):
    """Tuned: 2 L (R + D) for rank R, and the head."""

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        rank: Positive = 256,
        initial: Rate = 0.1,
        dropout: Fraction = 0.0,
    ) -> None:
        fixed = Fixed(vit.embed_dim, rank)
        super().__init__(vit, num_classes, partial(VeRALayer, fixed=fixed, initial=initial, dropout=dropout))


class _Sum(torch.autograd.Function):
    """x W^T + bias of x (..., D), to whose queries and values `low` (..., 2 R) times B (2, D, R) is added in place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, low: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight.to(x.dtype), low, b)
        whole = multiply(x, weight, bias)
        for part, own, matrix in zip(_changing(whole), _rows(low).chunk(2, -1), b, strict=True):
            part.addmm_(own, matrix.t())
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, low, b = ctx.saved_tensors
        to_x = multiply(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        to_weight = _rows(gradient).t() @ _rows(x) if ctx.needs_input_grad[1] else None
        to_bias = _rows(gradient).sum(dim=0) if ctx.needs_input_grad[2] else None
        parts = _changing(gradient)
        to_low = torch.cat([part @ matrix for part, matrix in zip(parts, b, strict=True)], dim=-1)
        to_b = torch.stack([part.t() @ own for part, own in zip(parts, _rows(low).chunk(2, -1), strict=True)])
        return to_x, to_weight, to_bias, to_low.view_as(low), to_b


def _changing(whole: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and values (M, D) of what timm's one layer gives, (..., 3 D): views."""
    rows, width = _rows(whole), whole.shape[-1] // 3
    return rows.narrow(1, 0, width), rows.narrow(1, 2 * width, width)


def _rows(tokens: Tensor) -> Tensor:
    """Tokens (..., D) as rows (M, D)."""
    return tokens.flatten(0, -2)
