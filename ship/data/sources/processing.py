"""Images that the official builder processes before it stores them, in its own steps with OpenCV. Loads no torch.

The steps are those of TensorFlow Datasets 4.2.0 (`sun.py`, `diabetic_retinopathy_detection.py`), Apache-2.0. The
result is the same bytes for the same OpenCV; its version stands in task.json.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ship.data.decoding import rgb
from ship.errors import BadInput, not_installed

Pixels = NDArray[np.uint8]
SUN_PIXELS = 120_000
RADIUS = 300  # of an eyeball, pixels
MASKED = 0.9  # of the radius
QUALITY = 72  # of retinopathy's JPEG; SUN397's builder sets none, whatever its description says


def opencv() -> Any:
    """The module. Raises BadInput where it is not installed."""
    try:
        import cv2
    except ModuleNotFoundError:
        raise not_installed("opencv") from None
    return cv2


def sun397(image: bytes, place: str) -> bytes:
    """At most 120,000 pixels, as JPEG of OpenCV's own quality.

    What OpenCV cannot decode is decoded as RGB and written as BGR, so that red and blue are swapped, as in the builder.
    """
    cv2 = opencv()
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if pixels is None:
        pixels = np.asarray(rgb(image, place))
    height, width, _ = pixels.shape
    if height * width > SUN_PIXELS:
        factor = np.sqrt(SUN_PIXELS / (height * width))
        pixels = cv2.resize(pixels, dsize=None, fx=factor, fy=factor)
    return _jpeg(pixels)


def retinopathy(image: bytes, place: str) -> bytes:
    """The radius scaled to 300 pixels, the local mean taken off, the rim masked and cropped; as JPEG of quality 72."""
    cv2 = opencv()
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if pixels is None:
        raise BadInput(f"{place}: expected a whole image, got one that OpenCV cannot decode")
    middle = pixels[pixels.shape[0] // 2].sum(axis=1)
    radius = (middle > middle.mean() / 10).sum() / 2
    if radius < 1:  # some are all black
        radius = pixels.shape[0] / 2
    pixels = cv2.resize(pixels, dsize=None, fx=RADIUS / radius, fy=RADIUS / radius)
    blurred = cv2.GaussianBlur(pixels, (0, 0), RADIUS / 30)
    pixels = cv2.addWeighted(pixels, 4, blurred, -4, 128)
    whole = cv2.convertScaleAbs(_masked(pixels))  # rounded as the encoder would, which warns of it
    return _jpeg(whole, [int(cv2.IMWRITE_JPEG_QUALITY), QUALITY])


def _masked(pixels: Pixels) -> NDArray[np.float64]:
    """Grey outside of 0.9 of the radius, and cropped to that."""
    cv2 = opencv()
    mask = np.zeros(pixels.shape)
    row, column, reach = pixels.shape[0] // 2, pixels.shape[1] // 2, int(RADIUS * MASKED)
    cv2.circle(mask, center=(column, row), radius=reach, color=(1, 1, 1), thickness=-1)
    whole = pixels * mask + (1 - mask) * 128
    return whole[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach]


def _jpeg(pixels: NDArray[Any], options: list[int] | None = None) -> bytes:
    _, data = opencv().imencode(".jpg", pixels, options or [])
    return bytes(data.tobytes())
