"""The fast check of PNG files, which believes only what a decoder believes."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ship.data import png
from ship.data.decoding import rgb


def encoded(mode, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (13, 9, 4), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "PNG", **options)
    return file.getvalue()


def summed(data):
    """With the checksum of each chunk made right."""
    parts, at = [data[:8]], 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        parts.append(data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join(parts)


@pytest.mark.parametrize("shape", [(13, 9), (13, 9, 3)])
def test_a_file_of_pixels_holds_them(shape):
    """Also where they do not lie one behind the other."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)[::-1]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png.encoded(pixels)))), pixels)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("level", [0, 6])
def test_ordinary_files_are_whole(mode, level):
    """Whatever their compression."""
    assert png.whole(encoded(mode, compress_level=level))


@pytest.mark.parametrize("data", [encoded("P"), encoded("1"), encoded("LA"), encoded("RGB")[:-1], b"", b"GIF89a"])
def test_others_need_a_decoder(data):
    """Palettes, few bits, what is cut, and other formats."""
    assert not png.whole(data)


def test_pixels_of_another_size_or_filter_are_not_whole():
    """Although every checksum is right."""
    data = encoded("RGB", compress_level=0)
    for at, value in ((19, 10), (23, 14), (data.index(b"IDAT") + 4 + 2 + 5, 5)):  # width, height, the first filter
        broken = bytearray(data)
        broken[at] = value
        start = data.index(b"IDAT") + 4 + 2
        pixels = bytes(broken[start + 5 : -12 - 4 - 4])
        broken[-12 - 4 - 4 : -12 - 4] = struct.pack(">I", zlib.adler32(pixels))
        assert not png.whole(summed(bytes(broken)))


def test_what_is_whole_can_be_decoded():
    """Of files with random bytes changed, checksums right or not."""
    chance, believed = random.Random(0), 0
    files = [encoded(mode, compress_level=level) for mode in ("L", "RGB", "RGBA") for level in (0, 6)]
    for _ in range(4000):
        data = bytearray(chance.choice(files))
        for _ in range(chance.randrange(3)):
            data[chance.randrange(8, len(data))] = chance.randrange(256)
        changed = summed(bytes(data)) if chance.random() < 0.7 else bytes(data)
        if png.whole(changed):
            believed += 1
            assert rgb(changed).size
    assert 500 < believed < 3500
