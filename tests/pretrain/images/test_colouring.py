"""Light makes soft bodies of shapes."""

import numpy as np
import pytest

from ship.pretrain.images.colouring import light
from ship.pretrain.images.draws import Draws, points

MANY, SIZE = 200, 16


@pytest.fixture(scope="module")
def disc():
    """The distance to a disc of radius 1 on 4 x 4, and the light on it in many images, (MANY, SIZE, SIZE)."""
    x, y = points((np.arange(SIZE, dtype=np.float32) + 0.5) / (SIZE / 4) - 2, MANY)
    distance = np.hypot(x, y) - 1
    draws = Draws(np.random.default_rng(0).random((MANY, 8), dtype=np.float32))
    added = light(draws, distance, np.full_like(distance, SIZE / 4))
    return distance.reshape(-1, SIZE, SIZE), added.reshape(-1, SIZE, SIZE)


def test_some_shapes_are_lit(disc):
    """The others keep one brightness; none turns black or twice as bright."""
    changed = np.abs(disc[1]).max(axis=(1, 2))
    assert 0.2 < (changed > 0.01).mean() < 0.4
    assert changed.max() < 1


def test_light_comes_from_a_side(disc):
    """What one point of the contour has more than the mean of both, the opposite one has less, from any side."""
    added = disc[1]
    side = (added - added[:, ::-1, ::-1])[:, SIZE // 2, 3 * SIZE // 4 - 1]
    assert (side > 0.05).any()
    assert (side < -0.05).any()
    np.testing.assert_allclose(added + added[:, ::-1, ::-1], np.flip(added + added[:, ::-1, ::-1], axis=1), atol=1e-4)


def test_no_light_deep_inside(disc):
    """A body is flat where it is deep."""
    distance, added = disc
    assert (added[distance < -0.6] == 0).all()
