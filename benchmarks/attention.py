"""What attention costs on a CPU in bf16: PyTorch's fused kernel against two products and a softmax.

    python benchmarks/attention.py        # image tokens and prompts of vit_mini and ViT-Ti, batch 64, one thread

Forward alone, and forward and backward, both forms in turn in one process; medians and their ratio are printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ship.compute import keep_memory
from ship.models.attention import _written_out

SHAPES = {  # images, heads, queries, keys, width of a head
    "vit_mini": (64, 4, 50, 50, 32),
    "ViT-Ti, 112 px": (64, 3, 50, 50, 64),
    "ViT-Ti": (64, 3, 197, 197, 64),
    "ViT-Ti, prompts": (64, 3, 197, 60, 64),
}
REPEATS = 9
Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def forward(attention: Attention, parts: list[Tensor]) -> None:
    with torch.inference_mode():
        attention(*parts)


def both(attention: Attention, parts: list[Tensor]) -> None:
    found = attention(*parts)
    found.backward(torch.ones_like(found))


def seconds(call: Callable[..., None], attention: Attention, parts: list[Tensor]) -> float:
    start = time.process_time()
    with torch.autocast("cpu", torch.bfloat16):
        call(attention, parts)
    return time.process_time() - start


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    keep_memory()
    for name, (images, heads, queries, keys, width) in SHAPES.items():
        tokens = (queries, keys, keys)
        parts = [torch.randn(images, heads, n, width).bfloat16().requires_grad_() for n in tokens]
        for call in (forward, both):
            forms = (F.scaled_dot_product_attention, _written_out)
            pairs = [[seconds(call, form, parts) for form in forms] for _ in range(REPEATS + 1)][1:]
            fused, written = (statistics.median(column) for column in zip(*pairs, strict=True))
            times = f"fused {1e3 * fused:.1f} ms, written out {1e3 * written:.1f} ms"
            print(f"{name}, {call.__name__}: {times}, {fused / written:.2f} times as long")


if __name__ == "__main__":
    main()
