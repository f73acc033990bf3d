"""Data sets whose images are arrays: keys, labels and pixels as in the official builders. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ship.data import png
from ship.data.sources import arrays
from ship.data.sources.addresses import DSPRITES, NORB, PCAM
from ship.data.sources.arrays import Array, Rows
from ship.data.sources.packed import lines, pick
from ship.data.sources.rows import Content, Files, Images, Wanted
from ship.errors import BadInput

CIFAR = {"train": "cifar-100-binary/train.bin", "test": "cifar-100-binary/test.bin"}
FINE = "cifar-100-binary/fine_label_names.txt"
SVHN = {"train": "train_32x32.mat", "test": "test_32x32.mat"}
PATCHES = {"train": "train", "validation": "valid", "test": "test"}  # in keys and names of files


def cifar(files: Files) -> Content:
    """CIFAR-100: a record is the coarse label, the fine label, and 3 x 32 x 32 pixels."""
    (place,) = files.values()

    found = pick(place, [*CIFAR.values(), FINE], place.name)  # 180 MB
    records = {split: arrays.cifar_records(found[name], f"{place.name}: {name}") for split, name in CIFAR.items()}

    def images(wanted: Wanted) -> Images:
        for split, keys in wanted.items():
            for row in sorted(map(int, keys)):
                pixels = records[split][row, 2:].reshape(3, 32, 32).transpose(1, 2, 0)
                yield split, str(row), partial(png.encoded, pixels)

    labels = {split: _numbered(rows[:, 1].tolist()) for split, rows in records.items()}
    return Content(labels, images, lines(found[FINE], FINE))


def svhn(files: Files) -> Content:
    """SVHN, cropped: `X` is (32, 32, 3, n), and `y` says 10 for the digit 0."""

    def rows(split: str, wanted: Sequence[int]) -> Rows:
        pixels = arrays.matlab(files[SVHN[split]], "X")
        return ((row, pixels[..., row]) for row in wanted)

    labels = {}
    for split, name in SVHN.items():
        digits = arrays.matlab(files[name], "y").reshape(-1)
        if digits.min() < 1 or digits.max() > 10:
            raise BadInput(f"{name}: expected labels from 1 to 10, got {digits.min()} to {digits.max()}")
        labels[split] = _numbered((digits % 10).tolist())
    return Content(labels, partial(_png, rows), [str(digit) for digit in range(10)])


def patch_camelyon(files: Files) -> Content:
    """PatchCamelyon: `x` is (n, 96, 96, 3), `y` (n, 1, 1, 1); keys are `train_0`, `valid_0`, `test_0`."""

    def name(split: str, end: str) -> str:
        return PCAM.format(PATCHES[split], end)

    def images(wanted: Wanted) -> Images:
        for split, keys in wanted.items():
            numbers = sorted(int(key.rpartition("_")[2]) for key in keys)
            for row, pixels in arrays.hdf5_rows(files[name(split, "x")], "x", numbers):
                yield split, f"{PATCHES[split]}_{row}", partial(png.encoded, pixels)

    labels = {}
    for split, part in PATCHES.items():
        with arrays.hdf5(files[name(split, "y")], "y") as array:
            labels[split] = {f"{part}_{row}": int(label) for row, label in enumerate(array[:].reshape(-1))}
    return Content(labels, images, ["no tumour", "tumour"])


def dsprites_loc(files: Files) -> Content:
    """dSprites: the x position, 32 classes in pairs."""
    return _dsprites(files, 4, lambda classes: classes // 2)


def dsprites_ori(files: Files) -> Content:
    """dSprites: the orientation, 40 classes in 16 groups of two or three."""
    return _dsprites(files, 3, lambda classes: np.floor(classes / 2.5).astype(np.int64))


def smallnorb_azi(files: Files) -> Content:
    """SmallNORB: the azimuth, 0, 2, ... 34, which stands for steps of 10 degrees."""
    return _smallnorb(files, 2, 2, [f"{10 * step} degrees" for step in range(0, 36, 2)])


def smallnorb_ele(files: Files) -> Content:
    """SmallNORB: the elevation of the camera, nine of them from 30 to 70 degrees."""
    return _smallnorb(files, 1, 1, [f"{degrees} degrees" for degrees in range(30, 71, 5)])


def _dsprites(files: Files, column: int, rule: Callable[[Array], Array]) -> Content:
    """dSprites: `imgs` is (n, 64, 64) of 0 and 1, `latents/classes` (n, 6)."""

    def rows(_: str, wanted: Sequence[int]) -> Rows:
        return ((row, 255 * pixels) for row, pixels in arrays.hdf5_rows(files[DSPRITES], "imgs", wanted))

    with arrays.hdf5(files[DSPRITES], "latents/classes") as array:
        labels = rule(array[:, column])
    return Content({"train": _numbered(labels.tolist())}, partial(_png, rows), [str(label) for label in range(16)])


def _smallnorb(files: Files, column: int, step: int, classes: Sequence[str]) -> Content:
    """SmallNORB: `dat` is (n, 2, 96, 96), of which the left camera is taken, `info` (n, 4)."""

    def rows(split: str, wanted: Sequence[int]) -> Rows:
        pairs = arrays.matrix_rows(files[NORB[split].format("dat")], wanted)
        return ((row, pair[0]) for row, pair in pairs)

    labels = {}
    for split, name in NORB.items():
        labels[split] = _numbered((arrays.matrix(files[name.format("info")])[:, column] // step).tolist())
    return Content(labels, partial(_png, rows), classes)


def _png(rows: Callable[[str, Sequence[int]], Rows], wanted: Wanted) -> Images:
    """Rows of arrays as images, where keys are the numbers of rows."""
    for split, keys in wanted.items():
        for row, pixels in rows(split, sorted(map(int, keys))) if keys else ():
            yield split, str(row), partial(png.encoded, pixels)


def _numbered(labels: Sequence[int]) -> dict[str, int]:
    """Labels by the number of their row."""
    return {str(row): label for row, label in enumerate(labels)}
