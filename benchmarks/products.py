"""What a linear layer costs on a CPU: PyTorch's own product against that of `ship/models/linear.py`.

    python benchmarks/products.py                           # ViT-Ti (batch 64) and ViT-B (batch 8), one thread
    ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/products.py   # how oneDNN would fare without AVX-512

Forward with bias, and the way back to the tokens, in turn in one process; medians and their ratio are printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ship.compute import keep_memory
from ship.models.linear import multiply

LAYERS = {"ViT-Ti fc1": (64, 192, 768), "ViT-Ti fc2": (64, 768, 192), "ViT-B fc1": (8, 768, 3072)}  # images, K, N
TOKENS, REPEATS = 197, 9


def seconds(product: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor) -> tuple[float, float]:
    """Of forward and of backward."""
    start = time.process_time()
    found = product(x, weight, bias)
    middle = time.process_time()
    found.backward(found.detach())
    return middle - start, time.process_time() - middle


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    keep_memory()
    for precision in (torch.float32, torch.bfloat16):
        for name, (images, width, outputs) in LAYERS.items():
            x = torch.randn(images, TOKENS, width).to(precision).requires_grad_()
            weight, bias = torch.randn(outputs, width).to(precision), torch.randn(outputs).to(precision)
            found = [[seconds(form, x, weight, bias) for form in (F.linear, multiply)] for _ in range(REPEATS + 1)][1:]
            for way in (0, 1):
                one, other = (statistics.median(pair[form][way] for pair in found) for form in (0, 1))
                times = f"PyTorch's {1e3 * one:.1f} ms, ours {1e3 * other:.1f} ms, {one / other:.2f} times as long"
                print(f"{precision}, {name}, {('forward', 'backward')[way]}: {times}")


if __name__ == "__main__":
    main()
