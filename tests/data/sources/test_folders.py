from itertools import chain

import pytest

from ship.data.sources.folders import folder
from ship.errors import BadInput
from ship.experiment.params import Task

FOLDER = Task(source="folder", path="pets", train=9, val=3)


def keys(listing):
    return {split: [item.key for item in items] for split, items in listing.splits.items()}


def test_folder_splits_its_classes(classes):
    """Sub-folders in alphabetical order are the classes; sizes are exact and every image is used once."""
    (classes / "cat" / "notes.txt").write_text("no image")
    (classes / ".cache").mkdir()
    listing = folder("mine", FOLDER, classes, "pets")
    assert listing.classes == ["cat", "dog"]
    assert {split: len(rows) for split, rows in keys(listing).items()} == {"train": 9, "val": 3, "test": 6}
    assert sorted(chain(*keys(listing).values())) == sorted(
        p.relative_to(classes).as_posix() for p in classes.glob("*/*.png")
    )
    assert [sum(item.label for item in part) for part in listing.splits.values()] == [3, 1, 2]


def test_split_follows_from_the_seed(classes):
    """The same seed gives the same split, another one another."""
    first, again = (keys(folder("mine", FOLDER, classes, "pets")) for _ in range(2))
    other = keys(folder("mine", FOLDER.model_copy(update={"seed": 1}), classes, "pets"))
    assert first == again != other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": 15}, r"tasks.mine: expected at least 19 images \(train 15, val 3, test 1\), got 18"),
        ({"test": 7}, r"tasks.mine: expected at least 19 images"),
        ({"classes": 3}, r"pets: expected 3 classes, got 2: cat, dog"),
        ({"train": 1, "val": 1}, r"got 6 of the class 'dog', of which none falls into train"),
    ],
)
def test_folder_that_does_not_fit(classes, change, message):
    """Too few images and another number of classes are refused."""
    with pytest.raises(BadInput, match=message):
        folder("mine", FOLDER.model_copy(update=change), classes, "pets")


def test_empty_class_is_refused_by_name(classes):
    """A sub-folder without images is a mistake, not a class."""
    (classes / "emu").mkdir()
    with pytest.raises(BadInput, match=r"pets/emu: expected images of the class 'emu', got an empty class"):
        folder("mine", FOLDER, classes, "pets")


def test_folder_without_classes_is_refused(tmp_path, put):
    """Images that lie in one folder have no labels."""
    with pytest.raises(BadInput, match="expected one sub-folder for each of two or more classes, got 0"):
        folder("mine", FOLDER, put(tmp_path, "a.png"), "pets")


def own_splits(tmp_path, put, *, val=True):
    """A folder with a folder a split: 8, 4 and 6 images of two classes."""
    parts = {"train": 8, "val": 4, "test": 6} if val else {"train": 12, "test": 6}
    names = [f"{part}/{('cat', 'dog')[n % 2]}/{n}.png" for part, count in parts.items() for n in range(count)]
    return put(tmp_path / "pets", *names)


def test_a_folder_may_have_splits_of_its_own(tmp_path, put):
    """They are used whole, and never pass for classes."""
    listing = folder("mine", Task(source="folder", path="pets"), own_splits(tmp_path, put), "pets")
    assert listing.classes == ["cat", "dog"]
    assert {part: len(items) for part, items in listing.splits.items()} == {"train": 8, "val": 4, "test": 6}
    assert all(item.key.startswith(f"{part}/") for part, items in listing.splits.items() for item in items)
    assert {item.key.split("/")[1] for item in listing.splits["test"] if item.label == 1} == {"dog"}


def test_val_is_set_apart_from_train_where_there_is_none(tmp_path, put):
    """As many as the task says, in proportion; the rest is trained on."""
    task = Task(source="folder", path="pets", val=4)
    listing = folder("mine", task, own_splits(tmp_path, put, val=False), "pets")
    assert {part: len(items) for part, items in listing.splits.items()} == {"train": 8, "val": 4, "test": 6}
    assert sum(item.label for item in listing.splits["val"]) == 2
    assert len({item.key for items in listing.splits.values() for item in items}) == 18


@pytest.mark.parametrize(
    ("paths", "settings", "message"),
    [
        (["train/cat/a.png", "valid/cat/a.png"], {}, "pets: expected one sub-folder per class, or train, test and"),
        (["train/cat/a.png", "train/dog/a.png"], {}, "pets: expected one sub-folder per class, or train, test and"),
        (["TRAIN/cat/a.png", "TEST/cat/a.png"], {}, "pets: expected one sub-folder per class, or train, test and"),
        (["test/cat/a.png", "other/cat/b.png"], {}, "pets: expected one sub-folder per class, or train, test and"),
        (["test/a.png"], {}, "pets/test: expected images in a sub-folder for each class, got none"),
        (["test/cat/a.png", "train/cat/3.png", "train/dog/4.png"], {"val": 3}, "of which none falls into train"),
        (["test/emu/a.png"], {}, "pets/test/emu: expected a class of pets/train, got another"),
        (["test/cat/a.png"], {"train": 800}, "tasks.mine.train: expected no size, since pets/train is used whole"),
        (["test/cat/a.png"], {"val": 2}, "tasks.mine.val: expected fewer than the 2 of pets/train, got 2"),
    ],
)
def test_splits_that_do_not_fit(tmp_path, put, paths, settings, message):
    """Other names, no test, a class that is not trained on, sizes that are not asked for."""
    root = put(tmp_path / "pets", "train/cat/1.png", "train/dog/2.png", *paths)
    with pytest.raises(BadInput, match=message):
        folder("mine", Task(source="folder", path="pets", **settings), root, "pets")
