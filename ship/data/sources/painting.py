"""Images drawn with NumPy alone, so that they depend on no library's rasteriser. Loads no torch.

A painter takes a random stream and a class, and returns an image of 64 x 64 px: (64, 64) or (64, 64, 3), in [0, 1].
Edges are smooth because every pixel is the mean of 3 x 3 samples.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIZE = 64
SAMPLES = 3  # a side, in a pixel

SHAPES: dict[str, Callable[[Array, Array], NDArray[np.bool_]]] = {  # inside the unit disc, roughly filling it
    "square": lambda u, v: np.maximum(abs(u), abs(v)) < 0.71,
    "ellipse": lambda u, v: u**2 + (1.9 * v) ** 2 < 1,
    # 1.2 brings the classic heart curve into the unit disc; its tip points down (v grows downwards)
    "heart": lambda u, v: ((1.2 * u) ** 2 + (1.2 * v) ** 2 - 1) ** 3 < -((1.2 * u) ** 2) * (1.2 * v) ** 3,
    "disc": lambda u, v: u**2 + v**2 < 0.85,
    "triangle": lambda u, v: (v < 0.5) & (v + 1 > 1.75 * abs(u)),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) < 0.32) & (np.maximum(abs(u), abs(v)) < 0.95),
    "ring": lambda u, v: abs(u**2 + v**2 - 0.65) < 0.3,
}
TEXTURES = ("stripes", "checks", "dots", "bricks", "zigzag", "grid", "rings", "cracks", "blobs", "clouds")
ORIENTATIONS = 40
POSITIONS = 32


def cover(shape: str, x: float, y: float, radius: float, angle: float) -> Array:
    """How much of every pixel the shape covers, (64, 64) in [0, 1]; centre and radius in pixels, angle in radians."""
    left, top = (max(0, int(np.floor(centre - 1.3 * radius))) for centre in (x, y))
    right, bottom = (min(SIZE, int(np.ceil(centre + 1.3 * radius)) + 1) for centre in (x, y))
    across = (np.arange(left * SAMPLES, right * SAMPLES) + 0.5) / SAMPLES - x
    down = ((np.arange(top * SAMPLES, bottom * SAMPLES) + 0.5) / SAMPLES - y)[:, None]
    cos, sin = np.cos(angle) / radius, np.sin(angle) / radius
    inside = SHAPES[shape](cos * across + sin * down, cos * down - sin * across)
    covered = np.zeros((SIZE, SIZE))
    covered[top:bottom, left:right] = _shrink(inside.astype(np.float64))
    return covered


def sprite_location(rng: Generator, label: int) -> Array:
    """A white sprite on black; the class is its x position: 32 positions, two to a bin."""
    return _sprite(rng, column=2 * label + int(rng.integers(2)), turn=int(rng.integers(ORIENTATIONS)))


def sprite_orientation(rng: Generator, label: int) -> Array:
    """A white sprite on black; the class is its orientation: 40 of them, floor(index / 2.5), as VTAB bins them."""
    turns = [turn for turn in range(ORIENTATIONS) if turn * 16 // ORIENTATIONS == label]
    return _sprite(rng, column=int(rng.integers(POSITIONS)), turn=int(rng.choice(turns)))


def counting(rng: Generator, label: int) -> Array:
    """Three (class 0) to ten (class 7) coloured shapes, which may touch, on a background of two colours."""
    shades = _colour(rng), _colour(rng)
    canvas = _mix(_noise(rng, int(rng.integers(1, 6))), shades[0], 0.5 * (shades[0] + shades[1]))
    for x, y, radius in scatter(rng, label + 3):
        colour = _colour(rng)
        while abs(colour - canvas[int(y), int(x)]).max() < 0.3:
            colour = _colour(rng)
        shape = ("square", "ellipse", "disc", "triangle", "cross", "ring", "heart")[rng.integers(7)]
        _lay(canvas, cover(shape, x, y, radius, rng.uniform(0, 2 * np.pi)), colour)
    return canvas + rng.normal(0, 0.03, canvas.shape)


def scatter(rng: Generator, count: int) -> list[tuple[float, float, float]]:
    """Centre (x, y) and radius, in pixels, of discs inside the image that overlap by little."""
    taken: list[tuple[float, float, float]] = []
    while len(taken) < count:
        radius = float(rng.uniform(3.2, 6.5))
        x, y = (float(at) for at in rng.uniform(radius + 1, SIZE - radius - 1, size=2))
        if all((x - a) ** 2 + (y - b) ** 2 >= (0.9 * (radius + r)) ** 2 for a, b, r in taken):
            taken.append((x, y, radius))
    return taken


def tissue(rng: Generator, label: int) -> Array:
    """Stained tissue; class 1 has tumour cells in its middle 32 x 32 px, and what lies outside tells nothing.

    The rule is PatchCamelyon's. Tumour cells are larger, darker and less round, and their sizes overlap with others.
    """
    stroma = np.array(colorsys.hsv_to_rgb(rng.uniform(0.86, 0.96), rng.uniform(0.2, 0.5), rng.uniform(0.75, 0.97)))
    canvas = _mix(_noise(rng, 7) * 0.5 + _noise(rng, 17) * 0.5, stroma, 0.75 * stroma + 0.25)
    hue = rng.uniform(0.7, 0.8)
    cells = [(rng.uniform(0, SIZE, 2), False) for _ in range(rng.integers(18, 40))]
    # as many others in the middle of class 0, so that counting cells tells nothing
    cells += [(rng.uniform(17, 47, 2), label == 1) for _ in range(rng.integers(2, 6))]
    around = [place for place in rng.uniform(0, SIZE, (rng.integers(0, 9), 2)) if abs(place - 32).max() > 20]
    cells += [(place, True) for place in around]
    for (x, y), tumour in [cells[index] for index in rng.permutation(len(cells))]:
        radius = rng.uniform(2.9, 4.6) if tumour else rng.uniform(1.9, 3.4)
        dark = rng.uniform(0.3, 0.5) if tumour else rng.uniform(0.4, 0.65)
        ink = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.4, 0.7), dark))
        angle = rng.uniform(0, np.pi)
        blot = cover("ellipse" if rng.random() < 0.3 else "disc", x, y, radius, angle)
        if tumour:  # a second lobe makes its outline irregular
            blot = np.maximum(blot, cover("disc", x + 0.5 * radius * np.cos(angle), y + 0.5 * radius, radius * 0.75, 0))
        _lay(canvas, 0.85 * blot, ink)
    return canvas + rng.normal(0, 0.025, canvas.shape)


def textures(rng: Generator, label: int) -> Array:
    """One of TEXTURES in two colours, with any period, direction and light, slightly warped, under noise."""
    side = SIZE * SAMPLES
    period = rng.uniform(6, 18) * SAMPLES
    angle = rng.uniform(0, 2 * np.pi)
    warp = rng.uniform(0, 0.35)
    across, down = np.arange(side) / period, (np.arange(side) / period)[:, None]
    u = np.cos(angle) * across + np.sin(angle) * down + warp * _noise(rng, 4, side) + rng.uniform(0, 9)
    v = np.cos(angle) * down - np.sin(angle) * across + warp * _noise(rng, 4, side) + rng.uniform(0, 9)
    pattern = _shrink(_pattern(rng, TEXTURES[label], u, v, side / period))
    colour, other = _colour(rng), _colour(rng)
    while not 0.2 < abs(colour - other).max() < 0.6:
        other = _colour(rng)
    light = 1 - rng.uniform(0, 0.5) * _noise(rng, 2)
    canvas = _mix(pattern, colour, other) * light[..., None]
    return canvas + rng.normal(0, rng.uniform(0.02, 0.08), canvas.shape)


def _pattern(rng: Generator, kind: str, u: Array, v: Array, periods: float) -> Array:  # noqa: PLR0911 - a formula each
    """The texture `kind` at the points (u, v), measured in periods, with values in [0, 1]."""
    thick = rng.uniform(0.12, 0.25)
    a, b = u % 1, v % 1
    if kind == "stripes":
        return 0.5 + 0.5 * np.sin(2 * np.pi * u)
    if kind == "checks":
        return (np.floor(u) + np.floor(v)) % 2
    if kind == "dots":
        return ((a - 0.5) ** 2 + (b - 0.5) ** 2 < (thick + 0.12) ** 2).astype(np.float64)
    if kind == "bricks":
        joint = (0.5 * u + 0.5 * (np.floor(v) % 2)) % 1
        return ((joint < 0.5 * thick) | (b < thick)).astype(np.float64)
    if kind == "zigzag":
        return ((v + abs(2 * a - 1)) % 1 < 0.5).astype(np.float64)
    if kind == "grid":
        return np.maximum(a < thick, b < thick).astype(np.float64)
    if kind == "rings":
        middle = u.flat[rng.integers(u.size)], v.flat[rng.integers(v.size)]
        return 0.5 + 0.5 * np.sin(2 * np.pi * np.hypot(u - middle[0], v - middle[1]))
    if kind == "cracks":
        near, second = _nearest(rng, u, v)
        return (second - near < thick).astype(np.float64)
    cells = max(3, round(1.3 * periods))
    if kind == "blobs":
        return (_noise(rng, cells, len(u)) > 0.5).astype(np.float64)
    octaves = [_noise(rng, cells * 2**octave, len(u)) / 2**octave for octave in range(3)]
    return np.clip(sum(octaves, np.zeros_like(u)) / 1.75, 0, 1)


def _nearest(rng: Generator, u: Array, v: Array) -> tuple[Array, Array]:
    """Distances to the nearest and the second nearest of random points, one in every cell of the unit lattice."""
    column, row = np.floor(u).astype(int), np.floor(v).astype(int)
    points = rng.random((64, 64, 2))
    near, second = np.full_like(u, 9.0), np.full_like(u, 9.0)
    for right in (-1, 0, 1):
        for down in (-1, 0, 1):
            point = points[(column + right) % 64, (row + down) % 64]
            distance = np.hypot(column + right + point[..., 0] - u, row + down + point[..., 1] - v)
            second = np.minimum(second, np.maximum(near, distance))
            near = np.minimum(near, distance)
    return near, second


def _sprite(rng: Generator, column: int, turn: int) -> Array:
    """A white sprite on black with dSprites' factors: 3 shapes, 6 scales, 40 orientations, 32 x 32 positions."""
    shape = ("square", "ellipse", "heart")[rng.integers(3)]
    scale = 0.5 + 0.1 * int(rng.integers(6))
    row = int(rng.integers(POSITIONS))
    # off the lattice of samples by a hair: no sample lies on an edge, where rounding would decide
    x, y = 16.013 + 32 * column / (POSITIONS - 1), 16.017 + 32 * row / (POSITIONS - 1)
    return cover(shape, x, y, 14.9 * scale, 2 * np.pi * turn / (ORIENTATIONS - 1))


def _noise(rng: Generator, cells: int, side: int = SIZE) -> Array:
    """Smooth noise in [0, 1], (side, side), from a lattice of `cells` a side."""
    lattice = rng.random((cells + 1, cells + 1))
    at = (np.arange(side) + 0.5) * cells / side
    low, part = at.astype(int), at % 1
    part = part * part * (3 - 2 * part)
    rows = lattice[low] * (1 - part)[:, None] + lattice[low + 1] * part[:, None]
    noise: Array = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    return noise


def _colour(rng: Generator) -> Array:
    """Red, green and blue in [0, 1], in any hue."""
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.9), rng.uniform(0.25, 1)))


def _mix(weight: Array, low: Array, high: Array) -> Array:
    """Colours from `low` to `high` by a weight (64, 64)."""
    return low + weight[..., None] * (high - low)


def _lay(canvas: Array, covered: Array, colour: Array) -> None:
    """Lay a colour over the canvas (64, 64, 3) where it is covered, (64, 64)."""
    rows, columns = (np.flatnonzero(covered.any(axis=axis)) for axis in (1, 0))
    if len(rows):
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        canvas[box] += covered[box][..., None] * (colour - canvas[box])


def _shrink(samples: Array) -> Array:
    """Means over 3 x 3 samples."""
    rows, columns = samples.shape[0] // SAMPLES, samples.shape[1] // SAMPLES
    mean: Array = samples.reshape(rows, SAMPLES, columns, SAMPLES).mean(axis=(1, 3))
    return mean
