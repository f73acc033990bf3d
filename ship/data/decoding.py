"""From an image file's bytes to RGB, or a refusal. Loads no torch."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

from ship.errors import BadInput

# what PIL's readers raise for files that are cut, broken or too large to be true
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, Image.DecompressionBombError)


def rgb(data: bytes, place: str = "image") -> Image.Image:
    """The whole image as 8-bit RGB. Raises BadInput, with `place` in front, where it cannot be decoded to the end.

    PIL's `convert("RGB")`: palettes and CMYK are converted, an alpha channel is dropped, the first frame is taken. The
    rotation that a camera notes in EXIF is not applied. Sixteen bits become eight by their upper half, where PIL clips.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.mode.startswith("I;16"):
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            if image.mode == "P":  # by way of RGBA, or PIL warns of the transparency that is dropped here
                return image.convert("RGBA").convert("RGB")
            if image.mode not in ("I", "F"):
                return image.convert("RGB")
            mode = image.mode
    except BROKEN as error:
        said = " ".join(str(error).split()).split(" <")[0]  # not the buffer's address
        raise BadInput(f"{place}: expected a whole image, got: {said or type(error).__name__}") from None
    raise BadInput(f"{place}: expected 8 or 16 bits a channel, got an image of 32 (mode {mode!r})")
