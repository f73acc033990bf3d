"""A task of VTAB-1k or FGVC out of its original archives: verified, the official members alone. Loads no torch."""

from __future__ import annotations

import errno
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from ship.data.decoding import check as check_image
from ship.data.digests import digest as digest_of
from ship.data.inventory import fault_of
from ship.data.sources import draw
from ship.data.sources.catalogue import ARCHIVES, SOURCES, Source
from ship.data.sources.processing import opencv
from ship.data.sources.rows import Content, Files, Images
from ship.data.sources.splits import SPLITS, Item, Listing, check_number
from ship.data.sources.strata import stratified
from ship.errors import BadInput, unknown
from ship.experiment.task import Task
from ship.storage import is_full, make

AHEAD = 32  # images that wait to be made and checked


class Place(NamedTuple):
    """Where the bytes of an image lie in the spill."""

    start: int
    length: int


Chosen = dict[str, list[tuple[str, str]]]  # official split and key of each image of train, val and test


@contextmanager
def published(name: str, task: Task, archives: Files, scratch: Path, pool: Executor) -> Iterator[Listing]:
    """The task `name` of SOURCES, of its `archives` by name; the images that it has lie in `scratch` for a while.

    Images are encoded, or decoded as a check, and written there in the `pool`, while the next ones are read.
    Raises BadInput for archives that are missing or others, and for contents that are not as published.
    """
    if name not in SOURCES or SOURCES[name].family != task.source:
        known = [title for title, source in SOURCES.items() if source.family == task.source]
        raise unknown(f"tasks.{name}: a task of {task.source}", name, known)
    source = SOURCES[name]
    files = found(name, source, archives)
    digests = verified(files)
    content = source.read(files)
    check(name, source, content)
    check_number(content.classes, task, f"tasks.{name}")
    chosen = members(name, source, content.labels, task.seed)
    make(scratch)
    with tempfile.TemporaryFile(dir=scratch, prefix=f".{name}.") as spill:
        wanted: dict[str, set[str]] = {split: set() for split in content.labels}
        for split, key in (image for part in chosen.values() for image in part):
            wanted[split].add(key)
        try:
            places = _spilled(name, source, content.images(wanted), pool, spill.fileno())
        except OSError as error:
            if not is_full(error):
                raise
            raise BadInput(f"{scratch}: expected room for the images of {name}, got {error}") from None
        splits = {part: _items(name, images, content, places, spill.fileno()) for part, images in chosen.items()}
        holes = source.family == "vtab1k"  # its draws are made without regard to the classes
        yield Listing(splits, list(content.classes), holes, _about(source, digests))


def found(name: str, source: Source, archives: Files) -> Files:
    """The archives of a task by their names. Raises BadInput where some are not among those that are given."""
    if lacking := [
        archive for archive in source.archives if archive not in archives or not archives[archive].is_file()
    ]:
        ways = {ARCHIVES[archive].how for archive in lacking} - {""}
        way = "; ".join(["run the workflow, which downloads them"] if not ways else sorted(ways))
        raise BadInput(f"tasks.{name}: expected the archives {', '.join(lacking)}, found none ({way})")
    return {archive: archives[archive] for archive in source.archives}


def verified(files: Files) -> dict[str, str]:
    """The sha256 of each archive. Raises BadInput, for all of them at once, where size or digest is another."""
    faults = {path: fault_of(ARCHIVES[name], path) for name, path in files.items()}
    if wrong := [f"{path}: expected {fault}" for path, fault in faults.items() if fault is not None]:
        raise BadInput("; ".join(wrong) + " (remove it, and get it again)")
    return {name: digest_of(path, "sha256") for name, path in files.items()}


def check(name: str, source: Source, content: Content) -> None:
    """Raises BadInput where a data set has not the images and classes that are known of it."""
    sizes = {split: len(labels) for split, labels in content.labels.items()}
    if sizes != source.sizes:
        raise BadInput(f"tasks.{name}: expected the official splits {source.sizes}, got {sizes} (another version?)")
    if len(content.classes) != source.classes:
        raise BadInput(f"tasks.{name}: expected {source.classes} classes, got {len(content.classes)}")
    for split, labels in content.labels.items():
        for key, label in labels.items():
            if not 0 <= label < source.classes:
                raise BadInput(
                    f"tasks.{name}: expected labels from 0 to {source.classes - 1}, got {label} of {key} in {split}"
                )


def members(name: str, source: Source, labels: Mapping[str, Mapping[str, int]], seed: int) -> Chosen:
    """Which images train, val and test have, and in which order.

    Those of VTAB-1k are slices of the stored order of the official builders; those of FGVC keep their lists' order.
    """
    ordered = {
        split: draw.stored(split, keys) if source.family == "vtab1k" else list(keys) for split, keys in labels.items()
    }
    chosen: Chosen = {}
    for part, piece in zip(SPLITS, source.slices, strict=True):
        split, keys = draw.cut(piece, ordered) if piece else ("", [])
        chosen[part] = [(split, key) for key in keys]
    if not source.slices[1]:
        whole = chosen["train"]
        numbers = np.array([labels[split][key] for split, key in whole], dtype=np.int64)
        tenth = len(whole) // 10
        parts = stratified(numbers, (len(whole) - tenth, tenth), source.classes, seed)
        chosen["train"], chosen["val"] = ([whole[row] for row in rows] for rows in parts)
    if len({image for part in chosen.values() for image in part}) < sum(map(len, chosen.values())):
        raise BadInput(f"tasks.{name}: expected no image in two of train, val and test, got slices that overlap")
    return chosen


def _spilled(name: str, source: Source, images: Images, pool: Executor, spill: int) -> dict[tuple[str, str], Place]:
    """Write images one behind the other: they come in the order of their archive and are wanted in another.

    Those that are not encoded here are decoded once, as a check; threads do all of it, while the next ones are read.
    """
    lock, end = Lock(), 0

    def stored(read: Callable[[], bytes], shown: str) -> Place:
        nonlocal end
        data = read()
        if source.stored == "source bytes":
            check_image(data, shown)
        with lock:
            place = Place(end, len(data))
            end += len(data)
        if os.pwrite(spill, data, place.start) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return place

    places: dict[tuple[str, str], Place] = {}
    waiting = deque[tuple[tuple[str, str], Future[Place]]]()
    try:
        for split, key, read in images:
            waiting.append(((split, key), pool.submit(stored, read, _titled(name, split, key))))
            if len(waiting) > AHEAD:
                image, place = waiting.popleft()
                places[image] = place.result()
        return {**places, **{image: place.result() for image, place in waiting}}
    finally:  # after a fault, too, nobody writes to a file that is closed
        wait([place for _, place in waiting if not place.cancel()])


def _items(
    name: str,
    images: Sequence[tuple[str, str]],
    content: Content,
    places: Mapping[tuple[str, str], Place],
    spill: int,
) -> list[Item]:
    if lacking := [key for split, key in images if (split, key) not in places]:
        raise BadInput(f"tasks.{name}: expected the image {lacking[0]} in its archives, found none")
    items = []
    for split, key in images:
        start, length = places[split, key]
        read = partial(os.pread, spill, length, start)
        items.append(Item(key, content.labels[split][key], _titled(name, split, key), read))
    return items


def _titled(name: str, split: str, key: str) -> str:
    return f"{name}: {split}/{key}"


def _about(source: Source, digests: Mapping[str, str]) -> dict[str, Any]:
    """What task.json says of where the images come from."""
    order = "md5 of split and key, ascending" if source.family == "vtab1k" else "of the official lists"
    about: dict[str, Any] = {
        "builder": source.builder,
        "archives": {name: digests[name] for name in source.archives},
        "slices": dict(zip(SPLITS, source.slices, strict=True)),
        "order": order,
        "stored": source.stored,
        "licence": source.licence,
    }
    return {**about, "opencv": opencv().__version__} if source.stored == "own processing" else about
