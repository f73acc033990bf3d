"""Decoded images are kept for the next run, and never for another one."""

import errno
import io
import shutil
from pathlib import Path

import pytest
import torch

from ship.data import images, pixels
from ship.data.images import read_pixels, stream
from ship.data.prepare import prepare
from ship.data.reading import open_split
from ship.errors import BadInput
from ship.experiment.params import Task

SIZE = {"size": 16, "interpolation": "bilinear", "threads": 1}


@pytest.fixture
def splits(tmp_path, monkeypatch):
    """Two splits of a prepared task, in a project; the first has groups of sixteen rows."""
    monkeypatch.setattr("ship.data.prepare.GROUP_ROWS", 16)
    prepare("digits", Task(train=60, val=20, test=20), ".", tmp_path / "data/digits")
    return tmp_path / "data/digits/train.parquet", tmp_path / "data/digits/test.parquet"


@pytest.fixture
def decoded(monkeypatch):
    """How many images were decoded, a number for each group of them."""
    counts, decode = [], images.pixels
    monkeypatch.setattr(images, "pixels", lambda data, *others: counts.append(len(data)) or decode(data, *others))
    return counts


def kept(splits):
    """The files of images of the project."""
    return sorted((splits[0].parents[2] / "pixels").glob("*"))


def test_a_second_reader_decodes_nothing(splits, decoded):
    """Whoever reads first keeps what the next one maps, all at once or batch by batch, to the same bytes."""
    first = read_pixels(*splits, **SIZE)
    assert sum(decoded) == 80
    assert torch.equal(read_pixels(*splits, **SIZE), first)
    batches = list(stream(*splits, batch_size=32, **SIZE))
    assert sum(decoded) == 80
    assert torch.equal(torch.cat([some for _, some, _ in batches]), first)
    shutil.rmtree(splits[0].parents[2] / "pixels")
    again = list(stream(*splits, batch_size=32, **SIZE))
    assert sum(decoded) == 160
    assert [(keys, labels.tolist()) for keys, _, labels in again] == [
        (keys, labels.tolist()) for keys, _, labels in batches
    ]
    assert torch.equal(read_pixels(*splits, **SIZE), first)
    assert sum(decoded) == 160


@pytest.mark.parametrize("change", [{"size": 8}, {"interpolation": "bicubic"}, "images", "code", "Pillow"], ids=str)
def test_other_pixels_are_not_taken_for_them(splits, decoded, monkeypatch, change):
    """Another size, way to resize, file, decoder or version of Pillow: decoded anew."""
    read_pixels(splits[0], **SIZE)
    if change == "images":
        prepare("digits", Task(train=60, val=20, test=20, seed=1), ".", splits[0].parent)
    if change == "code":
        monkeypatch.setattr(pixels, "_decoders", lambda: "other")
    if change == "Pillow":
        monkeypatch.setattr(pixels.PIL, "__version__", "0")
    read_pixels(splits[0], **(SIZE | (change if isinstance(change, dict) else {})))
    assert sum(decoded) == 120


def test_a_change_in_memory_does_not_reach_the_file(splits):
    """Nobody spoils the images of the next run."""
    read_pixels(splits[0], **SIZE)
    before = [path.read_bytes() for path in kept(splits)]
    with open_split(splits[0]) as file:
        for _, some, _ in images._pieces(splits[0], file, *SIZE.values()):
            some.add_(1)
    assert [path.read_bytes() for path in kept(splits)] == before


def test_who_stops_in_the_middle_keeps_nothing(splits):
    """Neither half a file nor its draft."""
    with open_split(splits[0]) as file:
        pieces = images._pieces(splits[0], file, *SIZE.values())
        next(pieces)
        pieces.close()
    assert kept(splits) == []


@pytest.mark.parametrize(("times", "files"), [(9, 0), (10, 1)])
def test_images_take_a_tenth_of_the_free_disk_at_most(splits, monkeypatch, times, files):
    """The rest is for what others write."""
    monkeypatch.setattr(pixels, "free_disk", lambda project: times * 60 * 3 * 16 * 16)
    read_pixels(splits[0], **SIZE)
    assert len(kept(splits)) == files


def test_a_full_disk_or_another_file_is_read_all_the_same(splits, decoded, monkeypatch, tmp_path):
    """Images are kept where there is much room for them, and for a project's splits alone."""
    monkeypatch.setattr(pixels, "DISK_SHARE", 0.0)
    read_pixels(splits[0], **SIZE)
    monkeypatch.undo()
    other = shutil.copy(splits[0], tmp_path / "elsewhere.parquet")
    read_pixels(other, **SIZE)
    assert kept(splits) == []
    assert not (tmp_path.parent / "pixels").exists()


@pytest.mark.parametrize("left", [0, 100])
def test_a_file_that_was_cut_is_made_again(splits, decoded, left):
    """As a copy to a disk that was full leaves it."""
    first = read_pixels(splits[0], **SIZE)
    (file,) = kept(splits)
    whole = file.read_bytes()
    file.write_bytes(whole[:left])
    assert torch.equal(read_pixels(splits[0], **SIZE), first)
    assert (sum(decoded), file.read_bytes() == whole) == (120, True)


def test_where_nothing_can_be_kept_it_is_decoded(splits, decoded):
    """A folder that cannot be made hinders nobody."""
    (splits[0].parents[2] / "pixels").write_text("no folder")
    first = read_pixels(splits[0], **SIZE)
    assert torch.equal(read_pixels(splits[0], **SIZE), first)
    assert sum(decoded) == 120


@pytest.mark.parametrize("when", ["written", "closed", "renamed"])
def test_a_full_disk_hinders_nobody(splits, decoded, monkeypatch, when):
    """Nor does a quota, which no size of the disk tells of; nothing is left behind."""

    def full(*_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    class File(io.BytesIO):
        write = full if when == "written" else io.BytesIO.write

        def close(self):
            """As a real file: what fails to be flushed is closed all the same."""
            fails = when == "closed" and not self.closed
            super().close()
            if fails:
                full()

    if when == "renamed":
        monkeypatch.setattr("ship.storage.os.fsync", full)
    else:
        opened = Path.open
        monkeypatch.setattr(
            Path, "open", lambda path, mode="r", **how: File() if mode == "wb" else opened(path, mode, **how)
        )
    read_pixels(splits[0], **SIZE)
    assert sum(decoded) == 60
    assert kept(splits) == []


def test_who_fails_keeps_nothing(splits, monkeypatch):
    """The fault comes through."""

    def broken(*_):
        raise BadInput("a broken image")

    monkeypatch.setattr(images, "pixels", broken)
    with pytest.raises(BadInput, match="a broken image"):
        read_pixels(splits[0], **SIZE)
    assert kept(splits) == []
