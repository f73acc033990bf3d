import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ship.data.prepare import _checked, prepare
from ship.data.sources.splits import Item
from ship.errors import BadInput
from ship.experiment.params import Task

VTAB = Task(source="vtab", path="vtab")
FILES = {"train.parquet", "val.parquet", "test.parquet", "notices.json", "task.json"}


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Temporary files of these tests, so that it shows whether one is left."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(task, tmp_path, message):
    """The task is refused on one line, and nothing is left of it."""
    out = tmp_path / "data" / "mine"
    with pytest.raises(BadInput, match=message) as error:
        prepare("mine", task, tmp_path, out)
    assert "\n" not in str(error.value)
    assert not out.exists()


@pytest.mark.parametrize("name", ["digits", "sprite_location"])
def test_twice_the_same_bytes(tmp_path, name):
    """Two preparations of a built-in task are equal to the byte."""
    for out in ("one", "two"):
        prepare(name, Task(train=300, val=20, test=30), tmp_path, tmp_path / out)
    first = contents(tmp_path / "one")
    assert first.keys() == FILES
    assert first == contents(tmp_path / "two")


def test_digits_have_the_sizes_of_vtab(tmp_path):
    """800, 200 and the 797 others; every class is in every split."""
    prepare("digits", Task(), tmp_path, tmp_path)
    about = json.loads((tmp_path / "task.json").read_text())
    assert {split: part["images"] for split, part in about["splits"].items()} == {"train": 800, "val": 200, "test": 797}
    assert all(min(part["per_class"]) >= 17 for part in about["splits"].values())


def test_images_keep_their_bytes(tmp_path, vtab):
    """Rows are in the order of the list, images are the files as they were, and task.json describes them."""
    out = tmp_path / "out"
    prepare("mine", VTAB, tmp_path, out)
    table = pq.read_table(out / "val.parquet")
    assert table.schema.names == ["key", "image", "label"]
    assert [str(kind) for kind in table.schema.types] == ["string", "binary", "int64"]
    assert table["key"].to_pylist() == [f"images/a picture {n}.png" for n in range(8, 12)]
    assert table["label"].to_pylist() == [0, 1, 0, 1]
    assert [(vtab / key).read_bytes() for key in table["key"].to_pylist()] == table["image"].to_pylist()
    about = json.loads((out / "task.json").read_text())
    assert about == {
        "task": "mine",
        "source": "vtab",
        "classes": ["0", "1"],
        "splits": {
            split: {
                "images": images,
                "sha256": hashlib.sha256((out / f"{split}.parquet").read_bytes()).hexdigest(),
                "per_class": [images // 2] * 2,
            }
            for split, images in (("train", 8), ("val", 4), ("test", 6))
        },
    }


def test_splits_come_in_groups_of_rows(tmp_path):
    """A large split can be read piece by piece."""
    prepare("digits", Task(), tmp_path, tmp_path)
    file = pq.ParquetFile(tmp_path / "train.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [256, 256, 256, 32]


@pytest.mark.parametrize("kind", ["zip", "gztar", "tar"])
@pytest.mark.parametrize("top", [".", "vtab"])
def test_archive_is_its_folder(tmp_path, vtab, kind, top):
    """An archive gives the bytes that its folder gives, with or without a folder at its top."""
    packed = shutil.make_archive(str(tmp_path / "packed"), kind, *((vtab, ".") if top == "." else (tmp_path, top)))
    prepare("mine", VTAB, tmp_path, tmp_path / "one")
    prepare("mine", Task(source="vtab", path=packed), tmp_path, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_archive_from_an_address(tmp_path, vtab):
    """It gives the bytes of its folder; without it, the task is refused."""
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "vtab"))
    task = Task(source="vtab", url="https://example.org/packed.zip", sha256="0" * 64)
    refused(task, tmp_path, r"tasks.mine.url: expected one archive, got 0 \(see `ship data`")
    prepare("mine", task, tmp_path, tmp_path / "one", {"packed.zip": packed})
    prepare("mine", VTAB, tmp_path, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_csv_in_an_archive(tmp_path, classes):
    """The CSV file at the top of an archive, or of a folder, is found, and its paths start there."""
    (classes / "._list.csv").write_bytes(b"\0")
    lines = [f"{p.relative_to(classes)},{p.parent.name}" for p in sorted(classes.glob("*/*.png"))]
    (classes / "list.csv").write_text("\n".join(["path,label", *lines]))
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "pets")
    prepare("mine", Task(source="csv", path=packed, train=9, val=3), tmp_path, tmp_path / "out")
    prepare("mine", Task(source="csv", path="pets/list.csv", train=9, val=3), tmp_path, tmp_path / "again")
    prepare("mine", Task(source="csv", path="pets", train=9, val=3), tmp_path, tmp_path / "folder")
    assert contents(tmp_path / "out") == contents(tmp_path / "again") == contents(tmp_path / "folder")
    (classes / "more.csv").write_text("path,label")
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "pets")
    refused(Task(source="csv", path=packed), tmp_path, r"packed.zip: expected one CSV file at the top, got 2")


def test_folder_of_classes(tmp_path, classes):
    """Sub-folders name the classes."""
    prepare("mine", Task(source="folder", path="pets", train=9, val=3), tmp_path, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "task.json").read_text())
    assert about["classes"] == ["cat", "dog"]
    assert about["splits"]["test"]["per_class"] == [4, 2]


def test_truncated_image_is_refused(tmp_path, vtab):
    """Every image is decoded to its end; the error names the list's line and the file."""
    file = vtab / "images" / "a picture 13.png"
    file.write_bytes(file.read_bytes()[:150])
    refused(VTAB, tmp_path, r"vtab/test.txt:2 \(images/a picture 13.png\): expected a whole image, got: ")


def test_truncated_image_in_a_folder_is_refused(tmp_path, classes):
    """Without a list the file alone is named."""
    file = classes / "cat" / "1.png"
    file.write_bytes(file.read_bytes()[:150])
    refused(Task(source="folder", path="pets", train=9, val=3), tmp_path, r"pets/cat/1.png: expected a whole image")


def test_refusal_keeps_what_was_there(tmp_path, vtab):
    """A failure does not touch the files of an earlier preparation."""
    out = tmp_path / "out"
    prepare("mine", VTAB, tmp_path, out)
    before = contents(out)
    (vtab / "images" / "a picture 17.png").write_bytes(b"no image")
    with pytest.raises(BadInput):
        prepare("mine", VTAB, tmp_path, out)
    assert contents(out) == before


def test_a_kill_among_the_files_leaves_no_task(tmp_path, vtab, monkeypatch):
    """New splits beside old ones are none that go together: without task.json, no step takes them."""
    out = tmp_path / "out"
    prepare("mine", VTAB, tmp_path, out)
    replace, renamed = Path.replace, []

    def killed(path, target):
        if target.suffix == ".parquet":
            renamed.append(target.name)
            if len(renamed) == 2:
                raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare("mine", VTAB, tmp_path, out)
    assert len(renamed) == 2
    assert not (out / "task.json").exists()


def test_empty_class_is_refused(tmp_path, vtab):
    """A class that no training image shows cannot be learned; only VTAB's own draws may miss one."""
    three = VTAB.model_copy(update={"classes": 3})
    refused(three, tmp_path, r"tasks.mine: expected training images of each of the 3 classes, got an empty class: '2'")
    for file in vtab.glob("*.txt"):
        file.write_text(file.read_text().replace(" 1\n", " 2\n"))
    refused(VTAB, tmp_path, r"vtab: expected labels from 0 without a gap .*, got no 1")
    prepare("kitti", VTAB, tmp_path, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "task.json").read_text())
    assert about["splits"]["train"]["per_class"] == [4, 0, 4, 0]


def test_class_of_test_images_alone_is_refused(tmp_path, vtab):
    """What only test images show is an empty class, too."""
    (vtab / "test.txt").write_text((vtab / "test.txt").read_text().replace("13.png 1", "13.png 2"))
    refused(VTAB, tmp_path, r"got an empty class: '2'")


def test_unknown_builtin_task_is_refused(tmp_path):
    """The error lists the tasks that there are."""
    refused(Task(), tmp_path, r"tasks.mine: a built-in task: expected one of counting, digits, .*, got 'mine'")


def test_wrong_checksum_leaves_nothing(tmp_path, vtab):
    """Neither the archive's files nor the task's."""
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", vtab)
    refused(
        Task(source="vtab", path=packed, sha256="0" * 64), tmp_path, rf"packed.zip: expected .* sha256 {'0' * 64}, got"
    )


def test_error_inside_an_archive_names_the_archive(tmp_path, vtab):
    """Not the temporary folder."""
    (vtab / "images" / "a picture 0.png").unlink()
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", vtab)
    refused(
        Task(source="vtab", path=packed), tmp_path, r"/packed.zip/train800.txt:1: expected the image images/a picture 0"
    )


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"path": "nowhere"}, r"tasks.mine.path: expected a folder, CSV file or archive, found nothing at"),
        ({"path": "vtab", "sha256": "0" * 64}, r"tasks.mine.sha256: expected an archive to compare with, got"),
        ({"path": "x" * 300}, r"tasks.mine.path: expected a place that can be read, got: .*: File name too long"),
        ({"path": "https://x.org/vtab.zip"}, r"found nothing at .*addresses: tasks.mine.path=null, url=... and sha256"),
        ({"path": "vtab/test.txt"}, r"tasks.mine.path: expected a folder or a whole archive .*unpack other kinds"),
        ({"path": "list.CSV", "source": "folder"}, r"a whole archive .*tasks.mine.source=csv reads a list"),
        ({"path": "vtab", "source": "csv"}, r"vtab: expected one CSV file at the top, got 0"),
    ],
)
def test_path_of_another_kind_is_refused(tmp_path, vtab, task, message):
    """Settings and files must fit."""
    (tmp_path / "list.CSV").write_text("path,label\n")
    refused(Task(**{"source": "vtab", **task}), tmp_path, message)


def test_labels_of_a_split_are_counted(tmp_path):
    """per_class is what the file holds."""
    prepare("counting", Task(train=19, val=9, test=8), tmp_path, tmp_path)
    about = json.loads((tmp_path / "task.json").read_text())
    for split, part in about["splits"].items():
        labels = pq.read_table(tmp_path / f"{split}.parquet")["label"].to_numpy()
        assert part["per_class"] == np.bincount(labels, minlength=8).tolist()


def test_an_image_that_changes_after_its_inspection_is_refused(tmp_path):
    """It may be no image any more, or another's twin."""
    (tmp_path / "a.png").write_bytes(b"others")
    item = Item("a.png", 0, "a.png", tmp_path / "a.png", digest=hashlib.sha256(b"inspected").digest())
    with pytest.raises(BadInput, match="expected the bytes that were inspected"):
        _checked(item)
