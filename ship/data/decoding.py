"""From an image file's bytes to RGB, or a refusal. Loads no torch."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from ship.data import jpeg, png
from ship.data.formats import formats
from ship.errors import BadInput

# what PIL's readers raise for files that are cut, broken or too large to be true
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError, struct.error, OverflowError),
    Image.DecompressionBombError,
)
BOMB = 5  # times the pixels that are asked for: more is not decoded, where a format cannot shrink on the way
BITS_PER_SAMPLE, EXIF_ORIENTATION = 0x0102, 0x0112
TURNED = range(2, 9)


class Reading(NamedTuple):
    """How images are read, by the keys of a task: see `experiment.task.Task`."""

    alpha: str | None = None
    orientation: str = "stored"
    bits: int = 16
    frames: str = "first"
    pixels: int = 100_000_000


PLAIN = Reading()
OTHERS = (  # what lies under an image's name instead, by the first bytes
    (rb"$", "an empty file"),
    (rb"version https://git-lfs", "a pointer of Git LFS (git lfs pull fetches the image)"),
    (rb".{4}ftyp(hei|hev|mif1|msf1)", "HEIC, which needs the package pillow-heif"),
    (rb"\s*<(!doctype html|html)", "a web page"),
)


class Seen(NamedTuple):
    """An image as 8-bit RGB, and what is odd about its file: keys of ODDITIES."""

    image: Image.Image
    odd: frozenset[str]


ODDITIES = {
    "turned": "hold a rotation in EXIF that is not applied (orientation: exif applies it)",
    "dark": "have 16 bits a channel and use few of them, so that they are nearly black (bits: 12 fits many cameras)",
    "clipped": "use more bits than `bits` says, so that they are cut off at white (bits: 16 cuts nothing off)",
    "alpha": "are one colour without their alpha, so that they are put on white, or on black where the colour is light "
    "(alpha: white, black or drop say it for all)",
    "frames": "have several frames or pages, of which the first is taken (frames: middle, last or refuse)",
    "large": "have more pixels than `pixels` says and are shrunk while they are decoded",
}


def rgb(data: bytes, place: str = "image", reading: Reading = PLAIN) -> Image.Image:
    """The whole image as 8-bit RGB. Raises BadInput, with `place` in front, where it cannot be decoded to the end.

    PIL's `convert("RGB")`: palettes and CMYK are converted, an alpha channel is dropped, unless one colour would be
    left, and of several frames the first is taken. The rotation that a camera notes in EXIF is not applied. Sixteen
    bits become eight by their upper half, where PIL clips. `reading` says otherwise.
    """
    return see(data, place, reading).image


def check(data: bytes, place: str = "image") -> None:
    """Raises BadInput, as `rgb`, unless the image can be decoded to its end; all is read, and little is computed."""
    if png.whole(data) or jpeg.whole(data):
        return
    if not data.startswith(b"\xff\xd8\xff"):
        rgb(data, place)
        return
    with _named(place), Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        jpeg.shrink(image)
        image.load()


def see(data: bytes, place: str = "image", reading: Reading = PLAIN) -> Seen:
    """As `rgb`, with what is odd about the file."""
    with _named(place):
        return _see(data, reading)


def oddities(data: bytes, place: str = "image", reading: Reading = PLAIN) -> frozenset[str]:
    """What is odd about an image's file, as `see` finds it; a JPEG that is whole by its parts is not decoded."""
    if not jpeg.whole(data):
        return see(data, place, reading).odd
    with _named(place), Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        large = image.width * image.height > reading.pixels
        turned = reading.orientation != "exif" and _orientation(image) in TURNED
    return frozenset(kind for kind, found in (("large", large), ("turned", turned)) if found)


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Tells of an image that cannot be decoded, with its place in front."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{place}: {error}") from None
    except BROKEN as error:
        said = " ".join(str(error).split()).split(" <")[0]  # not the buffer's address
        raise BadInput(f"{place}: expected a whole image, got: {said or type(error).__name__}") from None


def _see(data: bytes, reading: Reading) -> Seen:
    odd = set()
    try:
        opened = Image.open(io.BytesIO(data), formats=formats())
    except UnidentifiedImageError:
        known = [what for start, what in OTHERS if re.match(start, data[:64], re.DOTALL | re.IGNORECASE)]
        if known:
            raise BadInput(f"expected a whole image, got: {known[0]}") from None
        raise
    except ValueError:  # PIL bounds the text and the colour profile of a PNG, which nobody asks for here
        opened = Image.open(io.BytesIO(data := png.without_notes(data)), formats=formats())
    with opened as image:
        if (frames := _frames(image)) > 1:
            if reading.frames == "refuse":
                raise BadInput(f"expected one frame, got {frames} (frames: first, middle or last)")
            odd |= {"frames"} if reading.frames == "first" else set()
            image.seek({"first": 0, "middle": frames // 2, "last": frames - 1}[reading.frames])
        if (count := image.width * image.height) > reading.pixels:
            odd.add("large")
            _shrink_ahead(image, count, reading.pixels)
        wide = png.sixteen_bits(image)
        image.load()
        turned = _orientation(image) in TURNED
        picture = _sixteen(image, wide, data, reading, odd) or _eight(image, reading, odd)
        if (count := picture.width * picture.height) > reading.pixels:
            picture = picture.reduce(int(np.ceil(np.sqrt(count / reading.pixels))))
        if turned and reading.orientation == "exif":
            picture = _turned(picture, image)
        elif turned:
            odd.add("turned")
    return Seen(picture, frozenset(odd))


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(EXIF_ORIENTATION)
    except BROKEN:  # broken notes make no broken image
        return None


def _frames(image: Image.Image) -> int:
    """Frames or pages; a second image that a phone hides behind a photo, or other sizes of an icon, are none."""
    return 1 if image.format in {"MPO", "ICO", "ICNS", "PSD"} else int(getattr(image, "n_frames", 1))


def _shrink_ahead(image: Image.Image, count: int, limit: int) -> None:
    """Have a JPEG decoded at a half, a quarter or an eighth; refuse others that would take too much memory."""
    scale = next((scale for scale in (2, 4, 8) if count <= limit * scale**2), 8)
    if image.draft(None, (image.width // scale, image.height // scale)) is None and count > BOMB * limit:
        raise BadInput(
            f"expected at most {BOMB * limit} pixels, {BOMB} times `pixels`, in an image that is no JPEG, got {count} "
            "(raise `pixels`, or shrink the image)"
        )


def _sixteen(image: Image.Image, wide: bool, data: bytes, reading: Reading, odd: set[str]) -> Image.Image | None:
    """An image of 16 bits a channel by the upper eight of those that it uses; None for any other."""
    values: NDArray[Any]
    if image.mode == "F" or (image.mode == "I" and image.format not in {"PPM", "PNG"}):
        raise _unscaled(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
    elif wide and reading.bits < 16:
        if image.format != "PNG":
            rule = f"a PNG beside bits {reading.bits}, where an image in colour has 16 bits a channel"
            raise BadInput(f"expected {rule}, got {image.format} (save it as PNG)")
        values = png.colours(data).astype(np.int64)
    else:
        if wide and 0 < max(high for _, high in _extrema(image)[:3]) < 2**5:
            odd.add("dark")
        return None
    if reading.bits == 16 and 0 < values.max() < 2**13:
        odd.add("dark")
    if values.max() >= 2**reading.bits:
        odd.add("clipped")
    return Image.fromarray((values >> (reading.bits - 8)).clip(0, 255).astype(np.uint8)).convert("RGB")


def _unscaled(image: Image.Image) -> BadInput:
    """An error for an image whose numbers have no black and white that everybody knows."""
    if isinstance(image, TiffImageFile) and image.tag_v2.get(BITS_PER_SAMPLE) == (16,):  # of which PIL makes 32
        way_out = "shift its numbers to 0 and above, and save it as uint16"
        return BadInput(f"expected 8 or 16 bits a channel without a sign, got 16 signed ones ({way_out})")
    way_out = "scale its numbers, and save it as uint8 or uint16"
    return BadInput(f"expected 8 or 16 bits a channel, got an image of 32, mode {image.mode!r} ({way_out})")


def _eight(image: Image.Image, reading: Reading, odd: set[str]) -> Image.Image:
    """An image of 8 bits a channel as RGB."""
    if not (image.has_transparency_data or image.mode in {"RGBA", "LA", "PA", "La", "RGBa"}):
        return image.convert("RGB")
    whole = image.convert("RGBA")
    behind = reading.alpha
    if behind is None and (colour := _only_colour(whole)):
        behind = "black" if sum(colour) > 3 * 127 else "white"
        odd.add("alpha")
    if behind in (None, "drop"):
        return whole.convert("RGB") if image.mode == "P" else image.convert("RGB")
    ground = Image.new("RGBA", whole.size, behind)
    ground.alpha_composite(whole)
    return ground.convert("RGB")


def _only_colour(image: Image.Image) -> tuple[int, ...] | None:
    """The colour of an RGBA image that has nearly one alone, under an alpha that varies."""
    *colours, (thin, thick) = _extrema(image)
    if thin == thick or any(high - low > 8 for low, high in colours):
        return None
    return tuple(low for low, _ in colours)


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    found: Any = image.getextrema()
    return list(found) if isinstance(found[0], tuple) else [found]


def _turned(picture: Image.Image, image: Image.Image) -> Image.Image:
    """The picture, turned as the EXIF of `image` says."""
    picture.info.pop("exif", None)
    exif = picture.getexif()
    exif[EXIF_ORIENTATION] = image.getexif()[EXIF_ORIENTATION]
    return ImageOps.exif_transpose(picture)
