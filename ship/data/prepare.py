"""From what a task is given as to one parquet file per split and `task.json`: checked, lossless, all or nothing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ship.artifacts import NOTICES, TASK
from ship.data.inspection import Inspection, titled
from ship.data.inspection import read as read_image
from ship.data.notices import noticed
from ship.data.sources import builtin, spreadsheet
from ship.data.sources.archives import is_archive, unpacked
from ship.data.sources.folders import folder
from ship.data.sources.lists import table, vtab
from ship.data.sources.published import published
from ship.data.sources.rows import Files
from ship.data.sources.splits import Check, Item, Listing, split
from ship.data.writing import GROUP_ROWS, SCHEMA, Pieces, write_groups
from ship.errors import BadInput
from ship.experiment.length import TRAINING
from ship.experiment.task import PUBLISHED, Task
from ship.storage import below, expanded, replacing, sweep, write_json

_log = logging.getLogger(__name__)

NONE: Files = MappingProxyType({})
DECODERS = 2  # threads, as many as the workflow's rule has
GROUP_BYTES = 2**25  # of images in memory at once, beside GROUP_ROWS, for large photos
STEP = 8  # images that are read at once
NOTED = ("broken", "passed_over")  # of a listing, what decides nothing of a run
LONG = 20  # classes that a person reads line by line


def prepare(name: str, task: Task, data_root: str | Path, out: Path, archives: Files = NONE) -> list[str]:
    """Write three splits, notices.json and task.json to the folder `out`; say what was used, and how.

    The columns of a split are `key` (relative path), `image` (the file's own bytes) and `label`; rows keep the order of
    the list. `archives` are the verified ones that the task needs, by name (ship.data.inventory); what fetches them is
    no part of this, since it decides no byte. Raises BadInput, and leaves nothing, where an image cannot be decoded or
    a label is not as it must be.
    """
    with ThreadPoolExecutor(DECODERS) as pool:
        check, root = Inspection(name, task, pool), expanded(data_root)
        with noticed() as warnings, opened(name, task, root, check, archives, out.parent) as found:
            check_shown(name, found)
            listing = found._replace(about={**found.about, **check.about})
            fresh = not out.exists()
            try:
                _write(name, task, listing, warnings, out, pool)
            except BaseException:
                if fresh:
                    with contextlib.suppress(OSError):  # another job's file may lie there by now
                        out.rmdir()
                raise
    return [*summary(listing), *check.lines()]


@contextmanager
def opened(
    name: str, task: Task, data_root: Path, check: Inspection, archives: Files, scratch: Path
) -> Iterator[Listing]:
    """The task's images, wherever they come from; files of an archive go when the block ends.

    `check` reads images that nobody has published before they are split. Those of VTAB-1k and FGVC are read from
    the `archives`; the images that are wanted lie in `scratch` meanwhile, as one file without a name.
    """
    if task.source == "builtin":
        yield made(name, task)
        return
    if task.source in PUBLISHED:
        with published(name, task, archives, scratch, check.pool) as listing:
            yield listing
        return
    place = below(data_root, str(task.path))
    if task.url is not None:
        if len(archives) != 1:
            raise BadInput(f"tasks.{name}.url: expected one archive, got {len(archives)} (see `ship data`)")
        (place,) = archives.values()
    elif not _readable(name, place):
        way_out = f" (addresses: tasks.{name}.path=null, url=... and sha256=...)" if "://" in str(task.path) else ""
        raise BadInput(f"tasks.{name}.path: expected a folder, CSV file or archive, found nothing at {place}{way_out}")
    if task.url is not None or is_archive(place):
        shown = task.url or str(place)
        with unpacked(place, None if task.url else task.sha256, shown) as inside:  # what was fetched is verified
            yield read(name, task, inside, shown, check)
        return
    if task.sha256 is not None:
        raise BadInput(f"tasks.{name}.sha256: expected an archive to compare with, got {place}")
    yield read(name, task, place, str(place), check)


def _readable(name: str, place: Path) -> bool:
    """Whether there is a file or folder. Raises BadInput where it cannot be read."""
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        reason = error.strerror
    else:
        reason = None if os.access(place, os.R_OK) else os.strerror(errno.EACCES)
    if reason:
        raise BadInput(f"tasks.{name}.path: expected a place that can be read, got: {place}: {reason}")
    return True


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


def read(name: str, task: Task, place: Path, shown: str, check: Check) -> Listing:
    """The images of a folder or CSV file, which is called `shown` in errors."""
    if task.source == "csv":
        file = spreadsheet.only_one(place, shown) if place.is_dir() else place
        return table(name, task, file, shown if file == place else f"{shown}/{file.name}", check)
    if not place.is_dir():
        listed = place.suffix.lower() in spreadsheet.SUFFIXES
        way_out = f"tasks.{name}.source=csv reads a list" if listed else "unpack other kinds, and name their folder"
        raise BadInput(
            f"tasks.{name}.path: expected a folder or a whole archive (zip, tar, tar.gz), got {shown} ({way_out})"
        )
    return (vtab if task.source == "vtab" else folder)(name, task, place, shown, check)


def check_shown(name: str, listing: Listing) -> None:
    """Raises BadInput for a split without images, and for a class that no image of train or val shows.

    The latter unless the task's draw is known to miss some. Classes that test does not show are told.
    """
    if empty := [part for part, items in listing.splits.items() if not items]:
        raise BadInput(f"tasks.{name}: expected images in each of {', '.join(listing.splits)}, got none in {empty[0]}")
    shown = {item.label for part in TRAINING for item in listing.splits[part]}
    for label, title in enumerate(listing.classes):
        if label not in shown and not listing.holes:
            raise BadInput(
                f"tasks.{name}: expected training images of each of the {len(listing.classes)} classes, "
                f"got an empty class: {title!r} (label {label})"
            )
    tested = {item.label for item in listing.splits["test"]}
    if unseen := [title for label, title in enumerate(listing.classes) if label not in tested]:
        of = f"({len(unseen)} of {len(listing.classes)})"
        _log.warning("%s: test has no image of %s %s", name, ", ".join(unseen[:20]), of)


def summary(listing: Listing) -> list[str]:
    """What was used: images of each split and class, and files that were passed over, by suffix and reason.

    Of many classes, the fewest and the most images are told.
    """
    labels = {part: np.array([item.label for item in items], dtype=int) for part, items in listing.splits.items()}
    counts = {part: np.bincount(found, minlength=len(listing.classes)) for part, found in labels.items()}
    said = [f"{sum(map(len, labels.values()))} images of {len(listing.classes)} classes ({', '.join(counts)})"]
    table = np.array([*counts.values()])  # (splits, classes)
    if len(listing.classes) > LONG:
        whole = table.sum(axis=0)
        few, many = (f"{whole[row]} ({listing.classes[row]})" for row in (whole.argmin(), whole.argmax()))
        said.append(f"  of a class: {few} to {many}")
    else:
        said += [
            f"  {title}: {sum(numbers)} ({', '.join(map(str, numbers))})"
            for title, numbers in zip(listing.classes, table.T.tolist(), strict=True)
        ]
    return said + [f"passed over: {count} {why}" for why, count in listing.about.get("passed_over", {}).items()]


def _write(name: str, task: Task, listing: Listing, warnings: list[str], out: Path, pool: Executor) -> None:
    """All five files, or none: drafts become files when the last image has been checked, task.json at the very end."""
    about: dict[str, Any] = {"task": name, "source": task.source, **listing.about}
    about |= {"classes": listing.classes, "splits": {}}
    noted = {key: about.pop(key) for key in NOTED if key in about}
    reading = listing.about.get("reading")
    schema = SCHEMA.with_metadata({"reading": json.dumps(reading, sort_keys=True)}) if reading else SCHEMA
    with ExitStack() as drafts:
        # entered first, so that it is renamed last
        draft_summary = drafts.enter_context(replacing(out / TASK))
        write_json(drafts.enter_context(replacing(out / NOTICES)), {**noted, "warnings": warnings})
        for part, items in listing.splits.items():
            draft = drafts.enter_context(replacing(out / f"{part}.parquet"))
            with Pieces(draft) as file:
                write_groups(file, _groups(items, pool), schema)
            counts = np.bincount([item.label for item in items], minlength=len(listing.classes))
            about["splits"][part] = {"images": len(items), "sha256": file.hexdigest(), "per_class": counts.tolist()}
        write_json(draft_summary, about)
        (out / TASK).unlink(missing_ok=True)  # what is renamed from here on is of no older one
    sweep(out)


def _groups(items: Sequence[Item], pool: Executor) -> Iterator[tuple[Sequence[Item], list[bytes]]]:
    """Images that are in memory at once."""
    rows: list[Item] = []
    images: list[bytes] = []
    for start in range(0, len(items), STEP):
        step = items[start : start + STEP]
        rows += step
        images += map(_checked, step) if callable(step[0].content) else pool.map(_checked, step)
        if len(rows) >= GROUP_ROWS or sum(map(len, images)) >= GROUP_BYTES or start + STEP >= len(items):
            yield rows, images
            rows, images = [], []


def _checked(item: Item) -> bytes:
    """The image's bytes, which have been decoded to the end before, or are our own."""
    data = read_image(item)
    if item.digest and hashlib.sha256(data).digest() != item.digest:
        raise BadInput(f"{titled(item)}: expected the bytes that were inspected, got others (let them be meanwhile)")
    return data
