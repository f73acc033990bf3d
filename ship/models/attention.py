"""Attention of queries to keys, in the way that is fastest on a device in its precision.

Shapes: B images, H heads, N queries, M keys, D width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LONG = 128  # keys


class QKV(NamedTuple):
    """Queries, keys and values, (B, H, N, D/H) each."""

    q: Tensor
    k: Tensor
    v: Tensor


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D/H)) v with the heads side by side: (B, N, D), of queries (B, H, N, D/H).

    Keys and values are (B, H, M, D/H), or (1, H, M, D/H) where they are the same for every image.
    """
    k, v = (part.expand(q.shape[0], -1, -1, -1) for part in (k, v))
    gathered = _written_out(q, k, v) if written_out(q, k, v) else F.scaled_dot_product_attention(q, k, v)
    return gathered.transpose(1, 2).flatten(2)


def written_out(*parts: Tensor) -> bool:
    """Whether attention is not fused: in bf16 on a CPU, whose fused kernel is fast with AMX alone, and not back."""
    if parts[0].device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    back = torch.is_grad_enabled() and any(part.requires_grad for part in parts)
    return back or not torch.cpu._is_amx_tile_supported()


def _written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by two products and a softmax, (B, H, N, D/H)."""
    precision = torch.get_autocast_dtype("cpu")
    gathered: Tensor = _WeightedSum.apply(*(part.to(precision).flatten(0, 1) for part in (q, k, v)))
    return gathered.view(q.shape)


class _WeightedSum(torch.autograd.Function):
    """softmax(q k^T / sqrt(d)) v, (G, N, d), of q (G, N, d), k and v (G, M, d), and its way back."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.scale = q.shape[-1] ** -0.5
        weights = _softmax(_product(q, k.mT, ctx.scale))
        ctx.save_for_backward(q, k, v, weights)
        return weights @ v

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        to_q, to_k, to_v = ctx.needs_input_grad
        scores = torch._softmax_backward_data(gradient @ v.mT, weights, -1, weights.dtype) if to_q or to_k else q
        return (
            _product(scores, k, ctx.scale) if to_q else None,
            _product(scores.mT, q, ctx.scale) if to_k else None,
            weights.mT @ gradient if to_v else None,
        )


def _product(one: Tensor, other: Tensor, scale: float) -> Tensor:
    """`scale` times the products of (G, n, m) and (G, m, l), without a copy for the scale."""
    return torch.baddbmm(one.new_empty(()), one, other, beta=0, alpha=scale)


def _softmax(scores: Tensor) -> Tensor:
    """Over the last dimension; of short rows in float32, since bf16 takes the end of each row number by number."""
    if scores.shape[-1] >= LONG:
        return scores.softmax(dim=-1)
    return scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype)
