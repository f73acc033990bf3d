"""A task of VTAB-1k or FGVC out of its original archives: verified, the official members alone. Loads no torch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ship.data.digests import digest
from ship.data.sources import draw
from ship.data.sources.catalogue import ARCHIVES, SOURCES, Source
from ship.data.sources.processing import opencv
from ship.data.sources.rows import Content, Files, Images
from ship.data.sources.splits import SPLITS, Item, Listing, check_number
from ship.data.sources.strata import stratified
from ship.errors import BadInput, unknown
from ship.experiment.task import Task

Chosen = dict[str, list[tuple[str, str]]]  # official split and key of each image of train, val and test


@contextmanager
def published(name: str, task: Task, archives: Files, scratch: Path) -> Iterator[Listing]:
    """The task `name` of SOURCES, of its `archives` by name; the images that it has lie in `scratch` for a while.

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
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch, prefix=f".{name}.") as spill:
        wanted: dict[str, set[str]] = {split: set() for split in content.labels}
        for split, key in (image for part in chosen.values() for image in part):
            wanted[split].add(key)
        places = _spilled(content.images(wanted), spill.fileno())
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
    digests, wrong = {}, []
    for name, path in files.items():
        known, size = ARCHIVES[name], path.stat().st_size
        if known.size not in (None, size):
            wrong.append(f"{path}: expected {known.size} bytes, got {size}")
            continue
        digests[name] = digest(path, "sha256")
        if known.sha256 not in (None, digests[name]):
            wrong.append(f"{path}: expected the sha256 {known.sha256}, got {digests[name]}")
        elif known.sha256 is None and known.md5 not in (None, found := digest(path, "md5")):
            wrong.append(f"{path}: expected the md5 {known.md5}, got {found}")
    if wrong:
        raise BadInput("; ".join(wrong) + " (remove it, and get it again)")
    return digests


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


def _spilled(images: Images, spill: int) -> dict[tuple[str, str], tuple[int, int]]:
    """Write images one behind the other: they come in the order of their archive and are wanted in another."""
    places, end = {}, 0
    for split, key, data in images:
        os.pwrite(spill, data, end)
        places[split, key] = (end, len(data))
        end += len(data)
    return places


def _items(
    name: str,
    images: Sequence[tuple[str, str]],
    content: Content,
    places: Mapping[tuple[str, str], tuple[int, int]],
    spill: int,
) -> list[Item]:
    if lacking := [key for split, key in images if (split, key) not in places]:
        raise BadInput(f"tasks.{name}: expected the image {lacking[0]} in its archives, found none")
    return [
        Item(key, content.labels[split][key], f"{name}: {split}/{key}", partial(_read, spill, places[split, key]))
        for split, key in images
    ]


def _read(spill: int, place: tuple[int, int]) -> bytes:
    start, length = place
    return os.pread(spill, length, start)


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
