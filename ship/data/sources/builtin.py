"""Tasks that need no download: scikit-learn's digits, and images that are drawn. Loads no torch.

Every drawn image has a random stream of its own, named by (seed, task, split, index), so that an image depends on no
other one: a longer split begins with the images of a shorter one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from ship.data import png
from ship.data.sources import painting
from ship.data.sources.splits import SPLITS
from ship.data.tasks import TASKS
from ship.errors import unknown
from ship.experiment.task import Task

TEST_IMAGES = 1000
PAINTERS: dict[str, Callable[[Generator, int], NDArray[np.float64]]] = {
    "textures": painting.textures,
    "tissue": painting.tissue,
    "counting": painting.counting,
    "sprite_location": painting.sprite_location,
    "sprite_orientation": painting.sprite_orientation,
}
CLASSES = {
    "textures": list(painting.TEXTURES),
    "tissue": ["normal", "tumour"],
    "counting": [str(count) for count in range(3, 11)],
}


class Drawn(NamedTuple):
    """An image as a PNG file, with its class."""

    key: str
    image: bytes
    label: int


def class_names(name: str) -> list[str]:
    """The classes of the built-in task, in the order of their labels. Raises BadInput where there is no such task."""
    known = [task for task, info in TASKS.items() if info.builtin]
    if name not in known:
        raise unknown(f"tasks.{name}: a built-in task", name, known)
    return CLASSES.get(name, [str(label) for label in range(TASKS[name].classes)])


def draw(name: str, label: int, *, seed: int, split: str, index: int) -> NDArray[np.uint8]:
    """Image `index` of a drawn task's split, with the class `label`: (64, 64), or (64, 64, 3) in colour."""
    values = PAINTERS[name](_stream(name, seed, split, index), label)
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def labels_of(name: str, images: int, *, seed: int, split: str) -> NDArray[np.int64]:
    """Classes of a drawn task's split, (images,): all classes equally often, in random order."""
    classes = TASKS[name].classes
    blocks = -(-images // classes)
    # a permutation for every block of one image per class: a longer split begins with a shorter one
    order = [_stream(name, seed, split, block, 1).permutation(classes) for block in range(blocks)]
    return np.concatenate(order)[:images].astype(np.int64)


def drawn(name: str, task: Task) -> dict[str, list[Drawn]]:
    """The splits of a drawn task."""
    sizes = dict(zip(SPLITS, (int(task.train), int(task.val), int(task.test or TEST_IMAGES)), strict=True))
    return {
        split: [_example(name, task.seed, split, *row) for row in _rows(name, task.seed, split, sizes[split])]
        for split in SPLITS
    }


def digits() -> list[Drawn]:
    """The 1,797 digits, 8 x 8 px, in scikit-learn's order; its 17 shades of grey become 0 ... 255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images * (255 / 16) + 0.5).astype(np.uint8)
    return [
        Drawn(f"{index:04d}.png", png.encoded(image), int(label))
        for index, (image, label) in enumerate(zip(images, bunch.target, strict=True))
    ]


def _rows(name: str, seed: int, split: str, images: int) -> list[tuple[int, int]]:
    """Index and class of every image of a split."""
    return [(index, int(label)) for index, label in enumerate(labels_of(name, images, seed=seed, split=split))]


def _example(name: str, seed: int, split: str, index: int, label: int) -> Drawn:
    image = draw(name, label, seed=seed, split=split, index=index)
    return Drawn(f"{split}/{index:05d}.png", png.encoded(image), label)


def _stream(name: str, seed: int, split: str, index: int, purpose: int = 0) -> Generator:
    """The random stream of one image (purpose 0) or of one block of labels (purpose 1)."""
    return Generator(PCG64(SeedSequence([seed, crc32(name.encode()), SPLITS.index(split), index, purpose])))
