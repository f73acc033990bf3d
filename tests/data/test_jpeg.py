"""A JPEG that needs no decoder as its check is one that a decoder takes."""

import io
import random

import numpy as np
import pytest
from PIL import Image

from ship.data import jpeg
from ship.data.decoding import rgb

KINDS = [{}, {"quality": 40}, {"subsampling": 0}, {"optimize": True}, {"restart_marker_rows": 1}]


def encoded(mode="RGB", **options):
    """A JPEG of 60 x 45 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (45, 60, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", KINDS)
def test_ordinary_files_are_whole(mode, options):
    """Whatever their tables; notes in front and bytes behind change nothing."""
    data = encoded(mode, **options)
    assert jpeg.whole(data)
    assert jpeg.whole(data[:2] + b"\xff\xfe\x00\x04hi" + data[2:] + b"more")


@pytest.mark.parametrize(
    "data",
    [
        encoded(progressive=True),
        encoded()[:-2],
        encoded()[:-200],
        encoded()[:300],
        encoded()[:2],
        encoded().replace(b"\xff\xdb", b"\xff\xfe"),  # without its tables
        b"",
        b"\x89PNG",
    ],
    ids=["several scans", "no end", "cut in the scan", "cut in the head", "a start", "no tables", "nothing", "a PNG"],
)
def test_others_need_a_decoder(data):
    """Several scans, what is cut, and other formats."""
    assert not jpeg.whole(data)


def test_what_is_whole_can_be_decoded():
    """Of files with bytes changed, left out or put in at random."""
    chance, believed = random.Random(0), 0
    files = [encoded(mode, **options) for mode in ("L", "RGB", "CMYK") for options in (*KINDS, {"progressive": True})]
    for _ in range(3000):
        data = bytearray(chance.choice(files))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(2, len(data)) if chance.random() < 0.5 else chance.randrange(2, 700)
            data[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        if jpeg.whole(bytes(data)):
            believed += 1
            assert rgb(bytes(data)).size
    assert 300 < believed < 2700
