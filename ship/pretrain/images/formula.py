"""Shapes and textures made by formulas: the categories that `ship pretrain` tells apart. Loads no torch.

After FractalDB (Kataoka et al., ACCV 2020), RCDB (Kataoka et al., CVPR 2022) and VisualAtom (Takashima et al., CVPR
2023): radial contours, strokes, iterated function systems, sums of waves. A category is the parameters of its formula
and nothing else; `scenes` varies size, place, rotation, colour, width, blur, background and number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

SIDE = 64  # of a template
REACH = 1.25  # a template covers [-REACH, REACH]; its shape lies in the unit disc
UPRIGHT = 0.35  # radians


class Formulas(NamedTuple):
    """The categories: T shapes as templates of distance, then X textures."""

    distance: Array
    """(T, SIDE, SIDE): to the contour, negative inside; to the line or the points for what has no inside"""
    filled: NDArray[np.bool_]
    """(T,): has an inside; these come first"""
    turn: Array
    """(T,): largest rotation in most images, radians"""
    texture: Array
    """(X, 6): frequency, its spread, spread of direction, directions, sharpness, rings"""

    @property
    def categories(self) -> int:
        """T + X."""
        return len(self.distance) + len(self.texture)


def formulas(*, contours: int, strokes: int, fractals: int, textures: int, seed: int) -> Formulas:
    """As many categories of each family; category k of a family is the same whatever the numbers are."""
    families = ((contours, _contour), (strokes, _stroke), (fractals, _fractal))
    templates = [make(_stream(seed, family, k)) for family, (count, make) in enumerate(families) for k in range(count)]
    filled = np.arange(len(templates)) < contours
    return Formulas(
        np.stack(templates).astype(np.float32),
        filled,
        # lines and fractals are told apart by their direction too, as letters are
        np.where(filled, np.pi, UPRIGHT).astype(np.float32),
        np.array([_texture(_stream(seed, len(families), k)) for k in range(textures)], np.float32).reshape(-1, 6),
    )


def _stream(seed: int, family: int, k: int) -> Generator:
    return Generator(Philox(key=seed, counter=[0, 1, family, k]))


def _pixels() -> tuple[Array, Array]:
    """X (1, SIDE) and y (SIDE, 1) of a template's pixels."""
    axis = np.linspace(-REACH, REACH, SIDE, dtype=np.float32)
    return axis[None], axis[:, None]


def _contour(rng: Generator) -> Array:
    """Distance to r = 1 + sum of a_k w(f_k angle + phase_k): round, wavy and cornered outlines.

    w is a cosine or a triangle wave (which gives straight edges and spikes); the distance is along the ray, divided by
    the slope of the contour, which is close enough near it.
    """
    x, y = _pixels()
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    corners = int(rng.integers(2, 9))
    waves = [(corners, rng.uniform(0.04, 0.4), 0.0)]
    waves += [
        (int(rng.integers(1, 12)), rng.uniform(0.02, 0.2), rng.uniform(0, 2 * np.pi)) for _ in range(rng.integers(3))
    ]
    sharp = bool(rng.random() < 0.5)
    if rng.random() < 0.35:  # a regular polygon: triangles, squares, octagons ...
        half = np.pi / max(corners, 3)
        edge = np.cos(half) / np.cos((angle % (2 * half)) - half)
        waves = waves[1:] if rng.random() < 0.5 else []
    else:
        edge = np.ones_like(angle)
    for frequency, amplitude, phase in waves:
        turn = frequency * angle + phase
        edge = edge + amplitude * (np.arcsin(np.cos(turn)) * (2 / np.pi) if sharp else np.cos(turn))
    edge = np.maximum(edge, 0.15)
    edge, squeeze = edge / edge.max(), rng.uniform(0.55, 1) if rng.random() < 0.4 else 1.0
    slope = np.gradient(edge, axis=1) ** 2 + np.gradient(edge, axis=0) ** 2
    steep = np.sqrt(1 + np.minimum(slope * (SIDE / (2 * REACH)) ** 2, 8))
    return _squeeze((radius - edge) / steep, squeeze)


def _squeeze(distance: Array, by: float) -> Array:
    """The template with its y axis shortened."""
    rows = np.clip(np.round((np.arange(SIDE) - SIDE / 2 + 0.5) / by + SIDE / 2 - 0.5), 0, SIDE - 1).astype(int)
    return distance[rows]


def _stroke(rng: Generator) -> Array:
    """Distance to one to three curves, each a quadratic Bezier chain, an arc or a Lissajous figure."""
    lines = [_line(rng) for _ in range(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))]
    everything = np.concatenate(lines)
    middle = (everything.max(axis=0) + everything.min(axis=0)) / 2
    size = np.hypot(*(everything - middle).T).max()
    return np.min([_to_line((line - middle) / size) for line in lines], axis=0)


def _line(rng: Generator) -> Array:
    """Points along a curve, (m, 2)."""
    t, kind = np.linspace(0, 1, 17)[:, None], rng.random()
    if kind < 0.3:  # an arc of an ellipse, closed at times
        start, length = rng.uniform(0, 2 * np.pi), rng.choice([rng.uniform(1.5, 5), 2 * np.pi])
        angle = np.linspace(start, start + length, 25)
        axes = rng.uniform(0.3, 1, 2)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1) * axes + rng.uniform(-0.5, 0.5, 2)
    if kind < 0.4:
        angle = np.linspace(0, 2 * np.pi, 49)
        return np.stack(
            [np.sin(rng.integers(1, 4) * angle + rng.uniform(0, 3)), np.sin(rng.integers(1, 4) * angle)], axis=1
        )
    corners = rng.uniform(-1, 1, (int(rng.integers(2, 5)), 2))
    bend = rng.uniform(-0.6, 0.6, (len(corners) - 1, 2)) * (rng.random() < 0.6)
    parts = [
        (1 - t) ** 2 * a + 2 * t * (1 - t) * ((a + b) / 2 + c) + t**2 * b
        for a, b, c in zip(corners, corners[1:], bend, strict=False)
    ]
    return np.concatenate(parts)


def _to_line(points: Array) -> Array:
    """Distance of a template's pixels to the chain through the points (m, 2)."""
    x, y = (part[..., None] for part in np.broadcast_arrays(*_pixels()))
    a, along = points[:-1], np.diff(points, axis=0)
    length = np.maximum((along**2).sum(axis=1), 1e-9)
    t = np.clip(((x - a[:, 0]) * along[:, 0] + (y - a[:, 1]) * along[:, 1]) / length, 0, 1)
    nearest: Array = np.hypot(x - a[:, 0] - t * along[:, 0], y - a[:, 1] - t * along[:, 1]).min(axis=-1)
    return nearest


def _fractal(rng: Generator) -> Array:
    """Distance to the attractor of two to four affine contractions."""
    while True:
        count = int(rng.integers(2, 5))
        maps = rng.uniform(-1, 1, (count, 2, 3))
        stretch = np.linalg.norm(maps[:, :, :2], ord=2, axis=(1, 2))
        maps[:, :, :2] *= (rng.uniform(0.45, 0.85, count) / stretch)[:, None, None]
        points = rng.uniform(-1, 1, (500, 2))
        for _ in range(14):
            chosen = maps[rng.integers(count, size=len(points))]
            points = np.einsum("nij,nj->ni", chosen[:, :, :2], points) + chosen[:, :, 2]
        points -= (points.max(axis=0) + points.min(axis=0)) / 2
        points /= np.hypot(*points.T).max()
        if min(np.ptp(points, axis=0)) > 0.7:  # not a mere line
            x, y = (part.reshape(-1, 1) for part in np.broadcast_arrays(*_pixels()))
            nearest: Array = np.hypot(x - points[:, 0], y - points[:, 1]).min(axis=1).reshape(SIDE, SIDE)
            return nearest


def _texture(rng: Generator) -> tuple[float, ...]:
    """Frequency (cycles an image), its spread, spread of direction, directions, sharpness, rings."""
    spread = float(rng.choice([0.0, 0.0, rng.uniform(0.1, 0.5), np.pi]))
    return (
        rng.uniform(2, 9),
        float(rng.choice([0.0, rng.uniform(0.1, 0.6)])),
        spread,
        float(rng.integers(1, 4)),
        float(rng.choice([0.7, 2.0, 8.0])),
        float(rng.random() < 0.15),
    )


class Draws:
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


def points(at: Array, n: int) -> tuple[Array, Array]:
    """X and y of the pixels of a square, row by row, (n, len(at)**2) each."""
    k = len(at)
    return np.broadcast_to(np.tile(at, k), (n, k * k)), np.broadcast_to(np.repeat(at, k), (n, k * k))
