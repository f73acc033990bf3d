"""The last images of a pre-training, of which every step sees some again: a GPU learns faster than CPUs paint."""

from __future__ import annotations

import torch
from torch import Tensor

from ship.pretrain.settings import Pretrain


class Memory:
    """The last `window` batches, on the device of the first."""

    def __init__(self, settings: Pretrain) -> None:
        self.settings = settings
        self.kept: list[Tensor] = []

    def extended(self, batch: list[Tensor], step: int) -> list[Tensor]:
        """The parts (B, ...) of a step's batch, and behind them those of `again` times as many kept images.

        The batch takes the place of the oldest. Steps count from 1, one after the other.
        """
        size, s = len(batch[0]), self.settings
        if not s.again:
            return batch
        if not self.kept:
            self.kept = [part.new_zeros(s.window * size, *part.shape[1:]) for part in batch]
        place = (step - 1) % s.window * size
        # a stream a step, so that a resumed run sees the same images again
        generator = torch.Generator().manual_seed((s.seed + 1) * 2**40 + step)
        chosen = torch.randint(min(step, s.window) * size, (s.again * size,), generator=generator).to(batch[0].device)
        for kept, part in zip(self.kept, batch, strict=True):
            kept[place : place + size] = part
        return [torch.cat([part, kept[chosen]]) for part, kept in zip(batch, self.kept, strict=True)]
