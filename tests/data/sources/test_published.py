import hashlib
import io
import json
import os
import tarfile
import zipfile
from functools import partial
from itertools import islice
from pathlib import Path
from time import sleep

import numpy as np
import pyarrow.parquet as pq
import pytest
from originals import WRITERS, install, lying, packed, tar
from PIL import Image

from ship.data.decoding import rgb
from ship.data.prepare import prepare
from ship.data.sources import draw, processing, published
from ship.data.sources.catalogue import ARCHIVES, SOURCES
from ship.errors import BadInput
from ship.experiment.params import Task

RECORDED = json.loads((Path(__file__).parents[2] / "oracle/recorded.json").read_text())["tasks"]
PARTS = ("train", "val", "test")


def prepared(tmp_path, task, **keys):
    """Rows of each split and task.json, of the archives in `tmp_path/archives`."""
    out = tmp_path / "data" / task
    prepare(task, Task(source=SOURCES[task].family, **keys), tmp_path, out, lying(tmp_path / "archives"))
    rows = {part: pq.read_table(out / f"{part}.parquet").to_pylist() for part in PARTS}
    return rows, json.loads((out / "task.json").read_text())


@pytest.fixture
def archives(tmp_path):
    folder = tmp_path / "archives"
    folder.mkdir()
    return folder


def same(image, stored):
    """Bytes that are equal, or pixels that are."""
    if isinstance(stored, bytes):
        return image == stored
    with Image.open(io.BytesIO(image)) as opened:
        return opened.format == "PNG" and np.array_equal(np.asarray(opened), stored)


def official(split, keys):
    return sorted(keys, key=lambda key: hashlib.md5((split + key).encode()).hexdigest())


@pytest.mark.parametrize("task", WRITERS)
def test_members_labels_and_images_of_the_original_archives(tmp_path, archives, monkeypatch, task):
    """Every image of every split has the label and the bytes (or pixels) of its archive; task.json says what it is."""
    content = install(monkeypatch, task, archives)
    rows, about = prepared(tmp_path, task)
    source = SOURCES[task]
    seen = []
    for part, piece in zip(PARTS, source.slices, strict=True):
        split = (piece or "train").partition("[")[0]
        for row in rows[part]:
            original = content[split][row["key"]]
            assert row["label"] == original.label, (split, row["key"])
            assert original.stored is None or same(row["image"], original.stored), (split, row["key"])
        seen += [(split, row["key"]) for row in rows[part]]
    assert len(set(seen)) == len(seen)
    assert about["builder"] == source.builder
    assert about["stored"] == source.stored
    assert about["archives"] == {name: ARCHIVES[name].sha256 for name in source.archives}
    assert len(about["classes"]) == source.classes
    if source.family == "vtab1k":
        split = source.slices[0].partition("[")[0]
        assert [row["key"] for row in rows["train"]] == official(split, content[split])[:8]
        assert len(rows["val"]) == 4
    else:
        assert sum(map(len, rows.values())) == sum(map(len, content.values()))
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [task]


def refused(tmp_path, task, message):
    """The task is refused on one line, and nothing is left of it."""
    with pytest.raises(BadInput, match=message) as error:
        prepared(tmp_path, task)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data" / task).exists()


@pytest.mark.parametrize("task", RECORDED)
def test_the_official_builder_stores_the_same(archives, monkeypatch, task):
    """Keys and labels in order, and the pixels of arrays, are those that tests/oracle/compare.py recorded of it."""
    install(monkeypatch, task, archives)
    source = SOURCES[task]
    content = source.read({name: archives / name for name in source.archives})
    official = RECORDED[task]["splits"]
    assert content.labels.keys() == official.keys()
    stored = {split: draw.stored(split, labels) for split, labels in content.labels.items()}
    for split, keys in stored.items():
        text = "\n".join(f"{key} {content.labels[split][key]}" for key in keys)
        assert hashlib.sha256(text.encode()).hexdigest() == official[split]["keys and labels"]
        if source.stored == "PNG of equal pixels":
            images = {key: make() for _, key, make in content.images({split: set(keys)})}
            pixels = b"".join(rgb(images[key]).tobytes() for key in keys)
            assert hashlib.sha256(pixels).hexdigest() == official[split]["pixels"]


def test_archives_that_are_missing_are_named_at_once(tmp_path, archives, monkeypatch):
    """Also what a person must do for those that cannot be downloaded."""
    refused(
        tmp_path, "oxford_iiit_pet", r"tasks.oxford_iiit_pet: expected the archives images.tar.gz, annotations.tar.gz"
    )
    install(monkeypatch, "diabetic_retinopathy", archives)
    (archives / "train.zip.002").unlink()
    (archives / "test.zip.007").unlink()
    refused(tmp_path, "diabetic_retinopathy", r"archives train.zip.002, test.zip.007, found none \(get it f")


def test_another_file_under_a_right_name_is_refused(tmp_path, archives, monkeypatch):
    """By size, else by sha256; both files are named at once."""
    install(monkeypatch, "svhn", archives)
    train, test = archives / "train_32x32.mat", archives / "test_32x32.mat"
    train.write_bytes(train.read_bytes() + b"0")
    test.write_bytes(test.read_bytes()[:-1] + b"0")
    size = train.stat().st_size
    refused(
        tmp_path,
        "svhn",
        rf"train_32x32.mat: expected {size - 1:,} bytes, got {size:,}; .*test_32x32.mat: expected sha256 ",
    )


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("cifar", "cifar-100-binary.tar.gz"),
        ("eurosat", "EuroSAT.zip"),
        ("patch_camelyon", "camelyonpatch_level_2_split_test_x.h5.gz"),
        ("svhn", "train_32x32.mat"),
        ("smallnorb_azi", "smallnorb-5x01235x9x18x6x2x96x96-testing-dat.mat.gz"),
        ("dsprites_loc", "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5"),
        ("dmlab", "dmlab.tar.gz"),
        ("stanford_dogs", "images.tar"),
    ],
)
def test_a_cut_archive_is_refused(tmp_path, archives, monkeypatch, task, name):
    """Where no digest is known, a file that ends early is one line, in any format."""
    install(monkeypatch, task, archives, verify=False)
    data = (archives / name).read_bytes()
    (archives / name).write_bytes(data[: len(data) * 2 // 3])
    refused(tmp_path, task, r"expected")


def test_a_missing_member_is_refused(tmp_path, archives, monkeypatch):
    """An image that the lists name and the archive lacks; and a list that the archive lacks."""
    content = install(monkeypatch, "dtd", archives, verify=False)
    lost = official("test", content["test"])[3]
    rewritten(archives / "dtd-r1.0.1.tar.gz", lambda name, data: None if name.endswith(lost) else data)
    refused(tmp_path, "dtd", rf"dtd-r1.0.1.tar.gz: expected dtd/images/{lost} in it, found none")
    rewritten(archives / "dtd-r1.0.1.tar.gz", lambda name, data: None if name.endswith("val1.txt") else data)
    refused(tmp_path, "dtd", r"dtd-r1.0.1.tar.gz: expected dtd/labels/val1.txt in it, found none")


def test_lists_of_another_version_are_refused(tmp_path, archives, monkeypatch):
    """They give other numbers of images, or labels that there are not."""
    install(monkeypatch, "dtd", archives, verify=False)

    def shorter(name, data):
        return data.split(b"\n", 1)[1] if name.endswith("train1.txt") else data

    rewritten(archives / "dtd-r1.0.1.tar.gz", shorter)
    refused(tmp_path, "dtd", r"tasks.dtd: expected the official splits .*'train': 40.*got .*'train': 39")
    install(monkeypatch, "diabetic_retinopathy", archives, verify=False)
    solution = archives / "retinopathy_solution.csv"
    solution.write_text(solution.read_text().replace(",4,", ",5,"))
    refused(tmp_path, "diabetic_retinopathy", r"expected labels from 0 to 4, got 5 of \d+_(left|right) in validation")
    solution.write_text(solution.read_text().replace(",5,", ",mild,"))
    refused(tmp_path, "diabetic_retinopathy", r"expected numbers as levels, got 'mild' of \d+_(left|right)")
    install(monkeypatch, "nabirds", archives, verify=False)
    numbers = "image_class_labels.txt"
    rewritten(archives / "nabirds.tar.gz", lambda name, data: data + b"b" if name.endswith(numbers) else data)
    refused(tmp_path, "nabirds", rf"nabirds.tar.gz: expected numbers of classes in nabirds/{numbers}, got '\d+b'")


def test_an_undecodable_image_matters_only_where_it_is_used(tmp_path, archives, monkeypatch):
    """Outside of train, val and test it is never looked at."""
    content = install(monkeypatch, "eurosat", archives, verify=False)
    order = official("train", content["train"])

    def damaged(number):
        file = order[number].partition("_")[2]
        rewritten(archives / "EuroSAT.zip", lambda name, data: data[:100] if name.endswith(f"/{file}") else data)

    damaged(9)
    prepared(tmp_path, "eurosat")
    (tmp_path / "data" / "eurosat").rename(tmp_path / "before")
    damaged(35)
    refused(tmp_path, "eurosat", rf"eurosat: train/{order[35]}: expected a whole image")


def test_a_damaged_tail_does_no_harm(tmp_path, archives, monkeypatch):
    """`chihuahua_121.jpg` has bytes before its end mark that mean nothing; it is in train, and is kept as it is."""
    content = install(monkeypatch, "oxford_iiit_pet", archives, verify=False)
    first = next(key for key in official("train", content["train"])[:8] if int(key[11:-4]) % 5)
    data = content["train"][first].stored[:-2] + b"\x12" * 240 + b"\xff\xd9"
    rewritten(archives / "images.tar.gz", lambda name, old: data if name.endswith(first) else old)
    rows, _ = prepared(tmp_path, "oxford_iiit_pet")
    assert next(row["image"] for row in rows["train"] if row["key"] == first) == data


def test_an_image_twice_in_the_lists_is_refused(tmp_path, archives, monkeypatch):
    """Members are drawn by key."""
    install(monkeypatch, "dtd", archives, verify=False)

    def doubled(name, data):
        return data + data.split(b"\n")[0] if name.endswith("test1.txt") else data

    rewritten(archives / "dtd-r1.0.1.tar.gz", doubled)
    refused(tmp_path, "dtd", r"test1.txt: expected every image once, got banded/banded_2000.jpg again")


def test_sun397_and_retinopathy_are_stored_as_processed(tmp_path, archives, monkeypatch):
    """Few pixels, JPEG of the stated quality, equal to the processing of the source; both without a trace of time."""
    for task in ("sun397", "diabetic_retinopathy"):
        install(monkeypatch, task, archives)
        rows, about = prepared(tmp_path, task)
        assert about["opencv"] == processing.opencv().__version__
        for row in (row for part in rows.values() for row in part):
            with Image.open(io.BytesIO(row["image"])) as image:
                assert image.format == "JPEG"
                assert image.width * image.height <= (120_000 if task == "sun397" else 540 * 540)


def test_a_task_of_another_name_is_refused(tmp_path, archives):
    """The error lists the tasks that there are."""
    with pytest.raises(BadInput, match=r"tasks.cifr: a task of vtab1k: expected one of .*\(did you mean 'cifar'\?\)"):
        prepare("cifr", Task(source="vtab1k"), tmp_path, tmp_path / "data" / "cifr", lying(archives))


def test_twice_the_same_bytes(tmp_path, archives, monkeypatch):
    """Two preparations are equal to the byte."""
    install(monkeypatch, "kitti", archives)
    for out in ("one", "two"):
        prepare("kitti", Task(source="vtab1k"), tmp_path, tmp_path / out / "kitti", lying(archives))
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / out / "kitti").iterdir()} for out in ("one", "two")
    )
    assert one == two


def rewritten(path, change):
    """Write an archive again, with what `change(name, data)` makes of its members; None leaves one out."""
    members = {}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as bundle:
            members = {name: bundle.read(name) for name in bundle.namelist()}
    else:
        with tarfile.open(path) as tape:
            members = {info.name: tape.extractfile(info).read() for info in tape}
    changed = {name: data for name, old in members.items() if (data := change(name, old)) is not None}
    (packed if path.suffix == ".zip" else tar)(path, changed)


def test_after_a_fault_nobody_writes_any_more(tmp_path, archives, monkeypatch):
    """The number of the file may be another's by then."""
    install(monkeypatch, "cifar", archives)
    late, write = [], published.os.pwrite

    def slow(file, *what):
        sleep(0.05)
        late.append(not os.path.exists(f"/proc/self/fd/{file}"))  # noqa: PTH110
        return write(file, *what)

    def images(source, wanted):
        yield from islice(source(wanted), 6)
        raise BadInput("a broken archive")

    read = SOURCES["cifar"].read
    broken = lambda files: (found := read(files))._replace(images=partial(images, found.images))  # noqa: E731
    monkeypatch.setitem(SOURCES, "cifar", SOURCES["cifar"]._replace(read=broken))
    monkeypatch.setattr(published.os, "pwrite", slow)
    with pytest.raises(BadInput, match="a broken archive"):
        prepared(tmp_path, "cifar")
    assert late
    assert True not in late


def test_a_full_disk_is_told_in_one_line(tmp_path, archives, monkeypatch):
    """Images wait beside the task that they become."""
    install(monkeypatch, "cifar", archives)
    monkeypatch.setattr(published.os, "pwrite", lambda *_: 0)
    with pytest.raises(BadInput, match=r"expected room for the images of cifar, got .*No space left"):
        prepared(tmp_path, "cifar")
    assert not (tmp_path / "data/cifar").exists()
