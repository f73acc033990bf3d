"""Small pictures of test images, within the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from ship.data.decoding import PLAIN, Reading, rgb, told

SIDE = 96  # pixels at most
QUALITY = 70  # of JPEG: some 3 KB each


def thumbnails(split: Path, keys: Collection[str]) -> dict[str, str]:
    """The images of the prepared `split` that have these keys, as URLs that hold a JPEG; as the task reads them."""
    found = {}
    with pq.ParquetFile(split) as file:
        reading = Reading(**told(file.schema_arrow.metadata))
        for group in range(file.num_row_groups):
            named = file.read_row_group(group, columns=["key"])["key"].to_pylist()
            if places := [place for place, key in enumerate(named) if key in keys]:  # else its images are not read
                rows = file.read_row_group(group, columns=["key", "image"]).take(places)
                for key, data in zip(rows["key"].to_pylist(), rows["image"].to_pylist(), strict=True):
                    found[key] = _url(data, reading)
    return found


def _url(data: bytes, reading: Reading = PLAIN) -> str:
    """A picture of at most SIDE pixels; smaller ones are enlarged by whole pixels, not blurred."""
    image = rgb(data, reading=reading)
    if (times := SIDE // max(image.size)) > 1:
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
