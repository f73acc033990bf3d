"""Images as people have them: broken, copied, twice labelled, odd."""

import io
import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ship.data.images import read_pixels, read_rows
from ship.data.prepare import prepare, summary
from ship.data.reading import read_labels
from ship.data.sources.splits import SPLITS, Item, Listing
from ship.errors import BadInput
from ship.experiment.params import Task
from ship.storage import read_json


@pytest.fixture
def pets(tmp_path, put):
    """20 cats and 20 dogs."""
    put(tmp_path / "pets", *(f"{('dog', 'cat')[n % 2]}/{n:02}.png" for n in range(40)))
    return tmp_path / "pets"


def prepared(tmp_path, **settings):
    """What `ship prepare` says, and what task.json and notices.json hold."""
    task = Task(**{"source": "folder", "path": "pets", "train": 0.6, "val": 0.2, "test": 0.2, **settings})
    said = prepare("mine", task, tmp_path, tmp_path / "out")
    return said, {**read_json(tmp_path / "out/task.json"), **read_json(tmp_path / "out/notices.json")}


def spoil(file, share=0.5):
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


def test_all_broken_files_are_named_at_once(tmp_path, pets):
    """The first 20, the number, and the way out, on one line."""
    for file in sorted(pets.rglob("*.png"))[:25]:
        spoil(file)
    with pytest.raises(BadInput, match=r"and 5 more \(25 in all\) \(tasks.mine.broken: skip leaves") as error:
        prepared(tmp_path)
    assert str(error.value).count("expected a whole image") == 20
    assert "\n" not in str(error.value)


def test_broken_files_may_be_skipped(tmp_path, pets):
    """40 % of them: counted in task.json, named, and the rest is split by the shares."""
    for file in sorted(pets.rglob("*.png"))[::5] + sorted(pets.rglob("*.png"))[1::5]:
        spoil(file)
    said, about = prepared(tmp_path, broken="skip")
    assert about["broken"] == 16
    assert [part["images"] for part in about["splits"].values()] == [14, 5, 5]
    assert "skipped: 16 images that cannot be read" in said


def test_a_split_of_broken_files_alone_is_refused(tmp_path, pets):
    """They are skipped, but a run would find no test image at its end."""
    for file in pets.rglob("*.png"):
        there = tmp_path / "own" / ("test" if file.stem.endswith("1") else "train") / file.parent.name
        there.mkdir(parents=True, exist_ok=True)
        file.rename(there / file.name)
        if there.parent.name == "test":
            spoil(there / file.name)
    with pytest.raises(BadInput, match="expected images in each of train, val, test, got none in test"):
        prepare("mine", Task(source="folder", path="own", val=4, broken="skip"), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_but_broken_files_is_refused(tmp_path, pets):
    """Skipping all leaves no task."""
    for file in pets.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(BadInput, match="expected images that can be read, got none of 40"):
        prepared(tmp_path, broken="skip")


@pytest.mark.parametrize("train", [0.6, 24])
def test_copies_stay_on_one_side(tmp_path, pets, train):
    """Of a random split, whatever they are called; they are counted."""
    cats = sorted((pets / "cat").iterdir())
    for file in cats[1:6]:
        file.write_bytes(cats[0].read_bytes())
    sizes = {} if train < 1 else {"train": 24, "val": 8, "test": 8}
    said, _ = prepared(tmp_path, **sizes)
    files = [tmp_path / f"out/{part}.parquet" for part in SPLITS]
    found = [pd.read_parquet(file)["image"].tolist().count(cats[0].read_bytes()) for file in files]
    assert sorted(found) == [0, 0, 6]
    assert "copies: 5 images have the bytes of another one" in said


@pytest.mark.parametrize("listed", [False, True])
def test_copies_in_two_classes_are_a_conflict(tmp_path, pets, listed):
    """All pairs are named at once, of a folder and of a list."""
    for name in ("00", "02"):
        (pets / f"cat/{name}.png").write_bytes((pets / f"dog/{name}.png").read_bytes())
    rows = [f"{file.relative_to(pets)},{file.parent.name}" for file in sorted(pets.rglob("*.png"))]
    (pets / "list.csv").write_text("\n".join(["path,label", *rows]))
    with pytest.raises(BadInput, match=r"one class for an image, got the bytes of cat/00.*cat/02.*\(2 in all\)"):
        prepared(tmp_path, source="csv" if listed else "folder")


def test_copies_in_two_splits_of_their_own_are_named_at_once(tmp_path, put):
    """Splits as they lie are not changed, so a copy is refused."""
    root = put(tmp_path / "pets", *(f"{part}/{title}/{n}.png" for part in SPLITS for title in "ab" for n in range(3)))
    for n in range(2):
        (root / f"test/a/{n}.png").write_bytes((root / f"train/a/{n}.png").read_bytes())
    with pytest.raises(BadInput, match=r"no image of train in test, .*; .*no image of train in test.*\(2 in all\)"):
        prepared(tmp_path)


def test_copies_in_two_splits_of_a_list_are_refused(tmp_path, pets):
    """As those in folders are."""
    files = sorted(pets.rglob("*.png"))
    files[-1].write_bytes(files[1].read_bytes())
    rows = [f"{file.relative_to(pets)},{file.parent.name},{('train', 'test')[n % 2]}" for n, file in enumerate(files)]
    rows[1] = rows[1].replace("test", "train")
    (pets / "list.csv").write_text("\n".join(["path,label,split", *rows]))
    with pytest.raises(BadInput, match=r"no image of train in test, got the bytes of cat/03"):
        prepared(tmp_path, source="csv", train=0.6, val=0.2, test=0.2)


def test_copies_in_classes_and_in_splits_are_named_together(tmp_path, put):
    """Else who has put the first right meets the second."""
    root = put(tmp_path / "pets", *(f"{part}/{title}/{n}.png" for part in SPLITS for title in "ab" for n in range(3)))
    (root / "train/b/0.png").write_bytes((root / "train/a/0.png").read_bytes())
    (root / "test/a/1.png").write_bytes((root / "train/a/1.png").read_bytes())
    for name in ("val/b/2.png", "test/b/2.png"):
        (root / name).write_bytes((root / "train/a/2.png").read_bytes())
    with pytest.raises(BadInput) as error:
        prepared(tmp_path)
    told = str(error.value).split("; ")
    assert [one.partition(": expected ")[0].rpartition("pets/")[2] for one in told] == [
        *("train/b/0.png", "val/b/2.png", "test/b/2.png"),
        *("val/b/2.png", "test/a/1.png", "test/b/2.png"),
    ]
    assert [("one class for an image" in one, "no image of train in" in one) for one in told] == [
        *[(True, False)] * 3,
        *[(False, True)] * 3,
    ]
    assert told[-1].endswith("(6 in all) (remove the wrong one of each pair)")


def test_what_was_used_is_said(tmp_path, pets):
    """Images of each class and split, and what was passed over."""
    (pets / "cat/notes.txt").write_text("none")
    (pets / "dog/Thumbs.db").write_text("none")
    said, about = prepared(tmp_path)
    assert said[:3] == ["40 images of 2 classes (train, val, test)", "  cat: 20 (12, 4, 4)", "  dog: 20 (12, 4, 4)"]
    assert about["passed_over"] == {".db: no image": 1, ".txt: no image": 1}
    assert "passed over: 1 .txt: no image" in said


def test_many_classes_are_one_line():
    """From 21 on: those with the fewest and the most images."""
    items = [Item(f"{n}.png", n % 29, str(n), b"") for n in range(60)]
    said = summary(Listing({"train": items, "val": items[:1], "test": items}, [f"kind {n}" for n in range(30)]))
    assert said == ["121 images of 30 classes (train, val, test)", "  of a class: 0 (kind 29) to 7 (kind 0)"]


def turned(file):
    picture = Image.fromarray(np.arange(60, dtype=np.uint8).reshape(6, 10) * 4)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(file, exif=exif)


def test_oddities_are_counted_and_said(tmp_path, pets):
    """A camera's rotation, twelve bits in sixteen, a picture in alpha alone, several frames."""
    turned(pets / "cat/turned.jpg")
    dark = np.random.default_rng(0).integers(0, 4096, (8, 8), dtype=np.uint16)
    Image.fromarray(dark).save(pets / "cat/dark.png")
    Image.fromarray(np.dstack([np.zeros((8, 8, 3)), np.eye(8) * 255]).astype(np.uint8)).save(pets / "cat/logo.png")
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 100, 200)]
    frames[0].save(pets / "cat/frames.gif", save_all=True, append_images=frames[1:])
    _, about = prepared(tmp_path)
    for text in ("a rotation in EXIF", "16 bits a channel", "without their alpha", "several frames"):
        assert any(words.startswith("1 images") and text in words for words in about["warnings"]), text
    assert "reading" not in about
    _, about = prepared(tmp_path, orientation="exif", bits=12, alpha="white", frames="middle")
    assert about["warnings"] == []
    assert about["reading"] == {"alpha": "white", "orientation": "exif", "bits": 12, "frames": "middle"}


def test_bits_that_are_cut_off_are_said(tmp_path, pets):
    """Where the task says fewer than an image uses."""
    Image.fromarray(np.full((8, 8), 2**12, np.uint16)).save(pets / "cat/bright.png")
    _, about = prepared(tmp_path, bits=12)
    (words,) = about["warnings"]
    assert words.startswith("1 images use more bits than `bits` says, so that they are cut off at white (bits: 16")


def test_how_images_are_read_goes_with_them(tmp_path, pets):
    """Bytes stay as they are; whoever reads the split reads them as the task says."""
    turned(pets / "cat/turned.jpg")
    prepared(tmp_path, orientation="exif")
    files = [tmp_path / f"out/{part}.parquet" for part in SPLITS]
    split = pd.concat(map(pd.read_parquet, files))
    row = split["key"].tolist().index("cat/turned.jpg")
    assert split["image"].iloc[row] == (pets / "cat/turned.jpg").read_bytes()
    seen = read_pixels(*files, size=16, interpolation="nearest", threads=1)[row, 0].numpy()
    assert seen[0, -1] < seen[0, 0]  # the first row of what is stored is the last column
    for file in files:
        every = read_rows(file, range(len(read_labels(file))), size=16, interpolation="nearest", threads=1)
        assert torch.equal(every, read_pixels(file, size=16, interpolation="nearest", threads=1))
    assert read_labels(*files).tolist() == split["label"].tolist()


def test_large_photos_come_in_small_groups(tmp_path, pets):
    """So that whoever reads a split needs memory for some of them."""
    for number, file in enumerate(sorted(pets.rglob("*.png"))):
        file.write_bytes(file.read_bytes() + bytes([number]) + bytes(5_000_000))
    prepared(tmp_path)
    file = pq.ParquetFile(tmp_path / "out/train.parquet")
    assert max(file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)) <= 8


def test_names_that_are_no_text_are_named(tmp_path, pets):
    """One line, no traceback; counted where they are skipped."""
    os.link(pets / "cat/01.png", os.fsencode(pets) + b"/cat/caf\xe9.png")
    with pytest.raises(BadInput, match=r"caf\\udce9.png: expected a name in UTF-8"):
        prepared(tmp_path)
    _, about = prepared(tmp_path, broken="skip")
    assert about["passed_over"] == {"link to nothing, or a name that is not UTF-8": 1}


def test_home_is_expanded(tmp_path, pets, monkeypatch):
    """In data_root and in the task's path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for root, path in ((".", "~/pets"), ("~", "pets")):
        task = Task(source="folder", path=path, train=24, val=8)
        prepare("mine", task, root, tmp_path / "out")


def encoded(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["jfif", "jpe", "JPEG", "avif", "webp", "tif", "jp2", "ppm", "tga", "ico", ""])
def test_every_suffix_that_is_read_is_used(tmp_path, pets, kind):
    """Whatever PIL reads, in any case, and by content without a suffix."""
    formats = {"jfif": "JPEG", "jpe": "JPEG", "": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}
    picture = Image.fromarray(np.random.default_rng(5).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    data = encoded(picture, formats.get(kind, kind.upper()))
    (pets / f"cat/extra{'.' if kind else ''}{kind}").write_bytes(data)
    said, _ = prepared(tmp_path)
    assert said[0].startswith("41 images")


def test_classes_that_are_not_tested_are_told(tmp_path, pets, caplog):
    """Their accuracy is unknown, and a mean over classes leaves them out."""
    for file in sorted((pets / "cat").iterdir())[1:]:
        file.unlink()
    _, about = prepared(tmp_path)
    assert about["warnings"] == ["test has no image of cat (1 of 2)"]
    assert caplog.messages == ["mine: test has no image of cat (1 of 2)"]
