import logging

import numpy as np
import pytest

from ship.data.sources.splits import Item, split
from ship.data.sources.strata import grouped, stratified
from ship.errors import BadInput
from ship.experiment.params import Task


@pytest.mark.parametrize("seed", range(5))
def test_stratified_split(seed):
    """Parts are disjoint, exactly as large as asked for, and every class is within one image of its share of train."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(7, size=600, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    sizes = (rng.integers(50, 300), rng.integers(20, 100), rng.integers(1, 200))
    parts = stratified(labels, sizes, 7, seed)
    assert [len(part) for part in parts] == list(sizes)
    assert len(set(np.concatenate(parts).tolist())) == sum(sizes)
    share = sizes[0] * np.bincount(labels, minlength=7) / 600
    assert abs(np.bincount(labels[parts[0]], minlength=7) - share).max() < 1
    assert all((np.diff(part) > 0).all() for part in parts)


def test_every_class_is_drawn_by_itself():
    """Not the same places of each, and whatever images the others have."""
    labels = np.repeat([0, 1], 50)
    (part,) = stratified(labels, [50], 2, 0)
    first, second = (part[labels[part] == label].tolist() for label in (0, 1))
    assert first != [row - 50 for row in second]
    (more,) = stratified(np.repeat([0, 1], [50, 90]), [70], 2, 0)
    assert more[more < 50].tolist() == first


def items(counts, group=lambda number: ""):
    """Images of classes 0, 1 ... as many as `counts` say."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return [Item(f"{n}.png", label, f"{n}.png", b"", group(n)) for n, label in enumerate(labels)]


def sizes(counts, seed=0, group=lambda number: "", **settings):
    """Images of each split and class."""
    task = Task(**{"source": "folder", "path": ".", "seed": seed, **settings})
    found = split("mine", task, items(counts, group), [str(label) for label in range(len(counts))])
    return {part: np.bincount([one.label for one in rows], minlength=len(counts)) for part, rows in found.items()}


SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("counts", [[5] * 5, [950, 50], [500, 2, 2], [3, 100, 7, 5, 5], [2, 2, 2, 20]])
def test_shares_use_all_images_with_every_class_in_train_and_test(counts, seed):
    """From five images a class, and for rare classes from two."""
    found = sizes(counts, seed, **SHARES)
    assert sum(found.values()).tolist() == counts
    assert (found["train"] > 0).all()
    assert (found["test"] > 0).all()
    assert abs(found["train"].sum() - 0.7 * sum(counts)) <= 1


def test_a_rare_class_gets_a_training_image():
    """Where sizes are numbers, too; largest remainders alone would give it none."""
    found = sizes([500, 2, 2, 2], train=100, val=50)
    assert found["train"].min() == 1
    assert [part.sum() for part in found.values()] == [100, 50, 356]


def test_a_rare_class_trains_on_all_that_val_and_test_can_spare():
    """Each of these has one image of it."""
    assert [part[0] for part in sizes([4, 96], **SHARES).values()] == [2, 1, 1]


def test_all_classes_without_training_images_are_named():
    """With the size that would do, where there are enough images for it."""
    lower = r"got 5 of the class .*; got 5 .* \(lower val and test so that 8 or more are left for train, or add"
    with pytest.raises(BadInput, match=lower):
        sizes([5] * 8, train=3, val=2)
    with pytest.raises(
        BadInput, match=r"got 1 of the class '1', .*; got 1 of the class '2', .* \(2 in all\) \(add images\)$"
    ):
        sizes([1] * 3, train=0.4, val=0.3, test=0.3)


@pytest.mark.parametrize(
    ("settings", "way_out"),
    [
        ({}, "(train 800 and val 200 are the defaults; shares work, too, such as tasks.mine.train=0.7)"),
        ({"train": 0.7}, "(val 200 is the default; shares work, too, such as tasks.mine.val=0.1)"),
        ({"train": 15}, "(val 200 is the default; shares work, too, such as tasks.mine.val=0.1)"),
        ({"train": 15, "val": 5}, "(lower train, val or test)"),
        ({"train": 0.9, "val": 5}, "(lower train, val or test)"),
    ],
)
def test_sizes_that_nobody_has_written_are_called_defaults(settings, way_out):
    """Who has 20 images wonders where 800 come from."""
    with pytest.raises(BadInput, match=r"tasks.mine: expected at least \d+ images \(train \d+, .* got 20") as error:
        sizes([10, 10], **settings)
    assert str(error.value).endswith(way_out)


def test_images_in_no_split_are_told(caplog):
    """Shares that make up the whole leave none."""
    with caplog.at_level(logging.INFO):
        sizes([10, 10], train=10, val=3, test=4)
        sizes([10, 10], train=0.7, val=0.1, test=0.2)
    assert [record.getMessage() for record in caplog.records] == [
        "tasks.mine: 3 of 20 images are in no split (train 10, val 3, test 4)"
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_group_stays_on_one_side(seed):
    """Sizes and proportions are near what is asked for; groups may hold several classes."""
    numbers = np.random.default_rng(seed).integers(0, 40, 400)
    task = Task(source="csv", path=".", seed=seed, **SHARES)
    found = split("mine", task, items([250, 150], lambda n: f"patient {numbers[n]}"), ["a", "b"])
    groups = {part: {one.group for one in rows} for part, rows in found.items()}
    assert not groups["train"] & groups["val"] | groups["train"] & groups["test"] | groups["val"] & groups["test"]
    assert sum(map(len, found.values())) == 400
    assert abs(len(found["train"]) - 280) < 30
    assert abs(np.mean([one.label for one in found["train"]]) - 150 / 400) < 0.06


def test_groups_follow_from_the_seed():
    """As images without groups do."""
    found = [
        split("mine", Task(source="csv", path=".", seed=seed, **SHARES), items([40, 40], lambda n: f"{n // 4}"), "ab")
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("seed", range(5))
def test_groups_and_copies_hold_each_other_together(seed):
    """A copy in another group brings that group along, and its copies, and so on."""
    rng = np.random.default_rng(seed)
    marks = zip(rng.integers(0, 150, 200), rng.integers(0, 250, 200), strict=True)
    whole = [
        one._replace(group=f"patient {group}", digest=bytes([copy]))
        for one, (group, copy) in zip(items([100, 100]), marks, strict=True)
    ]
    found = split("mine", Task(source="csv", path=".", **SHARES), whole, ["a", "b"])
    for mark in ("group", "digest"):
        held = [{getattr(one, mark) for one in rows} for rows in found.values()]
        assert sum(map(len, held)) == len(set.union(*held))


def test_too_few_groups_are_refused():
    """Two groups make no three splits."""
    with pytest.raises(BadInput, match="expected enough groups for train, val, test, got none left for"):
        sizes([10, 10], group=lambda n: str(n % 2), **SHARES)


def test_units_of_one_image_are_split_exactly():
    """As many as asked for of each class."""
    labels = np.repeat([0, 1], [60, 40])
    parts = grouped(labels, np.arange(100), (50, 20, 30), 2, 0)
    assert [len(part) for part in parts] == [50, 20, 30]
    assert [int(labels[part].sum()) for part in parts] == [20, 8, 12]


def test_units_of_one_image_fill_up_what_large_ones_leave():
    """These go first, so that sizes are exact."""
    units = np.concatenate([np.repeat([0, 1], [15, 10]), np.arange(2, 77)])
    assert [len(part) for part in grouped(np.zeros(100, np.int64), units, (70, 10, 20), 1, 0)] == [70, 10, 20]


@pytest.mark.parametrize("seed", range(4))
def test_a_rare_class_is_nearest_to_its_shares(seed):
    """An image more or less is much to it."""
    labels, units = np.repeat([0, 1, 2], [900, 60, 40]), np.random.default_rng(seed).permutation(1000) // 3
    parts = grouped(labels, units, (700, 100, 200), 3, seed)
    counts = np.stack([np.bincount(labels[part], minlength=3) for part in parts])
    assert counts[:, 1:].tolist() == [[42, 28], [6, 4], [12, 8]]
    assert abs(counts[:, 0] - [630, 90, 180]).max() <= 1
