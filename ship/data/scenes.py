"""Images of shapes and textures from `ship.data.formula`, with the parameters that made them as labels. Loads no torch.

Objects of one category lie on a turned and shifted lattice, one a cell (a single one in most images); a shape may lie on
top of an outline; or a texture fills the image. An image is a pure function of (formulas, seed, index).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from ship.data.formula import REACH, SIDE, Array, Formulas

CELLS = 4  # the lattice repeats after so many cells a side
WAVES = 6  # in a texture
DRAWS = 256  # uniform numbers an image
PLACE = 6
TEXTURED, TOPPED = 0.12, 0.18  # shares of images
BRIGHTNESS = np.array([0.3, 0.59, 0.11], np.float32)
CHUNK = 64  # images painted at once: more do not fit into a core's cache


class Images(NamedTuple):
    """n images and their labels, for a grid of G x G patches."""

    pixels: NDArray[np.uint8]
    """(n, S, S, 3)"""
    category: NDArray[np.int64]
    """(n, 2): the shape, and the shape on top of it (the same again where there is none)"""
    place: Array
    """(n, G G, PLACE): 1 where an object owns the patch; offset to its centre (x, y) as a share of the image; cos and sin
    of its rotation; logarithm of its radius as a share of the image"""


def paint(made: Formulas, *, seed: int, start: int, count: int, size: int, grid: int) -> Images:
    """Images start ... start + count - 1 of the stream `seed`, size x size px, with labels for grid x grid patches."""
    starts = range(start, start + count, CHUNK)
    chunks = [_paint(made, seed, at, min(CHUNK, start + count - at), size, grid) for at in starts]
    return Images(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def _paint(made: Formulas, seed: int, start: int, n: int, size: int, grid: int) -> Images:
    draws, noise = _draws(seed, start, n, size)
    textured, shape, top, texture = _kinds(draws, made)
    lattice = _lattice(draws, n, made.turn[shape], alone=textured | (shape != top))
    pixel = (np.arange(size, dtype=np.float32) + 0.5) / size
    u, v, cell, radius = _local(lattice, *_points(pixel, n))
    u, v = _deform(draws, u, v)
    pen = _Pen(draws.take(), draws.between(0.07, 0.2), 0.6 + 2.2 * draws.take() ** 3)
    zoom = draws.between(0.4, 0.62)[:, None]
    shown = lattice.present[np.arange(n)[:, None], cell] & ~textured[:, None]
    ink = _ink(pen, _sample(made.distance, shape, u, v), made.filled[shape], radius * size) * shown
    over = _ink(pen, _sample(made.distance, top, u / zoom, v / zoom), made.filled[top], radius * zoom * size)
    over *= shown & (shape != top)[:, None]
    canvas = _background(draws, _waves(draws, made.texture[texture], pixel), pixel, textured)
    middle = canvas.mean(axis=1)
    canvas = _lay(canvas, ink, _colours(draws, middle, CELLS * CELLS)[np.arange(n)[:, None], cell])
    canvas = _lay(canvas, over, _colours(draws, 1 - middle, 1))
    category = np.where(textured, len(made.distance) + texture, [shape, top]).T
    return Images(_finish(draws, canvas, noise, size), category, _place(lattice, grid, ~textured))


class _Draws:
    """Uniform numbers of n images, handed out column by column."""

    def __init__(self, values: Array) -> None:
        self.values, self.at = values, 0

    def many(self, count: int) -> Array:
        """(n, count) in [0, 1)."""
        self.at += count
        return self.values[:, self.at - count : self.at]

    def take(self) -> Array:
        """(n,) in [0, 1)."""
        return self.many(1)[:, 0]

    def between(self, low: float, high: float) -> Array:
        """(n,) in [low, high)."""
        return low + (high - low) * self.take()

    def below(self, count: int) -> NDArray[np.int64]:
        """(n,) in 0 ... count - 1."""
        return (self.take() * count).astype(np.int64)


def _draws(seed: int, start: int, n: int, size: int) -> tuple[_Draws, Array]:
    """Uniform numbers and pixel noise of every image, from a stream of its own."""
    values, noise = np.empty((n, DRAWS), np.float32), np.empty((n, size * size, 3), np.float32)
    for i in range(n):
        stream = Generator(Philox(key=seed, counter=[0, 0, 0, start + i]))
        stream.random(dtype=np.float32, out=values[i])
        stream.standard_normal(dtype=np.float32, out=noise[i])
    return _Draws(values), noise


def _kinds(draws: _Draws, made: Formulas) -> tuple[NDArray[np.bool_], ...]:
    """Whether a texture fills the image (n,); the shape, the shape on top (the same where there is none), the texture."""
    kind, filled, shapes = draws.take(), int(made.filled.sum()), len(made.distance)
    textured = (kind < TEXTURED) & (len(made.texture) > 0)
    topped = (kind >= TEXTURED) & (kind < TEXTURED + TOPPED) & (0 < filled < shapes)
    shape, below, above = draws.below(shapes), draws.below(filled), draws.below(shapes - filled)
    texture = draws.below(len(made.texture))
    return textured, np.where(topped, below, shape), np.where(topped, filled + above, shape), texture


class _Lattice(NamedTuple):
    """Where objects lie. The last five are (n, CELLS**2): one object a cell."""

    count: Array
    """(n, 1): cells a side of the image"""
    angle: Array
    shift: Array
    present: NDArray[np.bool_]
    x: Array
    y: Array
    turn: Array
    radius: Array


def _lattice(draws: _Draws, n: int, turn: Array, alone: NDArray[np.bool_]) -> _Lattice:
    share, m = draws.take(), CELLS * CELLS
    count = np.where(alone, 1, 1 + (share > 0.7) + (share > 0.8) + (share > 0.92))[:, None].astype(np.float32)
    single = count == 1
    angle = np.where(single, 0, draws.take()[:, None] * np.float32(2 * np.pi))
    shift = np.where(single, np.float32(0.5), draws.many(2))
    radius = np.where(single, 0.24 + 0.3 * draws.take()[:, None], 0.22 + 0.22 * draws.many(m))
    room = np.maximum(0.5 - radius, 0) + 0.05  # an object may leave its cell by a little, and is cut there
    x, y = ((2 * draws.many(m) - 1) * room for _ in range(2))
    widest = np.where(draws.take() < 0.3, np.float32(np.pi), turn)[:, None]
    present = (draws.many(m) < draws.between(0.4, 1.0)[:, None]) | single
    return _Lattice(count, angle, shift, present, x, y, (2 * draws.many(m) - 1) * widest, radius)


def _points(at: Array, n: int) -> tuple[Array, Array]:
    """x and y of the pixels of a square, row by row, (n, len(at)**2) each."""
    k = len(at)
    return np.broadcast_to(np.tile(at, k), (n, k * k)), np.broadcast_to(np.repeat(at, k), (n, k * k))


def _cell(lattice: _Lattice, x: Array, y: Array) -> tuple[Array, Array, NDArray[np.int64]]:
    """Of points (n, m) of the image: coordinates from the middle of their cell, in cells, and the cell's number."""
    cos, sin = np.cos(lattice.angle) * lattice.count, np.sin(lattice.angle) * lattice.count
    x, y = x - 0.5, y - 0.5
    across, down = cos * x + sin * y + lattice.shift[:, :1], cos * y - sin * x + lattice.shift[:, 1:]
    column, row = np.floor(across), np.floor(down)
    return across - column - 0.5, down - row - 0.5, ((row % CELLS) * CELLS + column % CELLS).astype(np.int64)


def _local(lattice: _Lattice, x: Array, y: Array) -> tuple[Array, Array, NDArray[np.int64], Array]:
    """Of points (n, m): coordinates in their object, where its radius is 1; its cell; its radius as a share of the image."""
    x, y, cell = _cell(lattice, x, y)
    image = np.arange(len(cell))[:, None]
    radius = lattice.radius[image, cell]
    cos, sin = (part[image, cell] / radius for part in (np.cos(lattice.turn), np.sin(lattice.turn)))
    x, y = x - lattice.x[image, cell], y - lattice.y[image, cell]
    return cos * x + sin * y, cos * y - sin * x, cell, radius / lattice.count


def _place(lattice: _Lattice, grid: int, shown: NDArray[np.bool_]) -> Array:
    """The label of every patch; see Images.place."""
    points = _points((np.arange(grid, dtype=np.float32) + 0.5) / grid, len(shown))
    x, y, cell = _cell(lattice, *points)
    image = np.arange(len(cell))[:, None]
    right, down = lattice.x[image, cell] - x, lattice.y[image, cell] - y
    cos, sin = np.cos(lattice.angle) / lattice.count, np.sin(lattice.angle) / lattice.count
    turn = lattice.turn[image, cell] + lattice.angle
    parts = (lattice.present[image, cell] & shown[:, None], cos * right - sin * down, sin * right + cos * down)
    size = np.log(lattice.radius[image, cell] / lattice.count)
    return np.stack([*parts, np.cos(turn), np.sin(turn), size], axis=-1).astype(np.float32)


def _deform(draws: _Draws, u: Array, v: Array) -> tuple[Array, Array]:
    """The coordinates stretched, sheared and bent a little, so that instances of a shape differ."""
    stretch, shear = np.exp(draws.between(-0.25, 0.25)), draws.between(-0.25, 0.25)
    bend = [(draws.between(0, 0.12), draws.between(1, 3), draws.between(0, 6.3)) for _ in range(2)]
    u, v = u * stretch[:, None] + shear[:, None] * v, v / stretch[:, None]
    (a, f, p), (b, g, q) = ([part[:, None] for part in parts] for parts in bend)
    return u + a * np.sin(f * v + p), v + b * np.sin(g * u + q)


def _sample(templates: Array, chosen: NDArray[np.int64], u: Array, v: Array) -> Array:
    """Distance at the points (n, m) of the chosen templates (n,), bilinear; it goes on growing outside."""
    outside = np.maximum(np.maximum(abs(u), abs(v)) - REACH, 0)
    x, y = (np.clip((w / REACH + 1) * ((SIDE - 1) / 2), 0, SIDE - 1.001) for w in (u, v))
    column, row = x.astype(np.int32), y.astype(np.int32)
    x, y = x - column, y - row
    at = (chosen[:, None] * SIDE + row) * SIDE + column
    flat = templates.reshape(-1)
    upper = flat[at] * (1 - x) + flat[at + 1] * x
    lower = flat[at + SIDE] * (1 - x) + flat[at + SIDE + 1] * x
    below: Array = upper * (1 - y) + lower * y + outside
    return below


class _Pen(NamedTuple):
    """How shapes are drawn, (n,) each: filled, as an outline or as two; width of lines in radii; blur in pixels."""

    style: Array
    width: Array
    blur: Array


def _ink(pen: _Pen, distance: Array, filled: NDArray[np.bool_], pixels: Array) -> Array:
    """How much of each point is covered, (n, m), by shapes with a radius of so many pixels."""
    width = np.maximum(pen.width[:, None], 0.6 / pixels)
    style = np.where(filled, pen.style, 0.7)[:, None]
    rings = np.where(style < 0.85, abs(distance), abs(abs(distance + 0.15) - 0.15)) - width
    lines = np.where(filled[:, None], rings, distance - width)
    reach = np.where(style < 0.55, distance, lines)
    return np.clip(0.5 - reach * pixels / pen.blur[:, None], 0, 1).astype(np.float32)


def _waves(draws: _Draws, texture: Array, pixel: Array) -> Array:
    """The texture (n, 6) in [-1, 1] at all pixels, (n, m), in any direction."""
    n = len(texture)
    frequency, spread, fan, directions, sharpness, rings = (part[:, None] for part in texture.T)
    x, y = _points(pixel, n)
    amplitude, bend = draws.between(0, 0.04)[:, None], draws.between(3, 12)[:, None]
    x, y = x + amplitude * np.sin(bend * y), y + amplitude * np.sin(bend * x)
    middle = draws.many(2)
    far = np.hypot(x - middle[:, :1], y - middle[:, 1:])
    base, zoom = draws.take()[:, None] * np.float32(2 * np.pi), np.exp(draws.between(-0.25, 0.25))[:, None]
    total = np.zeros_like(far)
    for k in range(WAVES):
        turn, pace, phase = (draws.take()[:, None] for _ in range(3))
        angle = base + fan * (2 * turn - 1) + np.float32(np.pi) * (k % directions) / directions
        f = np.float32(2 * np.pi) * frequency * zoom * (1 + spread * (2 * pace - 1))
        along = np.where((rings > 0) & (k == 0), far, np.cos(angle) * x + np.sin(angle) * y)
        # without any spread the waves of one direction would be one wave
        weight = np.where((spread == 0) & (fan == 0) & (k >= directions), 0, 1)
        total += np.where((rings > 0) & (k > 0), 0, weight) * np.cos(f * along + np.float32(2 * np.pi) * phase)
    total /= np.maximum(total.std(axis=1, keepdims=True), 1e-3)
    return np.tanh(sharpness * (total + draws.between(-0.5, 0.5)[:, None])).astype(np.float32)


def _background(draws: _Draws, pattern: Array, pixel: Array, textured: NDArray[np.bool_]) -> Array:
    """Colours (n, m, 3) behind the objects: plain black or white, or a slope, or a faint texture; the texture alone."""
    n = len(pattern)
    first, second, slope = draws.many(3), draws.many(3), draws.many(2) - 0.5
    kind, contrast = draws.take(), draws.between(0.05, 0.4)
    plain = ((kind < 0.3) & ~textured)[:, None]
    first = np.where(plain, np.round(kind[:, None] / 0.3 - 0.25), first)
    contrast = np.where(textured, 0.3 + contrast, np.where(kind < 0.65, 0, contrast))
    x, y = _points(pixel - 0.5, n)
    light = (slope[:, :1] * x + slope[:, 1:] * y) * ~plain
    # the two colours of a texture differ by half the range at least, in every channel
    second = np.where(textured[:, None], (first + 0.3 + 0.4 * second) % 1, second)
    mixed = 0.5 * contrast[:, None] * (1 + pattern)
    return (first[:, None] + mixed[..., None] * (second - first)[:, None] + light[..., None]).astype(np.float32)


def _colours(draws: _Draws, background: Array, count: int) -> Array:
    """Colours (n, count, 3) that differ from the background (n, 3) by 0.3 at least in brightness."""
    n = len(background)
    shared, own = draws.many(3)[:, None], draws.many(3 * count).reshape(n, count, 3)
    colour = np.where((draws.take() < 0.5)[:, None, None], shared, own)
    behind = np.clip(background @ BRIGHTNESS, 0, 1)[:, None, None]
    bright = (colour @ BRIGHTNESS)[..., None]
    wanted = np.where(behind < 0.5, behind + 0.3 + (0.7 - behind) * bright, (behind - 0.3) * bright)
    return np.clip(colour + wanted - bright, 0, 1).astype(np.float32)


def _lay(canvas: Array, ink: Array, colour: Array) -> Array:
    """The canvas (n, m, 3) with colours laid over it where there is ink (n, m)."""
    return canvas + ink[..., None] * (colour - canvas)


def _finish(draws: _Draws, canvas: Array, noise: Array, size: int) -> NDArray[np.uint8]:
    """Pixels (n, size, size, 3): grey at times, under noise."""
    grey = (draws.take() < 0.35)[:, None, None]
    canvas = np.where(grey, (canvas @ BRIGHTNESS)[..., None], canvas)
    canvas = canvas + (0.1 * draws.take() ** 3)[:, None, None] * np.where(grey, noise[..., :1], noise)
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(len(canvas), size, size, 3)
