"""What attention costs on a CPU: PyTorch's fused kernel against two products and a softmax.

    python benchmarks/attention.py        # image tokens and prompts of vit_mini and ViT-Ti, batch 64, one thread

In fp32 and bf16, forward alone, and forward and backward, both forms in turn in one process; medians and their ratio
are printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ship.compute import keep_memory
from ship.models.attention import by_products

SHAPES = {  # images, heads, queries, keys, width of a head
    "vit_mini": (64, 4, 50, 50, 32),
    "vit_mini, 10 prompts": (64, 4, 50, 10, 32),
    "ViT-Ti, 112 px": (64, 3, 50, 50, 64),
    "ViT-Ti": (64, 3, 197, 197, 64),
    "ViT-Ti, 10 prompts": (64, 3, 197, 10, 64),
    "ViT-Ti, 60 prompts": (64, 3, 197, 60, 64),
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
    with torch.autocast("cpu", torch.bfloat16, enabled=parts[0].dtype == torch.bfloat16):
        call(attention, parts)
    return time.process_time() - start


def compare(name: str, call: Callable[..., None], parts: list[Tensor]) -> None:
    forms = (F.scaled_dot_product_attention, by_products)
    pairs = [[seconds(call, form, parts) for form in forms] for _ in range(REPEATS + 1)][1:]
    fused, written = (statistics.median(column) for column in zip(*pairs, strict=True))
    times = f"fused {1e3 * fused:.1f} ms, by products {1e3 * written:.1f} ms"
    print(f"{name}, {call.__name__}: {times}, {fused / written:.2f} times as long")


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    keep_memory()
    for name, (images, heads, queries, keys, width) in SHAPES.items():
        for label, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            tokens = (queries, keys, keys)
            parts = [torch.randn(images, heads, n, width).to(dtype).requires_grad_() for n in tokens]
            for call in (forward, both):
                compare(f"{name}, {label}", call, parts)


if __name__ == "__main__":
    main()
