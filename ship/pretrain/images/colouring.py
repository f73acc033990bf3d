"""Textures, backgrounds and colours of the images that `scenes` composes. Loads no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ship.pretrain.images.formula import Array, Draws, points

WAVES = 6  # in a texture
BRIGHTNESS = np.array([0.3, 0.59, 0.11], np.float32)


def waves(draws: Draws, texture: Array, pixel: Array) -> Array:
    """The texture (n, 6) in [-1, 1] at all pixels, (n, m), in any direction."""
    n = len(texture)
    frequency, spread, fan, directions, sharpness, rings = (part[:, None] for part in texture.T)
    x, y = points(pixel, n)
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


def background(draws: Draws, pattern: Array, pixel: Array, textured: NDArray[np.bool_]) -> Array:
    """Colours (n, m, 3) behind the objects: plain black or white, or a slope, or a faint texture; the texture alone."""
    n = len(pattern)
    first, second, slope = draws.many(3), draws.many(3), draws.many(2) - 0.5
    kind, contrast = draws.take(), draws.between(0.05, 0.4)
    plain = ((kind < 0.5) & ~textured)[:, None]
    first = np.where(plain, (kind[:, None] > 0.35).astype(np.float32), first)
    contrast = np.where(textured, 0.3 + contrast, np.where(kind < 0.8, 0, contrast))
    x, y = points(pixel - 0.5, n)
    light = (slope[:, :1] * x + slope[:, 1:] * y) * ~plain
    # the two colours of a texture differ by 0.3 at least in every channel
    second = np.where(textured[:, None], (first + 0.3 + 0.4 * second) % 1, second)
    mixed = 0.5 * contrast[:, None] * (1 + pattern)
    return (first[:, None] + mixed[..., None] * (second - first)[:, None] + light[..., None]).astype(np.float32)


def colours(draws: Draws, background: Array, count: int) -> Array:
    """Colours (n, count, 3) that differ from the background (n, 3) by 0.3 at least in brightness."""
    n = len(background)
    shared, own = draws.many(3)[:, None], draws.many(3 * count).reshape(n, count, 3)
    colour = np.where((draws.take() < 0.5)[:, None, None], shared, own)
    behind = np.clip(background @ BRIGHTNESS, 0, 1)[:, None, None]
    bright = (colour @ BRIGHTNESS)[..., None]
    wanted = np.where(behind < 0.5, behind + 0.3 + (0.7 - behind) * bright, (behind - 0.3) * bright)
    return np.clip(colour + wanted - bright, 0, 1).astype(np.float32)


def lay(canvas: Array, ink: Array, colour: Array) -> Array:
    """The canvas (n, m, 3) with colours laid over it where there is ink (n, m)."""
    return canvas + ink[..., None] * (colour - canvas)


def finish(draws: Draws, canvas: Array, noise: Array, size: int) -> NDArray[np.uint8]:
    """Pixels (n, size, size, 3): grey at times, under noise."""
    grey = (draws.take() < 0.5)[:, None, None]
    canvas = np.where(grey, (canvas @ BRIGHTNESS)[..., None], canvas)
    canvas = canvas + (0.1 * draws.take() ** 3)[:, None, None] * np.where(grey, noise[..., :1], noise)
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(len(canvas), size, size, 3)
