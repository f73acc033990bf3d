"""From what a task is given as to one parquet file per split and `task.json`: checked, lossless, all or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ship.artifacts import replacing, sha256, write_json
from ship.data.decoding import rgb
from ship.data.sources import builtin
from ship.data.sources.archives import is_archive, unpacked
from ship.data.sources.folders import folder
from ship.data.sources.lists import table, vtab
from ship.data.sources.splits import Item, Listing, split
from ship.errors import BadInput
from ship.experiment.params import Task

Files = Mapping[str, Path]
NONE: Files = MappingProxyType({})
SCHEMA = pa.schema([("key", pa.string()), ("image", pa.binary()), ("label", pa.int64())])
OWN = ("folder", "csv")  # sources whose images nobody has published
DECODERS = 2  # threads, as many as the workflow's rule has
GROUP_ROWS = 256  # images in memory at once, here and when a split is streamed


def prepare(name: str, task: Task, data_root: str | Path, out: Path, archives: Files = NONE) -> None:
    """Write train.parquet, val.parquet, test.parquet and task.json to the folder `out`.

    The columns of a split are `key` (relative path), `image` (the file's own bytes) and `label`; rows keep the order of
    the list. `archives` are the verified ones that the task needs, by name (ship.data.inventory); what fetches them is
    no part of this, since it decides no byte. Raises BadInput, and leaves nothing, where an image cannot be decoded or
    a label is not as it must be.
    """
    with opened(name, task, Path(data_root), archives) as listing:
        check_classes(name, listing)
        fresh = not out.exists()
        try:
            _write(name, task, listing, out)
        except BaseException:
            if fresh:
                with contextlib.suppress(OSError):  # another job's file may lie there by now
                    out.rmdir()
            raise


@contextmanager
def opened(name: str, task: Task, data_root: Path, archives: Files) -> Iterator[Listing]:
    """The task's images, wherever they come from; files of an archive go when the block ends."""
    if task.source == "builtin":
        yield made(name, task)
        return
    place = Path(os.path.normpath(data_root / str(task.path)))
    if task.url is not None:
        if len(archives) != 1:
            raise BadInput(f"tasks.{name}.url: expected one archive, got {len(archives)} (see `ship data`)")
        (place,) = archives.values()
    elif not place.exists():
        raise BadInput(f"tasks.{name}.path: expected a folder, CSV file or archive, found nothing at {place}")
    if task.url is not None or is_archive(place):
        shown = task.url or str(place)
        with unpacked(place, None if task.url else task.sha256, shown) as inside:  # what was fetched is verified
            yield read(name, task, _only_csv(inside, shown) if task.source == "csv" else inside, shown)
        return
    if task.sha256 is not None:
        raise BadInput(f"tasks.{name}.sha256: expected an archive to compare with, got {place}")
    yield read(name, task, place, str(place))


def made(name: str, task: Task) -> Listing:
    """A built-in task."""
    classes = builtin.class_names(name)
    if task.classes not in (None, len(classes)):
        raise BadInput(f"tasks.{name}.classes: expected {len(classes)}, got {task.classes}")
    if name == "digits":
        items = [Item(one.key, one.label, f"{name}/{one.key}", one.image) for one in builtin.digits()]
        return Listing(split(name, task, items, classes), classes)
    splits = {
        part: [Item(one.key, one.label, f"{name}/{one.key}", one.image) for one in images]
        for part, images in builtin.drawn(name, task).items()
    }
    return Listing(splits, classes)


def read(name: str, task: Task, place: Path, shown: str) -> Listing:
    """The images of a folder or CSV file, which is called `shown` in errors."""
    if task.source == "csv":
        if not place.is_file():
            raise BadInput(f"tasks.{name}.path: expected a CSV file or an archive, got the folder {shown}")
        return table(name, task, place, shown)
    if not place.is_dir():
        raise BadInput(f"tasks.{name}.path: expected a folder or an archive (zip, tar, tar.gz), got {shown}")
    return (vtab if task.source == "vtab" else folder)(name, task, place, shown)


def check_classes(name: str, listing: Listing) -> None:
    """Raises BadInput for a class that no image of train or val shows, unless the task's draw is known to miss some."""
    shown = {item.label for part in ("train", "val") for item in listing.splits[part]}
    for label, title in enumerate(listing.classes):
        if label not in shown and not listing.holes:
            raise BadInput(
                f"tasks.{name}: expected training images of each of the {len(listing.classes)} classes, "
                f"got an empty class: {title!r} (label {label})"
            )


def _only_csv(folder: Path, shown: str) -> Path:
    found = sorted(folder.glob("*.csv"))
    if len(found) != 1:
        raise BadInput(f"{shown}: expected one CSV file at the top, got {len(found)}")
    return found[0]


def _write(name: str, task: Task, listing: Listing, out: Path) -> None:
    """All four files, or none: drafts become files when the last image has been checked, task.json at the very end."""
    about: dict[str, Any] = {"task": name, "source": task.source, "classes": listing.classes, "splits": {}}
    seen: dict[bytes, tuple[str, Item]] = {}
    twins: list[str] = []
    with ExitStack() as drafts, ThreadPoolExecutor(DECODERS) as pool:
        # entered first, so that it is renamed last
        summary = drafts.enter_context(replacing(out / "task.json"))
        for part, items in listing.splits.items():
            draft = drafts.enter_context(replacing(out / f"{part}.parquet"))
            for rows, images in _write_split(draft, items, pool):
                twins += _twins(part, rows, images, seen) if task.source in OWN else []
            counts = np.bincount([item.label for item in items], minlength=len(listing.classes))
            about["splits"][part] = {"images": len(items), "sha256": sha256(draft), "per_class": counts.tolist()}
        if twins:
            raise BadInput(f"{twins[0]} (remove one)" + (f", as for {len(twins)} images" if len(twins) > 1 else ""))
        write_json(summary, about)


def _write_split(file: Path, items: Sequence[Item], pool: Executor) -> Iterator[tuple[Sequence[Item], list[bytes]]]:
    """One parquet file, without compression: its images are compressed. Yields the images that it has written."""
    with pq.ParquetWriter(file, SCHEMA, compression="none", use_dictionary=False, write_statistics=False) as writer:
        for start in range(0, len(items), GROUP_ROWS):
            rows = items[start : start + GROUP_ROWS]
            images = list(pool.map(_checked, rows))
            columns = [[row.key for row in rows], images, [row.label for row in rows]]
            writer.write_table(pa.table(columns, schema=SCHEMA), row_group_size=GROUP_ROWS)
            yield rows, images


def _twins(part: str, rows: Sequence[Item], images: Sequence[bytes], seen: dict[bytes, tuple[str, Item]]) -> list[str]:
    """A complaint for each image with the bytes of one that was `seen` in another split."""
    said = []
    for item, data in zip(rows, images, strict=True):
        other, twin = seen.setdefault(hashlib.sha256(data).digest(), (part, item))
        if other != part:
            said.append(f"{item.place}: expected no image of {other} in {part}, got the bytes of {twin.key}")
    return said


def _checked(item: Item) -> bytes:
    """The image's bytes, after they have been decoded to the end."""
    data = item.content if isinstance(item.content, bytes) else item.content.read_bytes()
    rgb(data, f"{item.place} ({item.key})" if item.key not in item.place else item.place)
    return data
