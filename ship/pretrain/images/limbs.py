"""Bodies with limbs: a round middle, from which some limbs of a fan stick out, on an arm at times. Loads no torch."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from ship.pretrain.images.draws import Array

PLAN = 8  # categories in a row share a plan: they differ in which of its limbs stick out
POSES = 8  # templates of a category: they differ in how the limbs are held
BLEND = 0.03  # width of the joints, in radii
CREASE = 0.04  # how deep, in radii, the outline of a limb that lies on the body is taken to be


def body(x: Array, y: Array, plan: Generator, which: int, pose: Generator) -> Array:
    """Distance of the points x (1, m), y (m, 1) to a body with the limbs of choice `which` of a plan.

    It lies in the unit disc but for its arm. Where limbs are folded onto it, their outlines are creases in the depth.
    """
    parts, folds, arm = _parts(plan, which, pose)
    low, high = (np.concatenate([part[:, :2] + sign * part[:, 2:] for part in parts]) for sign in (-1, 1))
    at = (low.min(axis=0) + high.max(axis=0)) / 2
    size = max((np.hypot(*(part[:, :2] - at).T) + part[:, 2]).max() for part in parts)
    near, lying = ([_distance(x, y, (part - [*at, 0]) / size) for part in some] for some in (parts + arm, folds))
    joined: Array = -BLEND * np.log(np.exp(-np.stack(near) / BLEND).sum(axis=0))
    for distance in lying:
        joined = np.maximum(joined, -CREASE - abs(distance))
    return joined


def _parts(plan: Generator, which: int, pose: Generator) -> tuple[list[Array], list[Array], list[Array]]:
    """The limbs and the middle; the limbs that are folded onto it, whose knuckles are limbs, too; the arm, if any."""
    count = int(plan.integers(3, 7))
    fan = np.linspace(-1, 1, count) * plan.uniform(0.6, 1.6) + plan.normal(0, 0.12, count) + plan.normal(0, 0.2)
    long, wide = plan.uniform(0.5, 1.0, count), plan.uniform(0.1, 0.17) * plan.uniform(0.85, 1.15, count)
    middle, tall, spread = plan.uniform(0.34, 0.5), plan.uniform(0, 0.3), plan.uniform(0.4, 1.0)
    armed, out = plan.random() < 0.7, plan.permutation(2**count)[which] >> np.arange(count) & 1
    fan = fan * pose.uniform(0.8, 1.2) + pose.normal(0, 0.07, count)
    long = np.where(out, long * pose.uniform(0.8, 1.2), pose.uniform(0.05, 0.3, count)) + 0.1
    wide = wide * np.exp(pose.normal(0, 0.12))
    rim, bend = 0.75 * middle * _towards(fan), pose.normal(0, 0.1, count)
    parts = [_limb(*limb) for limb in zip(rim, fan * spread, long, wide, bend, strict=True)]
    parts.append(_limb(np.zeros(2), np.pi, tall, middle, 0.0))
    back, folded = fan + np.pi + pose.normal(0, 0.4, count), (pose.random(count) < 0.8) & (out == 0)
    folds = [
        _limb(1.2 * rim[i], back[i], middle * pose.uniform(0.7, 1.3), wide[i], bend[i]) for i in folded.nonzero()[0]
    ]
    arm = _limb(np.zeros(2), np.pi + pose.normal(0, 0.3), 2.5, middle * pose.uniform(0.5, 0.9), 0.0)
    return parts, folds, [arm] if armed else []


def _towards(angle: Array | float) -> Array:
    """Steps of length 1 in directions from upwards to the right, (..., 2)."""
    return np.stack([np.sin(angle), -np.cos(angle)], axis=-1)


def _limb(start: Array, angle: float, length: float, width: float, bend: float) -> Array:
    """Discs (3, 3) at start, middle and end of a bent limb: x, y, radius."""
    t = np.array([[0.0], [0.5], [1.0]])
    middles = start + length * (t * _towards(angle) + bend * t**2 * _towards(angle + np.pi / 2))
    return np.concatenate([middles, width * (1 - 0.2 * t)], axis=1)


def _distance(x: Array, y: Array, discs: Array) -> Array:
    """To the discs and what lies between neighbours, (m, m)."""
    near = []
    for (left, top, radius), (right, down, growth) in zip(discs, np.diff(discs, axis=0), strict=False):
        t = np.clip(((x - left) * right + (y - top) * down) / (right**2 + down**2 + 1e-9), 0, 1)
        near.append(np.hypot(x - left - t * right, y - top - t * down) - radius - t * growth)
    return np.minimum(*near)
