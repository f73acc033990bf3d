import numpy as np
import pytest

from ship.data.decoding import rgb
from ship.data.sources import builtin, painting
from ship.data.tasks import TASKS
from ship.errors import BadInput
from ship.experiment.params import Task

SMALL = Task(train=20, val=5, test=7)


def test_table_and_painters_agree():
    """Every built-in task of TASKS is made, with as many classes as the table says."""
    made = {name for name, info in TASKS.items() if info.builtin}
    assert made == {*builtin.PAINTERS, "digits"}
    for name in made:
        assert len(set(builtin.class_names(name))) == TASKS[name].classes


def test_unknown_task_is_refused_with_a_hint():
    """A typo gets the nearest name."""
    with pytest.raises(BadInput, match=r"tasks.texture: .* got 'texture' \(did you mean 'textures'\?\)"):
        builtin.class_names("texture")


@pytest.mark.parametrize("name", builtin.PAINTERS)
def test_drawing_is_a_pure_function(name):
    """The same seed gives the same bytes; another seed, split or index another image."""
    assert builtin.drawn(name, SMALL) == builtin.drawn(name, SMALL)
    images = {one.image for split in builtin.drawn(name, SMALL).values() for one in split}
    others = {
        one.image for split in builtin.drawn(name, Task(train=20, val=5, test=7, seed=1)).values() for one in split
    }
    assert len(images) == len(others) == 32
    assert not images & others


@pytest.mark.parametrize("name", builtin.PAINTERS)
def test_longer_split_begins_with_the_shorter_one(name):
    """An image does not depend on how many there are."""
    short = builtin.labels_of(name, 13, seed=0, split="train")
    assert np.array_equal(builtin.labels_of(name, 50, seed=0, split="train")[:13], short)


@pytest.mark.parametrize("name", builtin.PAINTERS)
def test_classes_are_balanced(name):
    """No class has more than one image more than another."""
    counts = np.bincount(builtin.labels_of(name, 100, seed=3, split="val"), minlength=TASKS[name].classes)
    assert counts.max() - counts.min() <= 1


def test_digits_are_all_there():
    """1,797 real digits, of which the darkest and the brightest shade are 0 and 255."""
    digits = builtin.digits()
    assert len(digits) == 1797
    image = np.asarray(rgb(digits[0].image))
    assert image.shape == (8, 8, 3)
    assert (image.min(), max(np.asarray(rgb(one.image)).max() for one in digits)) == (0, 255)


def test_sprite_location_is_the_position():
    """The centre of a sprite's mass moves right by two of 32 positions a class."""
    for label in range(16):
        for index in range(6):
            image = builtin.draw("sprite_location", label, seed=0, split="train", index=index).astype(float)
            assert image.min() == 0
            assert image.max() == 255
            middle = (image.sum(axis=0) * (np.arange(64) + 0.5)).sum() / image.sum()
            # the mass of a heart lies up to 2 px off its centre
            assert abs(middle - (16 + 32 * (2 * label + 0.5) / 31)) < 0.6 + 2.1


def test_sprite_orientation_is_the_turn():
    """The long axis of an ellipse has the direction that its class says."""
    for label in range(16):
        turn = next(t for t in range(40) if t * 16 // 40 == label)
        angle = 2 * np.pi * turn / 39
        y, x = np.nonzero(painting.cover("ellipse", 32, 32, 14, angle) > 0.5)
        values, vectors = np.linalg.eigh(np.cov(x, y))
        axis = vectors[:, values.argmax()]
        assert abs(axis @ [np.cos(angle), np.sin(angle)]) > 0.99


def test_cover_is_the_area():
    """Coverage adds up to the area of the shape, wherever the window is cut by the border or not."""
    disc = painting.cover("disc", 30.3, 31.8, 10, 0)
    assert disc.sum() == pytest.approx(0.85 * np.pi * 100, rel=0.01)
    assert painting.cover("disc", 0, 31.8, 10, 0).sum() == pytest.approx(disc.sum() / 2, rel=0.02)


def test_counted_shapes_lie_apart():
    """Shapes lie inside the image, and their discs overlap by a tenth at most, so that each can be counted."""
    for seed in range(20):
        places = np.array(painting.scatter(np.random.default_rng(seed), 10))
        middle, radius = places[:, :2], places[:, 2]
        assert ((middle - radius[:, None] > 0) & (middle + radius[:, None] < 64)).all()
        distance = np.linalg.norm(middle[:, None] - middle, axis=-1) + 99 * np.eye(10)
        assert (distance >= 0.9 * (radius[:, None] + radius)).all()


def test_tumour_is_darker_in_the_middle():
    """The classes of `tissue` differ where they should, on average, and not in a corner."""
    means = [
        np.mean([builtin.draw("tissue", label, seed=0, split="train", index=i) for i in range(60)], axis=0)
        for label in (0, 1)
    ]
    assert means[0][20:44, 20:44].mean() > means[1][20:44, 20:44].mean() + 3
    assert abs(means[0][:10].mean() - means[1][:10].mean()) < 8
