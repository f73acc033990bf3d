"""What a run looked at in its most confident mistakes, as the page draws it over their pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from ship.artifacts import LOOKS, Run
from ship.experiment import records
from ship.experiment.records import read_record

LEVELS = 16  # of attention that the eye can tell apart
INK = ((150, 40, 0), (255, 150, 0), (255, 235, 130))  # from little attention to much
OPAQUE = 0.85
CELL = 10  # units of a drawing that a patch is wide

Grid = npt.NDArray[np.uint8]


class Look(NamedTuple):
    """What a model looked at in one image; each part is empty where there is none."""

    overlay: str = ""
    """a URL that holds a picture of a pixel a patch: the more attention, the brighter and the less transparent"""
    frames: Sequence[str] = ()
    """a path for each block that is given something picked: squares in these patches, which are CELL units wide"""
    words: str = ""


class Seen(NamedTuple):
    """What a run left of its most confident mistakes."""

    about: dict[str, Any]
    """`grid`, `first_patch` and, where they are known, `probe`, `block`, `shares`"""
    images: dict[str, dict[str, Any]]
    """by their keys, the most confident first"""

    @property
    def picks(self) -> dict[int, int]:
        """How many tokens were picked of each image, by the block that is given what is made of them."""
        first = next(iter(self.images.values()), {})
        return {int(block): len(places) for block, places in first.get("picks", {}).items()}

    def look(self, key: str) -> Look:
        """What was looked at in one image."""
        overlay, frames, words = "", [], []
        if lines := self.images[key].get("attention"):
            grid = np.array([list(bytes.fromhex(line)) for line in lines], np.uint8)
            overlay = overlay_of(grid)
            words.append(in_words(grid))
        for number, (block, places) in enumerate(self.images[key].get("picks", {}).items()):
            patches = [place - self.about["first_patch"] for place in places if place >= self.about["first_patch"]]
            frames.append(_frames(patches, self.about["grid"][1], number))
            words.append(f"{len(patches)} patches are picked before block {block}")
        return Look(overlay, frames, "; ".join(words))


def read_looks(root: Path, run: Run) -> Seen:
    """What the run under `root` left; no image where it left nothing."""
    path = root / run.folder / LOOKS
    told = read_record(path, records.Looks, f"ship train {run}") if path.exists() else {"images": []}
    return Seen(told, {image["key"]: image for image in told.pop("images")})


def overlay_of(grid: Grid) -> str:
    """A URL of a PNG of 16 colours, in which a patch of attention `grid` is a pixel."""
    image, file = Image.fromarray(grid // (256 // LEVELS), "P"), io.BytesIO()
    share = np.linspace(0, 1, LEVELS)
    colours = [np.interp(share, np.linspace(0, 1, len(INK)), part) for part in zip(*INK, strict=True)]
    image.putpalette(np.stack(colours, axis=1).astype(np.uint8).tobytes())
    transparency = (255 * OPAQUE * share).astype(np.uint8).tobytes()
    image.save(file, "PNG", optimize=True, bits=4, transparency=transparency)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def in_words(grid: Grid) -> str:
    """On how few patches half of the attention lies, and where the highest is."""
    falling = np.sort(grid, axis=None)[::-1].cumsum(dtype=np.int64)
    few = int(np.searchsorted(falling, falling[-1] / 2)) + 1
    row, column = divmod(int(grid.argmax()), grid.shape[1])
    return (
        f"half of the attention is on {few} of {grid.size} patches, "
        f"the highest in row {row + 1} of {grid.shape[0]}, column {column + 1} of {grid.shape[1]}"
    )


def _frames(patches: Sequence[int], columns: int, number: int) -> str:
    """A path of a square in each of the `patches`: a frame, of every second number a small dot."""
    gap = 4 if number % 2 else 1
    size = CELL - 2 * gap
    corners = (divmod(patch, columns) for patch in sorted(patches))
    return "".join(f"M{CELL * x + gap} {CELL * y + gap}h{size}v{size}h-{size}z" for y, x in corners)
