import io

import numpy as np
import pytest
from PIL import Image

from ship.data.decoding import rgb
from ship.errors import BadInput


def encoded(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(image, mode):
    """Grey, palette, alpha and CMYK images have three channels of 8 bits afterwards."""
    picture = rgb(image(0, mode, "TIFF" if mode == "CMYK" else "PNG"))
    assert (picture.mode, picture.size) == ("RGB", (7, 9))


def test_alpha_is_dropped():
    """Colours stay as they are under a transparent pixel."""
    picture = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert rgb(encoded(picture)).getpixel((0, 0)) == (10, 20, 30)


def test_transparent_palette_gives_no_warning():
    """Bytes of transparency beside a palette are dropped silently."""
    picture = Image.new("RGB", (2, 2), (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert rgb(encoded(picture, transparency=bytes([0] * 4))).getpixel((0, 0)) == (10, 20, 30)


def test_sixteen_bits_are_scaled():
    """A 16-bit image keeps its greys: 0x8000 is half, not white."""
    picture = Image.fromarray(np.full((2, 2), 0x8000, np.uint16))
    assert rgb(encoded(picture)).getpixel((0, 0)) == (128, 128, 128)


def test_float_image_is_refused():
    """Nobody knows the range of an image of 32 bits."""
    picture = Image.fromarray(np.ones((2, 2), np.float32))
    with pytest.raises(BadInput, match=r"a.tif: expected 8 or 16 bits a channel, got .* 'F'"):
        rgb(encoded(picture, "TIFF"), "a.tif")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0, 0.05, 0.5, 0.9])
def test_cut_image_is_refused(kind, share):
    """A file that ends too early is an error, wherever it was cut."""
    values = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(values), kind)
    with pytest.raises(BadInput, match=r"^here: expected a whole image, got: \w[^\n]*$"):
        rgb(data[: int(share * len(data))], "here")
