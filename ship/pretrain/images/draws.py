"""Uniform numbers and coordinates of images that are painted at once. Loads no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


class Draws:
    """Uniform numbers of n images, handed out column by column."""

    def __init__(self, values: Array) -> None:
        self.values, self.at = values, 0

    def many(self, count: int) -> Array:
        """(n, count) in [0, 1)."""
        self.at += count
        return self.values[:, self.at - count : self.at]

    def take(self) -> Array:
        """(n,) in [0, 1)."""
        return self.many(1)[:, 0]

    def between(self, low: float, high: float) -> Array:
        """(n,) in [low, high)."""
        return low + (high - low) * self.take()

    def below(self, count: int) -> NDArray[np.int64]:
        """(n,) in 0 ... count - 1."""
        return (self.take() * count).astype(np.int64)


def points(at: Array, n: int) -> tuple[Array, Array]:
    """X and y of the pixels of a square, row by row, (n, len(at)**2) each."""
    k = len(at)
    return np.broadcast_to(np.tile(at, k), (n, k * k)), np.broadcast_to(np.repeat(at, k), (n, k * k))
