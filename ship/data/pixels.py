"""Decoded images of prepared splits, kept in `pixels/` so that the next run need not decode them again.

A file holds the images of a split at one size, as bytes one after the other. Its name says what they are made of, so a
file is right or not read at all. Nobody needs them: who finds none decodes, and the folder may go at any time.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor

from ship.artifacts import replacing, sha256, sweep

DISK_SHARE = 0.1  # of the free disk, at most, that the images of a split may take
DECODING = ("decoding.py", "images.py", "jpeg.py", "png.py")  # whose change may change a pixel
Shape = tuple[int, int, int, int]


class Kept:
    """The images (n, 3, S, S) of a split, if an earlier process has decoded them."""

    def __init__(self, split: Path, shape: Shape, interpolation: str) -> None:
        self.shape, self.path = shape, _place(split, shape, interpolation)

    def known(self) -> Tensor | None:
        """All of them, mapped from their file; None where there is none."""
        if self.path is None:
            return None
        try:
            mapped = np.memmap(self.path, np.uint8, "c", shape=self.shape)  # c: a change does not reach the file
        except FileNotFoundError:
            return None
        return torch.from_numpy(mapped)

    @contextmanager
    def keeping(self) -> Iterator[Callable[[Tensor], object]]:
        """A function that takes all of them in pieces; they are kept when the block ends well.

        They are not where they are already, where the disk has little room, or where the split is none of a project.
        """
        if self.path is None or self.path.exists() or not self._fits(self.path.parent.parent):
            yield nothing
            return
        sweep(self.path.parent)
        with replacing(self.path) as draft, draft.open("wb") as file:
            yield lambda images: file.write(images.numpy().data)

    def _fits(self, project: Path) -> bool:
        return math.prod(self.shape) <= DISK_SHARE * shutil.disk_usage(project).free


def nothing(images: Tensor) -> None:
    """Keep no images."""


def _place(split: Path, shape: Shape, interpolation: str) -> Path | None:
    """The file for the images of `data/TASK/SPLIT.parquet`; None of another one."""
    project = split.parent.parent.parent
    if split.parent.parent.name != "data":
        return None
    made_of = [sha256(split), shape, interpolation, PIL.__version__, _decoders()]
    return project / "pixels" / hashlib.sha256(repr(made_of).encode()).hexdigest()[:32]


@cache
def _decoders() -> str:
    """A digest of the code that decodes."""
    return hashlib.sha256(b"".join(Path(__file__).with_name(name).read_bytes() for name in DECODING)).hexdigest()
