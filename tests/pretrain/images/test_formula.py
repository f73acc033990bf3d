"""Images made by formulas are a pure function of their index, and their labels say what is in them."""

import numpy as np
import pytest

from ship.pretrain.images.formula import REACH, SIDE, formulas
from ship.pretrain.images.scenes import INK, PLACE, paint


@pytest.fixture(scope="module")
def made():
    return formulas(contours=4, strokes=3, fractals=1, textures=2, seed=0)


def images(made, **changes):
    return paint(made, **{"seed": 0, "start": 0, "count": 40, "size": 28, "grid": 7} | changes)


def test_shapes_and_types(made):
    """Pixels are uint8 RGB; every image has two categories, and every patch its place and its ink."""
    pixels, category, place, ink = images(made)
    assert (pixels.shape, pixels.dtype) == ((40, 28, 28, 3), np.uint8)
    assert category.shape == (40, 2)
    assert set(np.unique(category)) <= set(range(made.categories))
    assert place.shape == (40, 49, PLACE)
    assert np.isfinite(place).all()
    assert ink.shape == (40, 49, INK)
    assert ((ink >= 0) & (ink <= 1)).all()


@pytest.mark.parametrize(("start", "count"), [(0, 40), (17, 1), (5, 130)])
def test_an_image_depends_on_its_index_alone(made, start, count):
    """Any part of the stream is the same whether it is painted alone, or with others before and after."""
    whole = images(made, count=140)
    for part, all_of_it in zip(images(made, start=start, count=count), whole, strict=True):
        np.testing.assert_array_equal(part, all_of_it[start : start + count])


def test_another_seed_gives_other_images(made):
    """The seed of the stream changes what is painted."""
    assert (images(made, seed=1).pixels != images(made).pixels).mean() > 0.5


def test_a_category_is_the_same_among_more(made):
    """Category k of a family does not depend on how many there are."""
    more = formulas(contours=6, strokes=5, fractals=2, textures=3, seed=0)
    np.testing.assert_array_equal(more.distance[:4], made.distance[:4])
    np.testing.assert_array_equal(more.distance[6:9], made.distance[4:7])
    np.testing.assert_array_equal(more.texture[:2], made.texture)


def test_templates_lie_in_the_unit_disc(made):
    """What is drawn stays inside the template, so nothing is cut at its border; a contour has an inside."""
    x = np.linspace(-REACH, REACH, SIDE)
    outside = np.hypot(x[None], x[:, None]) > 1.15
    assert (made.distance[:, outside] > 0).all()
    assert (made.distance[made.filled].min(axis=(1, 2)) < -0.1).all()
    assert (made.distance[~made.filled] >= 0).all()


def test_the_place_points_at_the_object(made):
    """The patches' offsets of an object that is alone meet in one point, where its ink is centred."""
    _, category, place, ink = images(made, count=400)
    at = (np.arange(7) + 0.5) / 7
    x, y = np.tile(at, 7), np.repeat(at, 7)
    met = (place[..., 0] == 1).all(axis=1) & (np.ptp(x + place[..., 1], axis=1) < 1e-4) & (category < 4).all(axis=1)
    covered = ink.mean(axis=-1)[met]
    middle = np.stack([(covered * x).sum(axis=1), (covered * y).sum(axis=1)], axis=1) / covered.sum(axis=1)[:, None]
    told = np.stack([x + place[met, :, 1], y + place[met, :, 2]], axis=-1)[:, 0]
    assert met.sum() > 50
    assert np.median(np.abs(middle - told)) < 0.03


def test_ink_tells_objects_from_the_background(made):
    """Where there is no ink there is background: most patches of most images have none, some are full."""
    _, category, _, ink = images(made, count=400)
    shapes = ink[(category < len(made.distance)).all(axis=1)]
    assert 0.3 < (shapes == 0).mean() < 0.9
    assert (shapes > 0.9).mean() > 0.02


def test_textures_fill_the_image(made):
    """A textured image belongs to no object."""
    _, category, place, _ = images(made, count=400)
    textured = category[:, 0] >= len(made.distance)
    assert 0.05 < textured.mean() < 0.2
    assert (place[textured, :, 0] == 0).all()


def test_half_the_images_are_grey(made):
    """Colour is no constant cue."""
    pixels = images(made, count=400).pixels.astype(int)
    grey = (np.ptp(pixels, axis=-1) <= 1).all(axis=(1, 2))
    assert 0.4 < grey.mean() < 0.65
