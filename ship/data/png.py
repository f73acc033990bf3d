"""PNG files: made of pixels, and what PIL leaves: pass over notes, give all 16 bits, check fast. Loads no torch."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NOTES = {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}
ENDS = (b"IHDR", b"IEND")
PLAIN = {*ENDS, b"IDAT", b"bKGD", b"cHRM", b"gAMA", b"pHYs", b"sBIT", b"sRGB", b"tIME"}
# by depth, colour, compression, filter and interlacing, as the header has them
CHANNELS = {b"\x08\x00\0\0\0": 1, b"\x08\x02\0\0\0": 3, b"\x08\x06\0\0\0": 4}
LARGEST = 10**8  # pixels


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """The pixels (H, W) or (H, W, 3) as a PNG file: nothing is lost."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, format="PNG", compress_level=6)
    return file.getvalue()


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
    """Whether an opened image, not loaded yet, has 16 bits a channel in colour or with alpha: PIL takes the upper 8."""
    return not image.mode.startswith("I") and any(";16" in str(tile[3]) for tile in image.tile)


def colours(data: bytes) -> NDArray[np.uint16]:
    """All 16 bits of the colours of such an image that is a PNG, (H, W, 3); its alpha is dropped.

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


def whole(data: bytes) -> bool:
    """Whether all is there of a PNG of 8 bits in grey, RGB or RGBA, by checksums and sizes; False asks for a decoder.

    A decoder can then refuse nothing, and its longest step, to undo the filters, is left out.
    """
    unpacker = zlib.decompressobj()
    try:
        parts = _plain_parts(data)
        width, height, form = struct.unpack(">II5s", parts[0][1])
        row = 1 + width * CHANNELS[form]
        if width * height > LARGEST:
            return False
        pixels = unpacker.decompress(b"".join(part for kind, part in parts if kind == b"IDAT"), height * row + 1)
    except (LookupError, struct.error, ValueError, zlib.error):
        return False
    return unpacker.eof and len(pixels) == height * row > 0 and max(pixels[::row]) <= 4


def _plain_parts(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of each chunk. Raises ValueError unless they are whole, and of kinds that change no pixel."""
    parts, at = [], len(SIGNATURE)
    while at < len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        end = at + 12 + length
        if kind not in PLAIN or data[end - 4 : end] != struct.pack(">I", zlib.crc32(data[at + 4 : end - 4])):
            raise ValueError(kind)
        parts.append((kind, data[at + 8 : end - 4]))
        at = end
    if not data.startswith(SIGNATURE) or [kind for kind, _ in parts if kind in ENDS] != list(ENDS):
        raise ValueError
    return parts
