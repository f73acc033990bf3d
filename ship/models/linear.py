"""Linear layers whose products are oneDNN's, where the processor has AVX-512.

In float32, PyTorch multiplies by MKL, which takes AVX2 where the processor is not Intel's: oneDNN is twice as fast.
In bf16, PyTorch multiplies by oneDNN too, but first copies the bias to every token.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AVX512 = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


class Linear(nn.Linear):
    """A linear layer of a ViT's block."""

    def forward(self, x: Tensor) -> Tensor:
        """Of x (..., K), (..., N)."""
        return multiply(x, self.weight, self.bias)


def swap(layers: nn.Module, old: type[nn.Module], new: type[nn.Module]) -> None:
    """Let every layer that is of the type `old` be of the type `new`, with the same tensors."""
    for layer in layers.modules():
        if type(layer) is old:
            layer.__class__ = new


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`: x (..., K) times weight (N, K), plus bias (N), is (..., N)."""
    if not AVX512 or x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    if torch.is_autocast_enabled("cpu"):
        precision = torch.get_autocast_dtype("cpu")
        x, weight = x.to(precision), weight.to(precision)
        bias = None if bias is None else bias.to(precision)
    if not (x.numel() and x.dtype == weight.dtype in {torch.float32, torch.bfloat16}):
        return F.linear(x, weight, bias)
    product: Tensor = _Product.apply(x, weight, bias)
    return product


class _Product(torch.autograd.Function):
    """`multiply` and its way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        rows = gradient.flatten(0, -2)
        return (
            _onednn(gradient, weight.t()) if to_x else None,
            _to_weight(rows, x.flatten(0, -2)) if to_weight else None,
            rows.sum(dim=0) if to_bias else None,
        )


def _to_weight(gradient: Tensor, x: Tensor) -> Tensor:
    """The gradient (N, K) of a weight, of rows (B, N) and (B, K); in bf16 PyTorch's own product spares a copy."""
    return gradient.t() @ x if x.dtype == torch.bfloat16 else _onednn(gradient.t(), x.t())


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if torch.is_grad_enabled():  # on the way back, for a second derivative, which oneDNN's product has not
        return F.linear(x, weight, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product
