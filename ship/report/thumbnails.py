"""Small pictures of test images, within the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ship.data.decoding import PLAIN, Reading, rgb
from ship.data.reading import read_encoded, read_keys

SIDE = 96  # pixels at most
ROOM = 600_000  # characters of all pictures of a page
# side and quality of WebP; the first that fits
ENCODINGS = (SIDE, 75), (SIDE, 55), (SIDE, 35), (72, 35), (64, 20), (48, 10)


class Picture(NamedTuple):
    """A small picture, and how large it is in pixels."""

    url: str
    """that holds it"""
    width: int
    height: int


def thumbnails(split: Path, keys: Collection[str], room: int = ROOM) -> dict[str, Picture]:
    """The images of the prepared `split` that have these keys, as the task reads them, of `room` characters each.

    A picture that does not get so small is as small as it gets.
    """
    places = {key: row for row, key in enumerate(read_keys(split)) if key in keys}
    encoded, reading = read_encoded(split, [*places.values()])
    return {key: _picture(data, room, reading, f"{split}: {key}") for key, data in zip(places, encoded, strict=True)}


def _picture(data: bytes, room: int, reading: Reading = PLAIN, place: str = "image") -> Picture:
    """A picture of at most SIDE pixels; smaller ones are enlarged by whole pixels, not blurred."""
    whole = rgb(data, place, reading)
    if (times := SIDE // max(whole.size)) > 1:
        whole = whole.resize((whole.width * times, whole.height * times), Image.Resampling.NEAREST)
    for side, quality in ENCODINGS:
        image, file = whole.copy(), io.BytesIO()
        image.thumbnail((side, side))
        image.save(file, "WebP", quality=quality)
        url = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
        if len(url) <= room:
            break
    return Picture(url, *image.size)
