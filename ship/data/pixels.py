"""Decoded images of prepared splits, kept in `pixels/` so that the next run need not decode them again.

A file holds the images of a split at one size, as bytes one after the other. Its name says what they are made of, so a
file is right or not read at all. Nobody needs them: who finds none decodes, and the folder may go at any time.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
import torch
from torch import Tensor

from ship.data.digests import once
from ship.errors import BadInput
from ship.experiment.code import Code
from ship.storage import free_disk, replacing, sweep

_log = logging.getLogger(__name__)

DISK_SHARE = 0.1  # of the free disk, at most, that the images of a split may take
DECODING = ("decoding.py", "formats.py", "images.py", "jpeg.py", "png.py")  # whose change may change a pixel
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
        except (OSError, ValueError):  # not there, or others' own; a copy that was cut
            return None
        return torch.from_numpy(mapped)

    @contextmanager
    def keeping(self) -> Iterator[Callable[[Tensor], object]]:
        """A function that takes all of them in pieces; they are kept when the block ends well.

        They are not where they are already, where the disk has little room, where nobody may write, or where the split
        is none of a project.
        """
        if self.path is None or self.known() is not None or not self._fits(self.path.parent.parent):
            yield nothing
            return
        draft = _Draft(self.path)
        try:
            yield draft.put
        except BaseException:
            draft.drop()
            raise
        draft.finish()

    def _fits(self, project: Path) -> bool:
        return math.prod(self.shape) <= DISK_SHARE * free_disk(project)


class _Draft:
    """A file in the making that nobody needs: what hinders it is told, and then there is none."""

    def __init__(self, path: Path) -> None:
        self.path, self.steps = path, ExitStack()
        self.file: BinaryIO | None = None
        with self._needless():
            sweep(path.parent)
            draft = self.steps.enter_context(replacing(path))
            self.file = self.steps.enter_context(draft.open("wb"))

    def put(self, images: Tensor) -> None:
        """Write the bytes of images behind those before."""
        with self._needless():
            if self.file:
                self.file.write(images.numpy().data)

    def finish(self) -> None:
        """Let the file take its place."""
        with self._needless():
            self.steps.close()

    def drop(self) -> None:
        """Remove what was written."""
        self.file = None
        with suppress(OSError, BadInput):  # the disk may be as full as before
            self.steps.__exit__(InterruptedError, InterruptedError(), None)

    @contextmanager
    def _needless(self) -> Iterator[None]:
        try:
            yield
        except (OSError, BadInput) as error:
            _log.info("%s: decoded again each time, since it cannot be kept: %s", self.path, error)
            self.drop()


def nothing(images: Tensor) -> None:
    """Keep no images."""


def _place(split: Path, shape: Shape, interpolation: str) -> Path | None:
    """The file for the images of `data/TASK/SPLIT.parquet`; None of another one."""
    project = split.parent.parent.parent
    if split.parent.parent.name != "data":
        return None
    made_of = [once(split), shape, interpolation, PIL.__version__, _decoders()]
    return project / "pixels" / hashlib.sha256(repr(made_of).encode()).hexdigest()[:32]


@cache
def _decoders() -> str:
    """A digest of the code that decodes."""
    code = Code()
    return "".join(code.digest(f"data/{name}") for name in DECODING)
