"""A task as a folder: one sub-folder per class, or one per split with such folders. Loads no torch, opens no image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ship.data.sources.splits import SPLITS, Item, Listing, check_number, check_train, split, stratified
from ship.errors import BadInput
from ship.experiment.params import Task

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def folder(name: str, task: Task, root: Path, shown: str) -> Listing:
    """The images of a folder with one sub-folder per class, split by the task's seed, or with such a folder per split.

    The folder is called `shown` in errors.
    """
    inside = set(_subfolders(root))
    named = {title for title in inside if title.lower() in {*SPLITS, "valid", "validation"}}
    if named and (len(named) > 1 or named == inside):  # a class may be called `test`, but not two, and not all
        return _own_splits(name, task, root, shown, inside)
    classes = _classes(root, task, shown)
    return Listing(split(name, task, _by_class(root, classes, root, shown), classes), classes)


def _own_splits(name: str, task: Task, root: Path, shown: str, inside: set[str]) -> Listing:
    """Splits as they lie in `train`, `val` and `test`; without `val`, as many of train as the task says."""
    if not {"train", "test"} <= inside <= {*SPLITS}:
        got = ", ".join(sorted(inside))
        raise BadInput(
            f"{shown}: expected one sub-folder per class, or train, test and, where there is one, val, got {got}"
        )
    if sizes := sorted(inside & task.model_fields_set):
        raise BadInput(f"tasks.{name}.{sizes[0]}: expected no size, since {shown}/{sizes[0]} is used whole, got one")
    classes = _classes(root / "train", task, f"{shown}/train")
    for part in sorted(inside):
        if odd := sorted({*_subfolders(root / part)} - {*classes}):
            raise BadInput(f"{shown}/{part}/{odd[0]}: expected a class of {shown}/train, got another")
    splits = {part: _by_class(root / part, classes, root, shown) for part in SPLITS if part in inside}
    for part, items in splits.items():
        if not items:
            raise BadInput(f"{shown}/{part}: expected images in a sub-folder for each class, got none")
    if "val" not in inside:
        splits["train"], splits["val"] = _val_apart(name, task, splits["train"], classes, f"{shown}/train")
    return Listing({part: splits[part] for part in SPLITS}, classes)


def _val_apart(
    name: str, task: Task, whole: Sequence[Item], classes: Sequence[str], shown: str
) -> tuple[list[Item], list[Item]]:
    """Train and val out of the `whole` of train, with every class in proportion."""
    if len(whole) <= task.val:
        raise BadInput(f"tasks.{name}.val: expected fewer than the {len(whole)} of {shown}, got {task.val}")
    labels = np.array([item.label for item in whole])
    train, val = stratified(labels, (len(whole) - task.val, task.val), len(classes), task.seed)
    check_train(name, labels, train, classes)
    return [whole[row] for row in train], [whole[row] for row in val]


def _subfolders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not _hidden(path.name))


def _classes(root: Path, task: Task, shown: str) -> list[str]:
    """The names of two or more sub-folders, as many as the task says."""
    classes = _subfolders(root)
    if len(classes) < 2:
        raise BadInput(
            f"{shown}: expected one sub-folder for each of two or more classes, got {len(classes)} sub-folders"
        )
    check_number(classes, task, shown)
    return classes


def _by_class(root: Path, classes: Sequence[str], top: Path, shown: str) -> list[Item]:
    """The images of the sub-folders of `root`, in the order of the classes; `top` is called `shown` in errors."""
    items: list[Item] = []
    for label, title in enumerate(classes):
        keys = sorted(path.relative_to(top).as_posix() for path in (root / title).rglob("*") if _is_image(path, top))
        if not keys and (root / title).is_dir():
            place = (root / title).relative_to(top).as_posix()
            raise BadInput(f"{shown}/{place}: expected images of the class {title!r}, got an empty class (remove it?)")
        items += [Item(key, label, f"{shown}/{key}", top / key) for key in keys]
    return items


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_image(path: Path, root: Path) -> bool:
    """Whether it is an image by its name; others, such as notes and thumbnails of file managers, are passed over."""
    hidden = any(_hidden(part) for part in path.relative_to(root).parts)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()
