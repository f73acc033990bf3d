"""What attention costs on a CPU in bf16, forwards and back: PyTorch's fused kernel against the softmax written out.

    python benchmarks/attention.py                       # vit_mini and ViT-Ti with ten prompts, batch 64, one thread

Both are timed in turn in one process; the medians and their ratio are printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ship.models.vit import attend

SHAPES = {"vit_mini": (64, 4, 60, 32), "ViT-Ti": (64, 3, 207, 64)}  # images, heads, tokens, width of a head
REPEATS = 9


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def seconds(attention: Callable[[Tensor, Tensor, Tensor], Tensor], parts: list[Tensor]) -> float:
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16):
        out = attention(*parts)
    out.float().sum().backward()
    return time.perf_counter() - start


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name, shape in SHAPES.items():
        parts = [torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
        pairs = [(seconds(fused, parts), seconds(attend, parts)) for _ in range(REPEATS + 1)][1:]
        one, other = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name}: fused {1e3 * one:.1f} ms, written out {1e3 * other:.1f} ms, {one / other:.2f} times as long")


if __name__ == "__main__":
    main()
