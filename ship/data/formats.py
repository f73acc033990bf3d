"""The formats of image files that are read. Loads no torch."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from PIL import Image

# formats that PIL knows by name and cannot read by itself, or has a program of its own started for
UNFIT = {"BUFR", "EMF", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}


@cache
def formats() -> tuple[str, ...]:
    """The formats that are read, in PIL's order; HEIC among them where pillow-heif is installed."""
    Image.init()
    if find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in Image.ID if name in Image.OPEN and name not in UNFIT)


@cache
def suffixes() -> frozenset[str]:
    """The suffixes of files in those formats, with their dot, in lower case."""
    known = formats()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in known)
