import io
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ship.data import images
from ship.data.images import (
    RESAMPLING,
    batches,
    decode,
    normaliser,
    pixels,
    read_pixels,
    read_rows,
    stream,
)
from ship.data.prepare import prepare
from ship.errors import BadInput
from ship.experiment.params import Task

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A small prepared task."""
    out = tmp_path_factory.mktemp("digits")
    prepare("digits", Task(train=300, val=40, test=50), ".", out)
    return out


def rows(*paths):
    """Keys, encoded images and labels of some splits."""
    return pd.concat(map(pd.read_parquet, paths))


def test_splits_are_read_one_after_the_other(digits):
    """Several files give the rows of the first, then those of the second."""
    paths = digits / "train.parquet", digits / "val.parquet"
    both = rows(*paths)
    found = read_pixels(*paths, size=16, interpolation="bilinear", threads=2)
    assert torch.equal(found, pixels(both["image"].tolist(), 16, "bilinear", 2))


def test_some_rows_are_read_in_the_order_asked_for(tmp_path, digits):
    """Those of every group of rows, and none where none is asked for."""
    path = tmp_path / "split.parquet"
    rows(digits / "val.parquet").to_parquet(path, row_group_size=7)
    known = read_pixels(path, size=16, interpolation="bilinear", threads=2)
    for some in ([33, 2, 8, 9], []):
        assert torch.equal(read_rows(path, some, size=16, interpolation="bilinear", threads=2), known[some])


def test_large_pixels_lie_in_a_file(digits, monkeypatch, tmp_path):
    """The same values, in whatever folder TMPDIR names, and nothing is left there."""
    paths = digits / "train.parquet", digits / "val.parquet"
    known = read_pixels(*paths, size=16, interpolation="bilinear", threads=2)
    monkeypatch.setattr(images, "IN_MEMORY", 1000)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    found = read_pixels(*paths, size=16, interpolation="bilinear", threads=2)
    assert "(deleted)" in mapping_of(found)
    assert torch.equal(found, known)
    assert not list(tmp_path.iterdir())
    found[torch.tensor([3, 1])] += 1  # as any tensor
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    with pytest.raises(BadInput, match=r"absent: expected room for 0.0 GB of pixels, got No such file"):
        read_pixels(*paths, size=16, interpolation="bilinear", threads=2)


def mapping_of(tensor):
    """The line of this process' memory map that the tensor lies in."""
    place = tensor.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= place < end:
            return line
    raise AssertionError


@pytest.mark.parametrize("interpolation", RESAMPLING)
def test_decoding_is_a_plain_resize(image, interpolation):
    """(3, S, S) uint8, the whole image without crop, and unchanged where the size fits."""
    decoded = decode(image(), 12, interpolation)
    picture = Image.open(io.BytesIO(image())).resize((12, 12), Image.Resampling[interpolation.upper()])
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, np.asarray(picture).transpose(2, 0, 1))


@pytest.mark.parametrize("threads", [1, 3])
def test_pixels_keep_the_order(image, threads):
    """Row i is image i, with any number of threads."""
    encoded = [image(number) for number in range(9)]
    whole = pixels(encoded, 8, "bicubic", threads)
    assert (whole.shape, whole.dtype) == ((9, 3, 8, 8), torch.uint8)
    for row, data in zip(whole, encoded, strict=True):
        assert torch.equal(row, torch.from_numpy(decode(data, 8, "bicubic").copy()))


def test_normalising_is_the_formula():
    """(x / 255 - mean) / std, a channel each."""
    images = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 2, 2) * 20
    normal = normaliser((0.1, 0.2, 0.3), (0.5, 0.25, 1.0), CPU)(images)
    assert normal.dtype == torch.float32
    assert normal[0, 1, 0, 1].item() == pytest.approx((100 / 255 - 0.2) / 0.25)


def epoch(seed, number, inputs=None, size=4):
    inputs = torch.arange(10) if inputs is None else inputs
    return list(batches(inputs, torch.arange(len(inputs)), size, seed=seed, epoch=number, device=CPU))


def test_order_follows_from_seed_and_epoch():
    """The same pair gives the same order whatever was drawn before; another one another order."""
    orders = {}
    for pair in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        orders[pair] = torch.cat([labels for _, labels, _ in epoch(*pair)]).tolist()
        torch.rand(3)
        assert torch.cat([labels for _, labels, _ in epoch(*pair)]).tolist() == orders[pair]
    assert len({tuple(order) for order in orders.values()}) == 4


@pytest.mark.parametrize(("size", "sizes"), [(4, [4, 4]), (5, [5, 5]), (64, [10])])
def test_last_batch(size, sizes):
    """A short last batch is left out, unless it is the only one; no image comes twice."""
    found = epoch(0, 0, size=size)
    assert [len(labels) for _, labels, _ in found] == sizes
    assert len(set(torch.cat([labels for _, labels, _ in found]).tolist())) == sum(sizes)
    assert all(torch.equal(rows, labels) for _, labels, rows in found)  # labels here are places


@pytest.mark.parametrize("inputs", [torch.rand(10, 3), torch.randint(0, 256, (10, 3, 2, 2), dtype=torch.uint8)])
def test_inputs_stay_beside_their_labels(inputs):
    """Features and images alike."""
    for x, y, _ in epoch(3, 1, inputs):
        assert x.dtype == inputs.dtype
        assert torch.equal(x, inputs[y])


@pytest.mark.parametrize("size", [7, 256, 999])
def test_stream_is_the_file(digits, size):
    """All rows in their order, the same pixels as at once, in batches of the size asked for, across files."""
    paths = digits / "train.parquet", digits / "val.parquet"
    split = rows(*paths)
    found = list(stream(*paths, size=16, interpolation="bilinear", batch_size=size, threads=2))
    assert {len(labels) for _, _, labels in found[:-1]} <= {size}
    assert len(found[-1][2]) <= size
    assert [key for keys, _, _ in found for key in keys] == split["key"].tolist()
    seen = torch.cat([some for _, some, _ in found])
    assert torch.equal(seen, pixels(split["image"].tolist(), 16, "bilinear", 2))
    assert torch.cat([labels for _, _, labels in found]).tolist() == split["label"].tolist()


def test_stream_may_be_left_early(digits):
    """Leaving after the first batch ends its threads."""
    before = {*threading.enumerate()}
    found = stream(digits / "test.parquet", size=16, interpolation="bilinear", batch_size=8, threads=2)
    next(found)
    assert {*threading.enumerate()} > before
    found.close()
    assert {*threading.enumerate()} == before
