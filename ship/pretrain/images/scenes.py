"""Images of the shapes and textures of `formula`, labelled with what made them. Loads no torch.

Objects of one category lie on a turned and shifted lattice, one a cell (a single one in most images); a shape may lie
on top of an outline; or a texture fills the image. An image is a pure function of (formulas, seed, index).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from ship.pretrain.images.colouring import background, colours, finish, lay, waves
from ship.pretrain.images.formula import REACH, SIDE, Array, Draws, Formulas, points

Index = NDArray[np.int64]

CELLS = 4  # the lattice repeats after so many cells a side
DRAWS = 256  # uniform numbers an image
PLACE, INK = 6, 4  # numbers a patch
TEXTURED, TOPPED = 0.12, 0.13  # shares of images
CHUNK = 64  # images painted at once: more do not fit into a core's cache


class Images(NamedTuple):
    """n images and their labels, for a grid of G x G patches."""

    pixels: NDArray[np.uint8]
    """(n, S, S, 3)"""
    category: Index
    """(n, 2): the shape, and the shape on top of it (the same again where there is none)"""
    place: Array
    """(n, G G, PLACE): 1 where an object owns the patch; offset to its centre (x, y) as a share of the image; cosine
    and sine of its rotation; logarithm of its radius as a share of the image"""
    ink: Array
    """(n, G G, INK): how much of each quarter of the patch is covered by objects, or by a texture's second colour"""


def paint(made: Formulas, *, seed: int, start: int, count: int, size: int, grid: int) -> Images:
    """Images start ... start + count - 1 of the stream `seed`, size x size px, with labels for grid x grid patches."""
    starts = range(start, start + count, CHUNK)
    chunks = [_paint(made, seed, at, min(CHUNK, start + count - at), size, grid) for at in starts]
    return Images(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def _paint(made: Formulas, seed: int, start: int, n: int, size: int, grid: int) -> Images:
    draws, noise = _draws(seed, start, n, size)
    textured, shape, top, texture = _kinds(draws, made)
    lattice = _lattice(draws, made.turn[shape], alone=textured | (shape != top))
    pixel = (np.arange(size, dtype=np.float32) + 0.5) / size
    u, v, cell, radius = _local(lattice, *points(pixel, n))
    u, v = _deform(draws, u, v)
    pen = _Pen(draws.take(), draws.between(0.07, 0.2), 0.6 + 2.2 * draws.take() ** 3)
    zoom = draws.between(0.4, 0.62)[:, None]
    shown = lattice.present[np.arange(n)[:, None], cell] & ~textured[:, None]
    ink = _ink(pen, _sample(made.distance, shape, u, v), made.filled[shape], radius * size) * shown
    over = _ink(pen, _sample(made.distance, top, u / zoom, v / zoom), made.filled[top], radius * zoom * size)
    over *= shown & (shape != top)[:, None]
    pattern = waves(draws, made.texture[texture], pixel)
    canvas = background(draws, pattern, pixel, textured)
    middle = canvas.mean(axis=1)
    canvas = lay(canvas, ink, colours(draws, middle, CELLS * CELLS)[np.arange(n)[:, None], cell])
    canvas = lay(canvas, over, colours(draws, 1 - middle, 1))
    category = np.where(textured, len(made.distance) + texture, [shape, top]).T
    covered = np.where(textured[:, None], 0.5 + 0.5 * pattern, np.maximum(ink, over))
    return Images(
        finish(draws, canvas, noise, size), category, _place(lattice, grid, ~textured), _quarters(covered, grid)
    )


def _draws(seed: int, start: int, n: int, size: int) -> tuple[Draws, Array]:
    """Uniform numbers and pixel noise of every image, from a stream of its own."""
    values, noise = np.empty((n, DRAWS), np.float32), np.empty((n, size * size, 3), np.float32)
    for i in range(n):
        stream = Generator(Philox(key=seed, counter=[0, 0, 0, start + i]))
        stream.random(dtype=np.float32, out=values[i])
        stream.standard_normal(dtype=np.float32, out=noise[i])
    return Draws(values), noise


def _kinds(draws: Draws, made: Formulas) -> tuple[NDArray[np.bool_], Index, Index, Index]:
    """Whether a texture fills the image; the shape, the shape on top (the same if there is none), the texture: (n,)."""
    kind, filled, shapes = draws.take(), int(made.filled.sum()), len(made.distance)
    textured = (kind < TEXTURED) & (len(made.texture) > 0)
    topped = (kind >= TEXTURED) & (kind < TEXTURED + TOPPED) & (0 < filled < shapes)
    shape, below, above = draws.below(shapes), draws.below(filled), draws.below(shapes - filled)
    texture = draws.below(len(made.texture))
    return textured, np.where(topped, below, shape), np.where(topped, filled + above, shape), texture


class _Lattice(NamedTuple):
    """Where objects lie. The last five are (n, CELLS**2): one object a cell."""

    cells: Array
    """(n, 1): cells a side of the image"""
    angle: Array
    shift: Array
    present: NDArray[np.bool_]
    x: Array
    y: Array
    turn: Array
    radius: Array


def _lattice(draws: Draws, turn: Array, alone: NDArray[np.bool_]) -> _Lattice:
    share, m = draws.take(), CELLS * CELLS
    count = np.where(alone, 1, 1 + (share > 0.76) + (share > 0.84) + (share > 0.93))[:, None].astype(np.float32)
    single = count == 1
    angle = np.where(single, 0, draws.take()[:, None] * np.float32(2 * np.pi))
    shift = np.where(single, np.float32(0.5), draws.many(2))
    radius = np.where(single, 0.24 + 0.3 * draws.take()[:, None], 0.22 + 0.22 * draws.many(m))
    room = np.maximum(0.5 - radius, 0) + 0.05  # an object may leave its cell by a little, and is cut there
    x, y = ((2 * draws.many(m) - 1) * room for _ in range(2))
    widest = np.where(draws.take() < 0.3, np.float32(np.pi), turn)[:, None]
    present = (draws.many(m) < draws.between(0.4, 1.0)[:, None]) | single
    return _Lattice(count, angle, shift, present, x, y, (2 * draws.many(m) - 1) * widest, radius)


def _cell(lattice: _Lattice, x: Array, y: Array) -> tuple[Array, Array, Index]:
    """Of points (n, m) of the image: coordinates from the middle of their cell, in cells, and the cell's number."""
    cos, sin = np.cos(lattice.angle) * lattice.cells, np.sin(lattice.angle) * lattice.cells
    x, y = x - 0.5, y - 0.5
    across, down = cos * x + sin * y + lattice.shift[:, :1], cos * y - sin * x + lattice.shift[:, 1:]
    column, row = np.floor(across), np.floor(down)
    return across - column - 0.5, down - row - 0.5, ((row % CELLS) * CELLS + column % CELLS).astype(np.int64)


def _local(lattice: _Lattice, x: Array, y: Array) -> tuple[Array, Array, Index, Array]:
    """Of points (n, m): coordinates in their object, of radius 1; its cell; its radius as a share of the image."""
    x, y, cell = _cell(lattice, x, y)
    image = np.arange(len(cell))[:, None]
    radius = lattice.radius[image, cell]
    cos, sin = (part[image, cell] / radius for part in (np.cos(lattice.turn), np.sin(lattice.turn)))
    x, y = x - lattice.x[image, cell], y - lattice.y[image, cell]
    return cos * x + sin * y, cos * y - sin * x, cell, radius / lattice.cells


def _place(lattice: _Lattice, grid: int, shown: NDArray[np.bool_]) -> Array:
    """The label of every patch; see Images.place."""
    middles = points((np.arange(grid, dtype=np.float32) + 0.5) / grid, len(shown))
    x, y, cell = _cell(lattice, *middles)
    image = np.arange(len(cell))[:, None]
    right, down = lattice.x[image, cell] - x, lattice.y[image, cell] - y
    cos, sin = np.cos(lattice.angle) / lattice.cells, np.sin(lattice.angle) / lattice.cells
    turn = lattice.turn[image, cell] + lattice.angle
    parts = (lattice.present[image, cell] & shown[:, None], cos * right - sin * down, sin * right + cos * down)
    size = np.log(lattice.radius[image, cell] / lattice.cells)
    return np.stack([*parts, np.cos(turn), np.sin(turn), size], axis=-1).astype(np.float32)


def _quarters(covered: Array, grid: int) -> Array:
    """Means over the quarters of all patches, (n, grid**2, INK), of what is covered (n, m)."""
    n, half = len(covered), math.isqrt(covered.shape[1]) // (2 * grid)
    means: Array = covered.reshape(n, grid, 2, half, grid, 2, half).mean(axis=(3, 6))
    return means.transpose(0, 1, 3, 2, 4).reshape(n, grid * grid, INK)


def _deform(draws: Draws, u: Array, v: Array) -> tuple[Array, Array]:
    """The coordinates stretched, sheared and bent a little, so that instances of a shape differ."""
    stretch, shear = np.exp(draws.between(-0.2, 0.2)), draws.between(-0.2, 0.2)
    bend = [(draws.between(0, 0.1), draws.between(1, 3), draws.between(0, 6.3)) for _ in range(2)]
    u, v = u * stretch[:, None] + shear[:, None] * v, v / stretch[:, None]
    (a, f, p), (b, g, q) = ([part[:, None] for part in parts] for parts in bend)
    return u + a * np.sin(f * v + p), v + b * np.sin(g * u + q)


def _sample(templates: Array, chosen: Index, u: Array, v: Array) -> Array:
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
