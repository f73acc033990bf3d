"""The images of a task, not read yet, and how they are split. Loads no torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ship.data.sources.spelling import check_printable, warn_alike
from ship.data.sources.strata import grouped, stratified
from ship.errors import BadInput, together
from ship.experiment.task import OWN, Task

_log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}  # for any number of images, as in the preset `own`


class Item(NamedTuple):
    """An image that is not read yet.

    `key` is its relative path with `/`, `place` names it in errors, `content` is its file, the encoded bytes, or what
    reads those that have been checked. Images with the same `group` stay on one side of a random split, as those with
    the same `digest` of their bytes do. `part` is the split that it lies in where the task has splits of its own.
    """

    key: str
    label: int
    place: str
    content: Path | bytes | Callable[[], bytes]
    group: str = ""
    digest: bytes = b""
    part: str = ""


class Listing(NamedTuple):
    """The images of every split and the names of the classes.

    `holes`: whether a class may lack training images; `about`: what else task.json says of them.
    """

    splits: dict[str, list[Item]]
    classes: list[str]
    holes: bool = False
    about: Mapping[str, Any] = MappingProxyType({})


Check = Callable[[Sequence[Item]], list[Item]]
"""What reads the images before they are split: those that can be used, with their digests"""


def unchecked(items: Sequence[Item]) -> list[Item]:
    """The images as they are."""
    return list(items)


def parted(items: Sequence[Item], parts: Container[str]) -> dict[str, list[Item]]:
    """The images of each of the splits `parts`, as they lie in them."""
    return {part: [item for item in items if item.part == part] for part in SPLITS if part in parts}


def check_groups(splits: Mapping[str, Sequence[Item]], shown: str) -> None:
    """Raise BadInput for every group whose images lie in more than one of the `splits` that are given."""
    lies: dict[str, dict[str, None]] = {}
    for title, items in splits.items():
        for item in items:
            lies.setdefault(item.group, {})[title] = None
    faults = [
        f"{shown}: expected all images of group {group!r} in one split, got them in {', '.join(titles)}"
        for group, titles in lies.items()
        if group and len(titles) > 1
    ]
    if faults:
        raise together(faults, "without the column split, groups stay together; without the column group, none do")


def split(name: str, task: Task, items: Sequence[Item], classes: Sequence[str]) -> dict[str, list[Item]]:
    """Train, val and test of exactly the sizes asked for, with every class in proportion; in the order of `items`.

    Images of one group, and copies, stay together, and then sizes may differ by what that takes.
    """
    sizes = _sizes(name, task, len(items))
    if left := len(items) - sum(sizes):
        asked = ", ".join(f"{part} {size}" for part, size in zip(SPLITS, sizes, strict=True))
        _log.info("tasks.%s: %d of %d images are in no split (%s)", name, left, len(items), asked)
    floors = _floors(task, items, sizes, len(classes))
    return chosen(name, task, items, classes, sizes, floors, SPLITS)


def chosen(
    name: str,
    task: Task,
    items: Sequence[Item],
    classes: Sequence[str],
    sizes: Sequence[int],
    floors: NDArray[np.int64],
    parts: Sequence[str],
) -> dict[str, list[Item]]:
    """The `parts` of these sizes, each with `floors` (parts, classes) images of each class at the least."""
    labels = np.array([item.label for item in items], dtype=np.int64)
    units = _units(items)
    if len(set(units)) == len(items):
        rows = stratified(labels, sizes, len(classes), task.seed, floors)
    else:
        rows = grouped(labels, np.array(units), sizes, len(classes), task.seed, floors)
    if empty := [part for part, found in zip(parts, rows, strict=True) if not len(found)]:
        raise BadInput(f"tasks.{name}: expected enough groups for {', '.join(parts)}, got none left for {empty[0]}")
    check_train(name, labels, rows[0], classes)
    return {part: [items[index] for index in found] for part, found in zip(parts, rows, strict=True)}


def apart(
    name: str, task: Task, splits: dict[str, list[Item]], classes: Sequence[str], shown: str
) -> dict[str, list[Item]]:
    """The `splits`, with those that are lacking set apart from train, which is called `shown`, in proportion."""
    whole = splits["train"]
    sizes = {part: share(getattr(task, part), len(whole)) or 0 for part in SPLITS if part not in splits}
    left = len(whole) - sum(sizes.values())
    if sizes and left < 1:
        part = next(iter(sizes))
        got = getattr(task, part) if len(sizes) == 1 else " and ".join(str(size) for size in sizes.values())
        raise BadInput(
            f"tasks.{name}.{part}: expected fewer than the {len(whole)} of {shown}, got {got}"
            f"{_defaults(name, task, sizes)}"
        )
    if sizes:
        floors = np.zeros((len(sizes) + 1, len(classes)), dtype=np.int64)
        have = np.bincount([item.label for item in whole], minlength=len(classes)) > 0
        floors[0] = have if have.sum() <= left else 0
        rows = chosen(name, task, whole, classes, [left, *sizes.values()], floors, ["train", *sizes])
        splits = {**splits, **rows}
    return {part: splits[part] for part in SPLITS}


def share(size: float | None, whole: int) -> int | None:
    """A size in images; a share of the `whole` is one image at the least."""
    return max(1, round(size * whole)) if isinstance(size, float) else size


def _sizes(name: str, task: Task, whole: int) -> tuple[int, int, int]:
    val, test = share(task.val, whole) or 0, share(task.test, whole)
    train = share(task.train, whole) or 0
    shares = [size for size in (task.train, task.val, task.test) if isinstance(size, float)]
    if len(shares) == len(SPLITS) and sum(shares) > 1 - 1e-9:  # all images, whatever rounding says
        train = whole - val - (test or 0)
    test = test or max(whole - train - val, 1)
    needed = max(train, 1) + val + test
    if whole < needed:
        raise BadInput(
            f"tasks.{name}: expected at least {needed} images (train {max(train, 1)}, val {val}, test {test}), "
            f"got {whole}{_defaults(name, task, SPLITS) or ' (lower train, val or test)'}"
        )
    return train, val, test


def _defaults(name: str, task: Task, parts: Iterable[str]) -> str:
    """Which sizes of these parts nobody has written, and how shares are; empty where all are, or must be numbers."""
    unset = [part for part in parts if part not in task.model_fields_set and getattr(task, part) is not None]
    if not unset or task.source not in OWN:
        return ""
    said = " and ".join(f"{part} {getattr(task, part)}" for part in unset)
    said += " is the default" if len(unset) == 1 else " are the defaults"
    return f" ({said}; shares work, too, such as tasks.{name}.{unset[0]}={SHARES[unset[0]]})"


def _floors(task: Task, items: Sequence[Item], sizes: Sequence[int], classes: int) -> NDArray[np.int64]:
    """One image of each class for train; with shares one of test, too, and of val, where there are enough."""
    have = np.bincount([item.label for item in items], minlength=classes)
    floors = np.zeros((len(sizes), classes), dtype=np.int64)
    wanted = {0: 1, 2: 2, 1: 3} if isinstance(task.train, float) else {0: 1}
    for part, enough in wanted.items():
        if (have >= enough).sum() <= sizes[part]:
            floors[part] = have >= enough
    return floors


def _units(items: Sequence[Item]) -> list[int]:
    """A number for each image, the same for those that must stay together: by group, or by copies of the same bytes."""
    parent = list(range(len(items)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[str | bytes, int] = {}
    for row, item in enumerate(items):
        for mark in (item.group, item.digest):
            if mark:
                parent[root(row)] = root(first.setdefault(mark, row))
    return [root(row) for row in range(len(items))]


def check_classes(classes: Sequence[str], task: Task, shown: str) -> None:
    """Raises BadInput for another number, and for names that break lines; tells names that people may mean as one."""
    check_number(classes, task, shown)
    check_printable(classes, shown)
    warn_alike(classes, shown, "classes")


def check_number(classes: Sequence[str], task: Task, shown: str) -> None:
    """Raises BadInput where the task says another number of classes; their source is called `shown`."""
    if task.classes not in (None, len(classes)):
        raise BadInput(f"{shown}: expected {task.classes} classes, got {len(classes)}: {', '.join(classes[:20])}")


def check_train(name: str, labels: NDArray[np.int64], train: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raises BadInput for all classes that have images, by their `labels`, of which none is in the rows of `train`."""
    have = np.bincount(labels, minlength=len(classes))
    trained = np.bincount(labels[train], minlength=len(classes))
    lacking = [label for label in range(len(classes)) if have[label] and not trained[label]]
    if lacking:
        said = [
            f"got {have[label]} of the class {classes[label]!r}, of which none falls into train" for label in lacking
        ]
        said[0] = f"tasks.{name}: expected enough images of every class, {said[0]}"
        enough, parts = int((have > 0).sum()), len(SPLITS)
        fewer = (
            f"lower val and test so that {enough} or more are left for train, or "
            if len(labels) >= enough + parts - 1
            else ""
        )
        raise together(said, f"{fewer}add images")
