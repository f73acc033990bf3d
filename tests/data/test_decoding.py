import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from ship.data import png
from ship.data.decoding import Reading, check, oddities, rgb, see
from ship.errors import BadInput

GUARDED = """
import sys
from PIL import Image
Image.MAX_IMAGE_PIXELS = 30_000_000
from ship.data.decoding import rgb
from ship.errors import BadInput
assert Image.MAX_IMAGE_PIXELS == 30_000_000
try:
    rgb(sys.stdin.buffer.read(), "photo")
except BadInput as error:
    print(error)
"""


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


def test_signed_image_is_refused_with_the_way_out():
    """PIL reads it as one of 32 bits; nobody knows where its black is."""
    tiff = io.BytesIO()
    Image.fromarray(np.ones((2, 2), np.uint16)).save(tiff, "TIFF", tiffinfo={339: 2})
    with pytest.raises(
        BadInput, match=r"ct.tif: expected 8 or 16 bits a channel without a sign, got 16 signed ones .*uint16"
    ):
        rgb(tiff.getvalue(), "ct.tif")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0, 0.05, 0.5, 0.9])
def test_cut_image_is_refused(kind, share):
    """A file that ends too early is an error, wherever it was cut."""
    values = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(values), kind)
    with pytest.raises(BadInput, match=r"^here: expected a whole image, got: \w[^\n]*$"):
        rgb(data[: int(share * len(data))], "here")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><title>404", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS .git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC, which needs the package pillow-heif"),
        (b"GIF no more", "cannot identify image file"),
    ],
)
def test_what_lies_under_the_name_of_an_image_is_said(data, what):
    """Downloads that failed, pointers, photos of a phone."""
    with pytest.raises(BadInput, match=f"a.jpg: expected a whole image, got: {what}"):
        rgb(data, "a.jpg")


def test_twelve_bits_are_scaled_where_it_is_said():
    """Grey and colour; the lower half of a colour's bits is not lost."""
    grey = Image.fromarray(np.full((2, 2), 0x0800, np.uint16))
    assert rgb(encoded(grey), reading=Reading(bits=12)).getpixel((0, 0)) == (128, 128, 128)
    assert rgb(colour_png((0x0800, 0x0FFF, 0x0010)), reading=Reading(bits=12)).getpixel((0, 0)) == (128, 255, 1)


def colour_png(colour):
    """A PNG of 2 x 2 px with 16 bits a channel, which PIL does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + struct.pack(">HHH", *colour) * 2
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    return png.SIGNATURE + header + chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encoded(Image.fromarray(np.arange(4, dtype=np.uint16).reshape(2, 2) * 1000)), "dark"),
        (colour_png((0x0800, 0x0FFF, 0x0010)), "dark"),
        (encoded(Image.merge("LA", [Image.new("L", (2, 2)), Image.linear_gradient("L").resize((2, 2))])), "alpha"),
        (encoded(Image.new("L", (20, 20)), "JPEG"), None),
        (encoded(Image.fromarray(np.full((2, 2), 0x8000, np.uint16))), None),
        (colour_png((0x8000, 0, 0)), None),
        (colour_png((0, 0, 0)), None),
    ],
)
def test_odd_images_are_told(data, kind):
    """Nearly black by their bits, or without their alpha."""
    assert see(data).odd == ({kind} if kind else set())


@pytest.mark.parametrize("bits", [12, 14, 16])
@pytest.mark.parametrize("more", [0, 1])
def test_bits_beyond_those_that_are_said_are_told(bits, more):
    """Of grey and of colour: they are cut off at white."""
    top = min(2**bits - 1 + more, 2**16 - 1)
    odd = {"clipped"} if top >= 2**bits else set()
    for data in (encoded(Image.fromarray(np.full((2, 2), top, np.uint16))), colour_png((0, top, 0))):
        seen = see(data, reading=Reading(bits=bits))
        assert (seen.odd, seen.image.getpixel((0, 0))[1]) == (odd, 255)


@pytest.mark.parametrize(("colour", "ground"), [((0, 0, 0), 255), ((255, 255, 255), 0), ((200, 30, 30), 255)])
@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_a_picture_in_alpha_alone_is_put_on_a_ground(colour, ground, mode):
    """White, or black under a light colour."""
    picture = Image.new("RGBA", (2, 1), (*colour, 0))
    picture.putpixel((1, 0), (*colour, 255))
    seen = rgb(encoded(picture.convert(mode) if mode == "RGBA" else picture.quantize(4)))
    assert seen.getpixel((0, 0)) == (ground,) * 3
    assert seen.getpixel((1, 0)) == colour


@pytest.mark.parametrize(("alpha", "expected"), [("white", 255), ("black", 0), ("drop", 90)])
def test_alpha_as_it_is_set(alpha, expected):
    """For every image with alpha."""
    picture = Image.new("RGBA", (2, 1), (90, 90, 90, 0))
    assert rgb(encoded(picture), reading=Reading(alpha=alpha)).getpixel((0, 0)) == (expected,) * 3


@pytest.mark.parametrize(("frames", "shade"), [("first", 0), ("middle", 100), ("last", 200)])
@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_a_frame_is_chosen(frames, shade, kind):
    """Of pages and of animations."""
    pages = [Image.new("L", (4, 4), shade) for shade in (0, 100, 200)]
    data = encoded(pages[0], kind, save_all=True, append_images=pages[1:])
    assert rgb(data, reading=Reading(frames=frames)).getpixel((0, 0)) == (shade,) * 3
    with pytest.raises(BadInput, match=r"a.tif: expected one frame, got 3"):
        rgb(data, "a.tif", Reading(frames="refuse"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_where_it_is_said(orientation):
    """As PIL's own transposition."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8))
    exif = picture.getexif()
    exif[0x0112] = orientation
    data = encoded(picture, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(rgb(data, reading=Reading(orientation="exif")), expected)
    assert np.array_equal(rgb(data), picture)


def test_a_program_that_imports_ship_keeps_its_guard():
    """PIL's, against files that unfold to fill the memory: no import moves it, and what it refuses is refused."""
    said = subprocess.run(
        [sys.executable, "-c", GUARDED], input=encoded(Image.new("1", (9000, 9000))), capture_output=True, check=True
    )
    assert said.stdout.decode().startswith("photo: expected a whole image, got: Image size (81000000 pixels) exceeds")


def test_a_png_with_large_notes_opens():
    """PIL refuses what is unpacked to more than a megabyte, and nobody asked for it."""
    notes = PngImagePlugin.PngInfo()
    for _ in range(3):
        notes.add_text("comment", "x" * 5_000_000, zip=True)
    data = encoded(Image.new("RGB", (3, 2), (1, 2, 3)), pnginfo=notes)
    assert rgb(data).getpixel((0, 0)) == (1, 2, 3)
    with pytest.raises(BadInput, match="expected a whole image"):
        rgb(data[:-30])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_very_large_photo_is_shrunk(kind):
    """To at most the pixels that are asked for, in its proportions; never refused for its size in JPEG."""
    seen = see(encoded(Image.linear_gradient("L").resize((640, 320)), kind), reading=Reading(pixels=60_000))
    assert seen.image.width * seen.image.height <= 60_000
    assert seen.image.width == pytest.approx(2 * seen.image.height, abs=2)
    assert seen.odd == {"large"}


@pytest.mark.parametrize(("times", "scale"), [(1, 1), (4, 2), (5, 4), (16, 4), (17, 8)])
def test_a_photo_is_shrunk_no_more_than_it_must(times, scale):
    """By two, four or eight: to more than a quarter of the pixels that are asked for."""
    data = encoded(Image.linear_gradient("L").resize((64, 32)), "JPEG")
    seen = rgb(data, reading=Reading(pixels=-(-64 * 32 // times)))
    assert seen.size == (64 // scale, 32 // scale)


def test_what_a_phone_hides_behind_a_photo_is_no_frame():
    """Its preview, or the depth: the photo is taken, also where several frames are refused."""
    photo, other = Image.new("RGB", (8, 8), (200, 0, 0)), Image.new("RGB", (8, 8))
    data = encoded(photo, "MPO", save_all=True, append_images=[other])
    for frames in ("refuse", "last"):
        seen = see(data, reading=Reading(frames=frames))
        assert (seen.odd, seen.image.getpixel((0, 0))[0] > 190) == (frozenset(), True)


@pytest.mark.parametrize("reading", [Reading(), Reading(orientation="exif"), Reading(pixels=1000)], ids=str)
@pytest.mark.parametrize("turn", [None, 1, 6])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_is_odd_is_found_without_decoding(kind, turn, reading):
    """As with decoding, whole or cut."""
    picture = Image.linear_gradient("L").resize((60, 40))
    exif = picture.getexif()
    if turn is not None:
        exif[0x0112] = turn
    data = encoded(picture, kind, exif=exif)
    assert oddities(data, reading=reading) == see(data, reading=reading).odd
    with pytest.raises(BadInput, match=r"^here: expected a whole image"):
        oddities(data[:-40], "here", reading)


def test_a_bomb_is_refused():
    """What cannot shrink on the way is bounded."""
    with pytest.raises(BadInput, match=r"here: expected at most 5000 pixels, .* got 10000 \(raise `pixels`"):
        rgb(encoded(Image.new("L", (100, 100))), "here", Reading(pixels=1000))


def test_no_program_is_started():
    """PostScript is not read: PIL would have Ghostscript run it."""
    with pytest.raises(BadInput, match="expected a whole image"):
        rgb(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "L"}, {"mode": "CMYK"}], ids=str)
def test_a_check_refuses_what_cannot_be_decoded(options):
    """Of a JPEG it computes little, and finds the same faults: one that is cut or overwritten anywhere."""
    mode = options.pop("mode", "RGB")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", **options)
    whole = file.getvalue()
    check(whole)
    for end in range(0, len(whole), 97):
        for data in (whole[:end], whole[:end] + bytes(40) + whole[end + 40 :]):
            assert refuses(check, data) == refuses(rgb, data), end


def refuses(read, data):
    try:
        read(data)
    except BadInput as error:
        return str(error)
    return None


@pytest.mark.parametrize("compression", [1, 5])  # none, LZW
def test_colour_of_16_bits_is_read_of_png_alone(compression):
    """PIL takes the upper byte of other formats: 12 bits of a microscope's TIFF would be nearly black."""
    cv2 = pytest.importorskip("cv2")
    values = np.full((8, 8, 3), 2**12 - 1, np.uint16)
    tiff = cv2.imencode(".tiff", values, [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1].tobytes()
    whole = cv2.imencode(".png", values)[1].tobytes()
    assert see(tiff).odd == see(whole).odd == {"dark"}
    twelve = Reading(bits=12)
    assert np.asarray(see(whole, reading=twelve).image).min() == 255
    with pytest.raises(BadInput, match=r"cells: expected a PNG beside bits 12, .*, got TIFF \(save it as PNG\)"):
        see(tiff, "cells", twelve)
