from itertools import chain

import numpy as np
import pytest

from ship.config import Task
from ship.data import formats
from ship.data.listing import stratified
from ship.errors import BadInput

VTAB = Task(source="vtab", path="vtab")
FOLDER = Task(source="folder", path="pets", train=9, val=3)
CSV = Task(source="csv", path="list.csv", train=4, val=2)


def keys(listing):
    return {split: [item.key for item in items] for split, items in listing.splits.items()}


def test_vtab_keeps_the_order_of_its_lists(vtab):
    """Rows stand as in the files; a path may hold spaces."""
    listing = formats.vtab("mine", VTAB, vtab, "vtab")
    assert keys(listing)["val"] == [f"images/a picture {n}.png" for n in range(8, 12)]
    assert [item.label for item in listing.splits["test"]] == [0, 1] * 3
    assert listing.classes == ["0", "1"]


def test_vtab_needs_no_union(vtab):
    """train800val200.txt is compared where it is there."""
    (vtab / "train800val200.txt").unlink()
    assert len(formats.vtab("mine", VTAB, vtab, "vtab").splits["train"]) == 8


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("train800.txt", "images/none.png 0", r"vtab/train800.txt:9: expected the image images/none.png, found none"),
        ("train800.txt", "images/a picture 1.png -1", r"train800.txt:9: expected every image once, got .*:2\)"),
        ("val200.txt", "images/a picture 1.png 1", r"val200.txt:5: expected every image once, got images/a picture 1"),
        (
            "test.txt",
            "images/a picture 8.png 1",
            r"test.txt:7: expected every image once, .*first in vtab/val200.txt:1",
        ),
        ("test.txt", "images/./a picture 8.png 1", r"test.txt:7: expected every image once"),
        (
            "test.txt",
            "../secret.png 1",
            r"test.txt:7: expected a path below the folder of the list, got '../secret.png'",
        ),
        ("test.txt", "/secret.png 1", r"test.txt:7: expected a path below the folder"),
        ("test.txt", "images/extra.png 1.5", r"test.txt:7: expected 'path label' with an integer label, got '.* 1.5'"),
        ("test.txt", "images/extra.png", r"test.txt:7: expected 'path label'"),
        ("test.txt", "images/extra.png -1", r"test.txt:7: expected a label from 0 to 1, got -1"),
        ("test.txt", "images/extra.png 2", r"test.txt:7: expected a label from 0 to 1, got 2"),
        (
            "train800val200.txt",
            "images/extra.png 1",
            r"train800val200.txt: expected the lines of .* 'images/extra.png 1'",
        ),
        ("train800.txt", "images/extra.png 1", r"train800val200.txt: expected the lines of .* 'images/extra.png 1'"),
    ],
)
def test_bad_line_is_refused_with_its_number(vtab, put, file, line, message):
    """Errors name file and line."""
    put(vtab, "images/extra.png")
    with (vtab / file).open("a") as target:
        target.write(line + "\n")
    with pytest.raises(BadInput, match=message):
        formats.vtab("mine", VTAB.model_copy(update={"classes": 2}), vtab, "vtab")


def test_negative_label_is_refused_without_a_number_of_classes(vtab):
    """Counting classes does not accept what is below 0."""
    lines = (vtab / "test.txt").read_text().replace("12.png 0", "12.png -3")
    (vtab / "test.txt").write_text(lines)
    with pytest.raises(BadInput, match=r"test.txt:1: expected a label of 0 or more, got -3"):
        formats.vtab("mine", VTAB, vtab, "vtab")


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_list_must_be_there(vtab, text):
    """An absent or empty list is refused."""
    (vtab / "val200.txt").unlink() if text is None else (vtab / "val200.txt").write_text(text)
    with pytest.raises(BadInput, match=r"vtab/val200.txt: expected .*'path label'"):
        formats.vtab("mine", VTAB, vtab, "vtab")


def test_published_task_knows_its_classes(vtab):
    """A VTAB-1k task has its published classes, even those that its draw misses."""
    listing = formats.vtab("sun397", VTAB, vtab, "vtab")
    assert len(listing.classes) == 397
    assert listing.holes


def test_folder_splits_its_classes(classes):
    """Sub-folders in alphabetical order are the classes; sizes are exact and every image is used once."""
    (classes / "cat" / "notes.txt").write_text("no image")
    (classes / ".cache").mkdir()
    listing = formats.folder("mine", FOLDER, classes, "pets")
    assert listing.classes == ["cat", "dog"]
    assert {split: len(rows) for split, rows in keys(listing).items()} == {"train": 9, "val": 3, "test": 6}
    assert sorted(chain(*keys(listing).values())) == sorted(
        p.relative_to(classes).as_posix() for p in classes.glob("*/*.png")
    )
    assert [sum(item.label for item in part) for part in listing.splits.values()] == [3, 1, 2]


def test_split_follows_from_the_seed(classes):
    """The same seed gives the same split, another one another."""
    first, again = (keys(formats.folder("mine", FOLDER, classes, "pets")) for _ in range(2))
    other = keys(formats.folder("mine", FOLDER.model_copy(update={"seed": 1}), classes, "pets"))
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
        formats.folder("mine", FOLDER.model_copy(update=change), classes, "pets")


def test_empty_class_is_refused_by_name(classes):
    """A sub-folder without images is a mistake, not a class."""
    (classes / "emu").mkdir()
    with pytest.raises(BadInput, match=r"pets/emu: expected images of the class 'emu', got an empty class"):
        formats.folder("mine", FOLDER, classes, "pets")


def test_folder_without_classes_is_refused(tmp_path, put):
    """Images that lie in one folder have no labels."""
    with pytest.raises(BadInput, match="expected a sub-folder for each of two or more classes, got 0"):
        formats.folder("mine", FOLDER, put(tmp_path, "a.png"), "pets")


def own_splits(tmp_path, put, *, val=True):
    """A folder with a folder a split: 8, 4 and 6 images of two classes."""
    parts = {"train": 8, "val": 4, "test": 6} if val else {"train": 12, "test": 6}
    names = [f"{part}/{('cat', 'dog')[n % 2]}/{n}.png" for part, count in parts.items() for n in range(count)]
    return put(tmp_path / "pets", *names)


def test_a_folder_may_have_splits_of_its_own(tmp_path, put):
    """They are used whole, and never pass for classes."""
    listing = formats.folder("mine", Task(source="folder", path="pets"), own_splits(tmp_path, put), "pets")
    assert listing.classes == ["cat", "dog"]
    assert {part: len(items) for part, items in listing.splits.items()} == {"train": 8, "val": 4, "test": 6}
    assert all(item.key.startswith(f"{part}/") for part, items in listing.splits.items() for item in items)
    assert {item.key.split("/")[1] for item in listing.splits["test"] if item.label == 1} == {"dog"}


def test_val_is_set_apart_from_train_where_there_is_none(tmp_path, put):
    """As many as the task says, in proportion; the rest is trained on."""
    task = Task(source="folder", path="pets", val=4)
    listing = formats.folder("mine", task, own_splits(tmp_path, put, val=False), "pets")
    assert {part: len(items) for part, items in listing.splits.items()} == {"train": 8, "val": 4, "test": 6}
    assert sum(item.label for item in listing.splits["val"]) == 2
    assert len({item.key for items in listing.splits.values() for item in items}) == 18


@pytest.mark.parametrize(
    ("paths", "settings", "message"),
    [
        (["train/cat/a.png", "valid/cat/a.png"], {}, "pets: expected a sub-folder a class, or train, test and"),
        (["train/cat/a.png", "train/dog/a.png"], {}, "pets: expected a sub-folder a class, or train, test and"),
        (["TRAIN/cat/a.png", "TEST/cat/a.png"], {}, "pets: expected a sub-folder a class, or train, test and"),
        (["test/cat/a.png", "other/cat/b.png"], {}, "pets: expected a sub-folder a class, or train, test and"),
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
        formats.folder("mine", Task(source="folder", path="pets", **settings), root, "pets")


def table(tmp_path, put, labels, header="path,label"):
    put(tmp_path, *(f"{n}.png" for n in range(len(labels))))
    rows = [header, *(f"{n}.png,{label}" for n, label in enumerate(labels))]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n", encoding="utf-8-sig")
    return formats.table("mine", CSV, tmp_path / "list.csv", "list.csv")


def test_csv_names_become_classes(tmp_path, put):
    """Text labels are numbered in alphabetical order."""
    listing = table(tmp_path, put, ["dog", "cat"] * 4)
    assert listing.classes == ["cat", "dog"]
    assert {item.key: item.label for part in listing.splits.values() for item in part}["0.png"] == 1


def test_csv_integers_stay(tmp_path, put):
    """Integer labels keep their value."""
    listing = table(tmp_path, put, [1, 0, 2] * 4)
    assert listing.classes == ["0", "1", "2"]
    assert all(item.label == (1, 0, 2)[int(item.key[:-4]) % 3] for part in listing.splits.values() for item in part)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, "cat"], r"list.csv:4: expected an integer as the label, as in the lines before, got 'cat'"),
        (["cat", "dog", 7], r"list.csv:4: expected a name as the label, as in the lines before, got '7'"),
        ([1, 2, 5], r"list.csv: expected names, or integers from 0 without a gap, as labels, got no 0"),
        ([0, 2, 2], r"list.csv: expected names, or integers from 0 without a gap, as labels, got no 1"),
        ([0, 1, -1], r"list.csv:4: expected a label of 0 or more, got -1"),
        ([0, ""], r"list.csv:3: expected a path and a label, got '1.png,'"),
        ([0, "1,2"], r"list.csv:3: expected a path and a label"),
        ([0, '"'], r"list.csv:3: expected CSV, got"),
        ([], r"list.csv: expected rows below the header"),
    ],
)
def test_bad_csv_row_is_refused_with_its_number(tmp_path, put, labels, message):
    """Errors name file and line."""
    with pytest.raises(BadInput, match=message):
        table(tmp_path, put, labels)


def test_csv_header_is_needed(tmp_path, put):
    """Without a header the first image would be lost."""
    with pytest.raises(BadInput, match=r"list.csv:1: expected the header 'path,label', got 'image,label'"):
        table(tmp_path, put, [0, 1], header="image,label")


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
