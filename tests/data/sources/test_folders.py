import shutil
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


def test_sub_folders_of_a_class_are_told(classes, caplog):
    """Who has species in genera may have meant the species."""
    (classes / "cat" / "lynx").mkdir()
    first = min((classes / "cat").glob("*.png"))
    first.rename(classes / "cat" / "lynx" / first.name)
    with caplog.at_level("INFO"):
        folder("mine", FOLDER, classes, "pets")
    assert "pets: one class with its sub-folders: cat (lynx)" in caplog.text


def test_classes_that_differ_in_spelling_alone_are_told(classes, caplog):
    """As where archives of two systems were put together."""
    shutil.copytree(classes / "cat", classes / "Cat")
    folder("mine", FOLDER, classes, "pets")
    assert "pets: 'Cat' and 'cat' differ in spelling alone, and are two classes" in caplog.text


def test_a_class_with_a_line_break_is_refused(classes):
    """It would break the lines of tables."""
    (classes / "cat").rename(classes / "c\nat")
    with pytest.raises(BadInput, match=r"pets: expected names of classes without line breaks .*, got 'c\\nat'"):
        folder("mine", FOLDER, classes, "pets")


def test_a_space_beside_a_name_is_told(classes, caplog):
    """Nobody sees it in a list of folders."""
    shutil.copytree(classes / "cat", classes / "cat ")
    folder("mine", FOLDER, classes, "pets")
    assert "pets: 'cat' and 'cat ' differ in spelling alone, and are two classes" in caplog.text


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
        (["test/emu/a.png"], {}, "pets/test/emu: expected a class of pets/train, got another$"),
        (["test/Cat/a.png"], {}, "of pets/train, got another .there is cat, which differs in spelling alone"),
        (
            ["test/cat/a.png"],
            {"train": 800},
            "tasks.mine.train: expected no size, since pets/train is used whole, got 800",
        ),
        (["test/cat/a.png"], {"val": 2}, "tasks.mine.val: expected fewer than the 2 of pets/train, got 2$"),
        (["test/cat/a.png"], {}, "got 200 .val 200 is the default; shares work, too, such as tasks.mine.val=0.1.$"),
    ],
)
def test_splits_that_do_not_fit(tmp_path, put, paths, settings, message):
    """Other names, no test, a class that is not trained on, sizes that are not asked for."""
    root = put(tmp_path / "pets", "train/cat/1.png", "train/dog/2.png", *paths)
    with pytest.raises(BadInput, match=message):
        folder("mine", Task(source="folder", path="pets", **settings), root, "pets")


OWN = Task(source="folder", path="pets", train=0.7, val=0.1, test=0.2)


def split_folder(tmp_path, put, *parts, images=10):
    """A folder with two classes in each of `parts`."""
    paths = [f"{part}/{('cat', 'dog')[n % 2]}/{n}.png" for part in parts for n in range(images)]
    return put(tmp_path / "pets", *paths)


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        (("Training", "Testing"), [9, 1, 10]),
        (("TRAIN", "VALID", "TEST"), [10, 10, 10]),
        (("training_set", "test_set"), [9, 1, 10]),
        (("Train", "Val"), [8, 10, 2]),
        (("train", "validation", "test"), [10, 10, 10]),
        (("seg_train", "seg_test"), [9, 1, 10]),
        (("pets_train", "pets_test"), [9, 1, 10]),
        (("train", "validate", "test"), [10, 10, 10]),
        (("train", "eval"), [8, 10, 2]),
        (("train/train", "test/test"), [9, 1, 10]),
        (("pets/pets/train", "pets/pets/test"), [9, 1, 10]),
        (("train",), [7, 1, 2]),
    ],
)
def test_splits_in_any_spelling_are_splits(tmp_path, put, parts, sizes):
    """Never classes; what there is none of is set apart from train by its share."""
    listing = folder("mine", OWN, split_folder(tmp_path, put, *parts), "pets")
    assert listing.classes == ["cat", "dog"]
    assert [len(items) for items in listing.splits.values()] == sizes


@pytest.mark.parametrize("parts", [("train", "training", "test"), ("val", "test"), ("valid", "validation", "train")])
def test_splits_that_are_unclear_are_refused(tmp_path, put, parts):
    """Two folders for one split, or none to train on."""
    with pytest.raises(BadInput, match="expected one sub-folder per class, or train, test and"):
        folder("mine", OWN, split_folder(tmp_path, put, *parts), "pets")


@pytest.mark.parametrize("parts", [("fold1", "fold2"), ("site A", "site B", "site C"), ("2023", "2024")])
def test_a_level_with_the_same_sub_folders_is_no_set_of_classes(tmp_path, put, parts):
    """Whatever its folders are called."""
    with pytest.raises(BadInput, match="which all have the sub-folders cat, dog .*call them train, val and test"):
        folder("mine", OWN, split_folder(tmp_path, put, *parts), "pets")


def test_splits_below_classes_are_refused(tmp_path, put):
    """With the way out."""
    root = put(tmp_path / "pets", *(f"{c}/{p}/{n}.png" for c in "ab" for p in ("train", "test") for n in range(3)))
    with pytest.raises(BadInput, match="put test, train on top"):
        folder("mine", OWN, root, "pets")


def test_a_folder_around_the_classes_is_passed_through(tmp_path, put):
    """What lies beside it is counted."""
    put(tmp_path / "pets", "readme.png", *(f"images/{c}/{n}.png" for c in ("cat", "dog") for n in range(5)))
    listing = folder("mine", OWN, tmp_path / "pets", "pets")
    assert listing.classes == ["cat", "dog"]
    assert listing.about["passed_over"] == {".png: in no class's folder": 1}


@pytest.mark.parametrize(
    "name", ["@eaDir", "#recycle", "lost+found", "$RECYCLE.BIN", ".ipynb_checkpoints", "__MACOSX", ".Trash-1000"]
)
def test_folders_of_a_system_are_skipped_at_every_depth(classes, put, name):
    """Beside the classes, in them, and below; counted."""
    put(classes, f"{name}/a.png", f"cat/{name}/b.png", f"cat/deep/{name}/deeper/c.png")
    listing = folder("mine", OWN, classes, "pets")
    assert listing.classes == ["cat", "dog"]
    assert sum(map(len, listing.splits.values())) == 18
    assert sum(listing.about["passed_over"].values()) == 3


def test_linked_folders_are_followed(tmp_path, classes, put):
    """A class may be a link, and may hold one; a link to a folder above ends there."""
    put(tmp_path / "elsewhere", "x.png", "y.png")
    (classes / "emu").symlink_to(tmp_path / "elsewhere")
    (classes / "cat/more").symlink_to(tmp_path / "elsewhere")
    (classes / "cat/loop").symlink_to(classes / "cat")
    listing = folder("mine", OWN, classes, "pets")
    assert listing.classes == ["cat", "dog", "emu"]
    assert {"emu/x.png", "cat/more/y.png"} <= {item.key for items in listing.splits.values() for item in items}
    assert listing.about["passed_over"] == {"no suffix: a link to a folder above": 1}


def test_broken_links_are_named(classes):
    """All at once; or they are counted."""
    for name in ("a.png", "b.png"):
        (classes / "cat" / name).symlink_to("nowhere")
    with pytest.raises(BadInput, match=r"cat/a.png: .*a link to nothing: nowhere; .*cat/b.png.*\(2 in all\)"):
        folder("mine", OWN, classes, "pets")
    listing = folder("mine", OWN.model_copy(update={"broken": "skip"}), classes, "pets")
    assert sum(listing.about["passed_over"].values()) == 2


def test_broken_links_beside_an_only_folder_are_named(classes, tmp_path):
    """Which is where a folder as it was packed has them."""
    outer = tmp_path / "outer"
    outer.mkdir()
    classes.rename(outer / "inner")
    (outer / "a.png").symlink_to("nowhere")
    with pytest.raises(BadInput, match=r"pets/a.png: .*a link to nothing: nowhere"):
        folder("mine", OWN, outer, "pets")
    listing = folder("mine", OWN.model_copy(update={"broken": "skip"}), outer, "pets")
    assert sum(listing.about["passed_over"].values()) == 1


def test_what_is_passed_over_is_counted_by_suffix_and_reason(classes, put):
    """Nothing goes by in silence."""
    put(classes, "cat/a.unknown", "loose.png", "cat/no_suffix")
    for name in ("cat/a.txt", "cat/b.TXT", "dog/c.heic", "cat/.hidden.png", "labels.csv"):
        (classes / name).write_text("no image")
    listing = folder("mine", OWN, classes, "pets")
    assert listing.about["passed_over"] == {
        ".csv: no image": 1,
        ".heic: needs the package pillow-heif": 1,
        ".png: hidden": 1,
        ".png: in no class's folder": 1,
        ".txt: no image": 2,
        ".unknown: an image by its content, not by its suffix: rename it": 1,
    }
    assert sum(map(len, listing.splits.values())) == 19


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            ["train/cat/1.png", "train/dog/1.png", "unseen/cat/1.png"],
            "got train with sub-folders beside unseen",
        ),
        (["train/cat/1.png", "train/dog/1.png", "unlabelled/1.png"], "got train with sub-folders beside unlabelled"),
        (["cat/1.png", "dog/1.png", "test/cat/1.png", "test/dog/1.png"], "got test with sub-folders beside cat, dog"),
        (
            ["train/cat/train/1.png", "train/cat/test/2.png", "train/dog/3.png", "test/cat/4.png", "test/dog/5.png"],
            "pets/train/cat: expected images of one class, got the splits test, train",
        ),
        (
            ["cat/1.png", "more/pets/train/dog/1.png", "more/pets/valid/dog/1.png"],
            "pets/more/pets: expected images of one class, got the splits train, valid .name that folder in tasks.mine",
        ),
    ],
)
def test_splits_among_classes_are_refused(tmp_path, put, paths, message):
    """A split beside a folder of another name, and splits somewhere below a class, make no classes."""
    with pytest.raises(BadInput, match=message):
        folder("mine", OWN, put(tmp_path / "pets", *paths), "pets")


def test_splits_with_a_word_in_common_may_have_other_classes(tmp_path, put):
    """They are no classes, though their sub-folders are not the same."""
    paths = [f"my_train/{c}/{n}.png" for c in ("cat", "dog", "emu") for n in range(10)]
    listing = folder("mine", OWN, put(tmp_path / "pets", *paths, "my_test/cat/0.png"), "pets")
    assert listing.classes == ["cat", "dog", "emu"]
    assert [len(items) for items in listing.splits.values()] == [27, 3, 1]


def test_a_class_of_one_folder_is_not_passed_through(tmp_path, put):
    """A split for test may have one class alone, with folders in it."""
    paths = [f"train/{c}/{n}.png" for c in ("cat", "dog") for n in range(10)]
    listing = folder("mine", OWN, put(tmp_path / "pets", *paths, "test/cat/front/0.png", "test/cat/side/0.png"), "pets")
    assert [item.label for item in listing.splits["test"]] == [0, 0]


def test_links_upwards_lead_nowhere(classes):
    """Not even to the folder of all classes, where one class would get the images of the others."""
    (classes / "dog" / "up").symlink_to("..")
    (classes / "dog" / "loop").symlink_to("loop")
    listing = folder("mine", OWN.model_copy(update={"broken": "skip"}), classes, "pets")
    assert sum(map(len, listing.splits.values())) == 18
    assert listing.about["passed_over"]["no suffix: a link to a folder above"] == 1


def test_what_lies_where_no_image_is_found_is_said(tmp_path, classes, put):
    """Of classes, of splits without labels, and of folders without classes."""
    for name in ("emu/a.HEIC", "emu/b.heic", "yak/a.dcm"):
        put(classes, name).joinpath(name).write_text("no image")
    with pytest.raises(BadInput, match=r"'emu', got .*2 .heic: needs the package pillow-heif.*'yak', got .*1 .dcm: no"):
        folder("mine", OWN, classes, "pets")
    put(tmp_path / "flat", "train/a/1.png", "train/b/1.png", "test/1.png")
    with pytest.raises(BadInput, match=r"flat/test: .* got none \(1 .png: in no class's folder\) \(move it away"):
        folder("mine", OWN, tmp_path / "flat", "flat")
    with pytest.raises(BadInput, match=r"got 0 sub-folders \(1 .png: in no class's folder\) .*tasks.mine.source=csv"):
        folder("mine", OWN, tmp_path / "flat" / "test", "flat/test")


def test_raw_photos_are_not_to_be_renamed(classes, image):
    """Pillow would take the small picture inside of them."""
    (classes / "cat" / "DSC_1.NEF").write_bytes(image(kind="TIFF"))
    passed = folder("mine", OWN, classes, "pets").about["passed_over"]
    assert passed == {".nef: what a camera's sensor saw: export it as JPEG or TIFF": 1}
