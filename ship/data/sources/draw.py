"""Which images are members of a split, and in which order: the rule of TensorFlow Datasets, without it. Loads no torch.

A split is stored in the ascending order of the 128-bit md5 of its name and the image's key, whatever the version and
the number of files (`core/hashing.py`, `core/shuffle.py`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ship.errors import BadInput


def stored(split: str, keys: Iterable[str]) -> list[str]:
    """The keys of a split in its stored order."""
    return sorted(keys, key=lambda key: hashlib.md5((split + key).encode(), usedforsecurity=False).digest())


def bounds(piece: str, sizes: Mapping[str, int]) -> tuple[str, int, int]:
    """Name, first row and row behind the last of a slice such as `train[:800]`. Raises BadInput for too few images."""
    found = re.fullmatch(r"(\w+)(?:\[(\d*):(\d*)\])?", piece)
    if found is None:
        raise ValueError(f"expected a slice such as train[:800], got {piece!r}")
    name, first, last = found.groups()
    stop = int(last) if last else sizes[name]
    if stop > sizes[name]:
        raise BadInput(f"{piece}: expected at least {stop} images in the official {name}, got {sizes[name]}")
    return name, int(first or 0), stop


def cut(piece: str, splits: Mapping[str, Sequence[str]]) -> tuple[str, list[str]]:
    """Name and keys of a slice, of splits in their order. Raises BadInput for too few."""
    name, first, stop = bounds(piece, {split: len(keys) for split, keys in splits.items()})
    return name, list(splits[name][first:stop])


def caltech101(folders: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Train and test of Caltech101: 30 files of every folder, drawn with seed 1234, and the others.

    The official builder draws from the files in the order in which a file system lists them, which differs from one to
    the next: there is no official draw. This one goes through folders and files in sorted order. A file that is no
    `.jpg` takes part in the draw and is then left out, as in the builder.
    """
    draw = np.random.RandomState(1234)  # the builder's generator
    train: list[str] = []
    test: list[str] = []
    for folder in sorted(folders):
        files = sorted(folders[folder])
        if len(files) < 30:
            raise BadInput(f"{folder}: expected at least 30 files to draw from, got {len(files)}")
        chosen = {files[number] for number in draw.choice(len(files), 30, replace=False)}
        for file in files:
            if file.endswith(".jpg"):
                (train if file in chosen else test).append(f"{folder}/{file}")
    return train, test


def kitti(drives: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Images of train, validation and test by drive: a tenth of the drives each, drawn with seed 123."""
    draw = np.random.RandomState(123)  # the builder's generator
    count = max(1, 10 * len(drives) // 100)
    left = sorted(drives)
    taken: dict[str, list[str]] = {}
    for part in ("test", "validation"):
        taken[part] = [left[number] for number in draw.choice(len(left), count, replace=False)]
        left = [drive for drive in left if drive not in taken[part]]
    parts = {"train": left, **taken}
    return {part: sorted(image for drive in names for image in drives[drive]) for part, names in parts.items()}
