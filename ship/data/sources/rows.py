"""What rows of the catalogue say of archives and of data sets, and what a reader gives. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Literal, NamedTuple

Stored = Literal["source bytes", "PNG of equal pixels", "own processing"]
Checked = Literal["official builder, keys", "official builder", "sizes"]
Files = Mapping[str, Path]  # archives by their names
Wanted = Mapping[str, Set[str]]  # keys by official split
# official split, key, and what makes the encoded image in any thread, in the order of the archive
Images = Iterator[tuple[str, str, Callable[[], bytes]]]


class Archive(NamedTuple):
    """A file as its publisher gives it.

    `name` is what it is called in the folder of archives, `urls` are in order of preference (none: it is fetched by
    hand, as `how` says), `size` is in bytes. Where no digest is known, names and number of its images are checked.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    how: str = ""


class Content(NamedTuple):
    """What is in a data set's archives.

    `labels` are those of all its images, by official split and key; `images` reads the wanted ones.
    """

    labels: Mapping[str, Mapping[str, int]]
    images: Callable[[Wanted], Images]
    classes: Sequence[str]


class Source(NamedTuple):
    """A row of SOURCES.

    `sizes` are the images of each official split. `slices` tell which of them are train, val and test, in the notation
    of TensorFlow Datasets: `train[:800]` are the first 800 of the split's stored order. An empty one for val is a tenth
    of train, stratified, by the task's seed. `key` and `label` say in words what `read` does, `checked` how it was
    compared: with the official builder on tiny archives, with recorded members of the complete keys, or by sizes alone.
    """

    family: Literal["vtab1k", "fgvc"]
    read: Callable[[Files], Content]
    archives: tuple[str, ...]
    key: str
    label: str
    stored: Stored
    classes: int
    sizes: dict[str, int]
    slices: tuple[str, str, str]
    licence: str
    builder: str
    checked: Checked = "sizes"
    traps: str = ""
