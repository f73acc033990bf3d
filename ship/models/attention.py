"""Attention of queries to keys, in the way that is fastest on a device in its precision.

Shapes: B images, H heads, N queries, M keys, D width. Both ways and their times: `benchmarks/attention.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

FEW = 32  # keys: fewer do not fill a vector of bf16, and PyTorch's kernels take them number by number
LONG = 128  # keys: with as many, the end of a row counts little


class QKV(NamedTuple):
    """Queries, keys and values, (B, H, N, D/H) each."""

    q: Tensor
    k: Tensor
    v: Tensor


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D/H)) v with the heads side by side: (B, N, D), of queries (B, H, N, D/H).

    Keys and values are (B, H, M, D/H), or (1, H, M, D/H) where they are the same for every image. A `TorchFunctionMode`
    sees the call.
    """
    if has_torch_function((q, k, v)) and not torch.compiler.is_compiling():
        seen: Tensor = handle_torch_function(attend, (q, k, v), q, k, v)
        return seen
    k, v = (part.expand(q.shape[0], -1, -1, -1) for part in (k, v))
    gathered = F.scaled_dot_product_attention(q, k, v) if fused(q, k, v) else by_products(q, k, v)
    return gathered.transpose(1, 2).flatten(2)


def fused(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether PyTorch's fused kernel is the faster way: not of few keys on a CPU, nor in bf16 there, but for AMX."""
    if q.device.type != "cpu" or torch.compiler.is_compiling():
        return True
    if k.shape[2] < FEW:
        return False
    back = torch.is_grad_enabled() and any(part.requires_grad for part in (q, k, v))
    return not torch.is_autocast_enabled("cpu") or (torch.cpu._is_amx_tile_supported() and not back)


def by_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D/H)) v by two products and a softmax, (B, H, N, D/H)."""
    precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else q.dtype
    gathered: Tensor = _WeightedSum.apply(*(part.to(precision).flatten(0, 1) for part in (q, k, v)))
    return gathered.view(q.shape)


class _WeightedSum(torch.autograd.Function):
    """softmax(q k^T / sqrt(d)) v, (G, N, d), of q (G, N, d), k and v (G, M, d), and its way back."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.scale, ctx.few = q.shape[-1] ** -0.5, k.shape[1] < FEW
        weights = _softmax(_pairs(q, k, ctx.scale, ctx.few), ctx.few)
        ctx.save_for_backward(q, k, v, weights)
        return (weights.mT if ctx.few else weights) @ v

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative, which needs the weights as a function of q and k
            return _way_back(q, k, v, gradient, ctx.scale)
        to_q, to_k, to_v = ctx.needs_input_grad
        scores = weights
        if to_q or to_k:
            slopes = _pairs(gradient, v, 1.0, ctx.few)
            scores = torch._softmax_backward_data(slopes, weights, _keys(ctx.few), weights.dtype)
        if ctx.few:
            scores, weights = scores.mT, weights.mT
        return (
            _product(scores, k, ctx.scale) if to_q else None,
            _product(scores.mT, q, ctx.scale) if to_k else None,
            weights.mT @ gradient if to_v else None,
        )


def _way_back(q: Tensor, k: Tensor, v: Tensor, gradient: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v by operations that have derivatives of their own."""
    weights = (scale * q @ k.mT).softmax(dim=-1)
    slopes = gradient @ v.mT
    scores = scale * weights * (slopes - (slopes * weights).sum(dim=-1, keepdim=True))
    return scores @ k, scores.mT @ q, weights.mT @ gradient


def _keys(few: bool) -> int:
    """Which dimension of scores and weights goes over the keys.

    They are (G, N, M), but (G, M, N) of few keys: over rows that fill no vector, a softmax takes several times as long.
    """
    return 1 if few else 2


def _pairs(queries: Tensor, keys: Tensor, scale: float, few: bool) -> Tensor:
    """`scale` times the product of each of the queries (G, N, d) with each of the keys (G, M, d)."""
    return _product(keys, queries.mT, scale) if few else _product(queries, keys.mT, scale)


def _product(one: Tensor, other: Tensor, scale: float) -> Tensor:
    """`scale` times the products of (G, n, m) and (G, m, l), without a copy for the scale."""
    return torch.baddbmm(one.new_empty(()), one, other, beta=0, alpha=scale)


def _softmax(scores: Tensor, few: bool) -> Tensor:
    """Over the keys; in float32 at least where rows are short, since bf16 takes their ends number by number."""
    if scores.shape[_keys(few)] >= LONG:
        return scores.softmax(dim=_keys(few))
    exact = torch.promote_types(scores.dtype, torch.float32)
    return scores.softmax(dim=_keys(few), dtype=exact).to(scores.dtype)
