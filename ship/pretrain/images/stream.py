"""The endless stream of images made by formulas, in batches, painted by worker processes."""

from __future__ import annotations

import multiprocessing
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ship.pretrain.images.formula import Formulas
from ship.pretrain.images.scenes import paint


class Painted(Dataset[tuple[Tensor, ...]]):
    """Batch k of the stream: the parts of `Images`, for images k B ... k B + B - 1."""

    def __init__(self, made: Formulas, *, seed: int, batch_size: int, size: int, grid: int) -> None:
        self.made, self.batch_size = made, batch_size
        self.look = {"seed": seed, "size": size, "grid": grid}

    def __getitem__(self, k: int) -> tuple[Tensor, ...]:
        images = paint(self.made, start=k * self.batch_size, count=self.batch_size, **self.look)
        return tuple(torch.from_numpy(part) for part in images)


def painted(batches: Painted, first: int, last: int, workers: int) -> DataLoader[tuple[Tensor, ...]]:
    """Batches first ... last - 1 in this order, whatever the number of processes is; 0 paints in this one."""
    ahead: dict[str, Any] = {}
    if workers:  # forked from one process that has loaded PyTorch: to load it 14 times took minutes on a slow disk
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        ahead = {"prefetch_factor": 8, "multiprocessing_context": context}
    return DataLoader(batches, batch_size=None, sampler=range(first, last), num_workers=workers, **ahead)
