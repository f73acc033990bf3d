"""What a training step of SHIP costs, as a multiple of the bare frozen ViT's forward and backward to its inputs.

    python benchmarks/step_cost.py                       # ViT-B/16, random weights, batch 8, P = 50, fp32, 2 threads

Both are timed in turn in one process, so that the machine's speed cancels; the medians and their ratio are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time

import timm
import torch
import torch.nn.functional as F
from torch import nn

from ship.experiment.params import Train
from ship.methods import build
from ship.models.vit import embed, pool
from ship.training.loop import make_optimiser

STARTS = [0, 2, 4, 6, 8, 11]  # the published hierarchy of cifar100
PROMPTED = {"cvpt", "ship", "vpt"}  # the others have their default options


def bare_step(vit: nn.Module, images: torch.Tensor) -> None:
    """Forward and backward of the frozen ViT, to the tokens that enter its first block."""
    z = embed(vit, images).detach().requires_grad_()
    pool(vit, vit.blocks(z)).sum().backward()


def method_step(model: nn.Module, optimiser: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor) -> None:
    """A whole training step."""
    logits, penalty = model(images)
    optimiser.zero_grad(set_to_none=True)
    (F.cross_entropy(logits, labels) + penalty).backward()
    optimiser.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_base_patch16_224")
    parser.add_argument("--method", default="ship")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt-length", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    bare = timm.create_model(args.model, num_classes=0).requires_grad_(False)
    depth, width = len(bare.blocks), bare.embed_dim
    levels = torch.tensor([sum(start <= block for start in STARTS) for block in range(depth)])
    facts = {"affinity": (levels[:, None] == levels).float(), "prototypes": torch.randn(200, width)}
    options = {"prompt_length": args.prompt_length} if args.method in PROMPTED else {}
    model = build(args.method, timm.create_model(args.model), 100, options, facts).train()
    optimiser = make_optimiser(model, Train())
    images, labels = torch.randn(args.batch, 3, 224, 224), torch.randint(100, (args.batch,))
    rows = {"bare": lambda: bare_step(bare, images), args.method: lambda: method_step(model, optimiser, images, labels)}
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for step in range(args.steps + 2):
        for name, run in rows.items():
            start = time.perf_counter()
            run()
            if step >= 2:  # the first two warm up
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = sorted(b / a for a, b in zip(*seconds.values(), strict=True))
    for name, median in medians.items():
        print(f"{name:8} median {median:.3f} s, min {min(seconds[name]):.3f}, max {max(seconds[name]):.3f}")
    print(f"ratio    median of pairs {statistics.median(ratios):.3f}, min {ratios[0]:.3f}, max {ratios[-1]:.3f}")


if __name__ == "__main__":
    main()
