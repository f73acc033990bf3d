"""What PIL does not do for PNG files: pass over their notes, and give all 16 bits of a colour. Loads no torch."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NOTES = {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}


def without_notes(data: bytes) -> bytes:
    """A PNG file without its texts and its colour profile; what is cut or broken stays so. Others as they are."""
    if not data.startswith(SIGNATURE):
        return data
    kept, at = [SIGNATURE], len(SIGNATURE)
    while at + 8 <= len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        end = at + 12 + length
        if kind not in NOTES:
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def sixteen_bits(image: Image.Image) -> bool:
    """Whether an opened image, not loaded yet, is a PNG of 16 bits a channel in colour or with alpha."""
    return image.format == "PNG" and any(";16B" in str(tile[3]) and image.mode != "I;16" for tile in image.tile)


def colours(data: bytes) -> NDArray[np.uint16]:
    """All 16 bits of the colours of such a PNG, (H, W, 3); its alpha is dropped.

    PIL has unpackers for the upper byte of each channel alone. Taking the file for one in the other order of bytes
    gives the lower one.
    """
    halves = []
    for order in ("B", "L"):
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            tiles: Any = image.tile
            image.tile = [tile._replace(args=str(tile.args).replace(";16B", f";16{order}")) for tile in tiles]
            halves.append(np.asarray(image.convert("RGB")).astype(np.uint16))
    return ((halves[0] << 8) | halves[1]).astype(np.uint16)
