"""A task as a folder: one sub-folder per class, or one per split with such folders. Loads no torch, opens no image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ship.data.sources.splits import (
    SPLITS,
    Check,
    Item,
    Listing,
    check_number,
    chosen,
    part_of,
    share,
    split,
    unchecked,
)
from ship.data.sources.tree import Tree
from ship.errors import BadInput
from ship.experiment.task import Task

ALIKE = 0.5  # of their sub-folders' names, that all folders of a level have in common where they are no classes


def folder(name: str, task: Task, root: Path, shown: str, check: Check = unchecked) -> Listing:
    """The images of a folder with one sub-folder per class, split by the task's seed, or with such a folder per split.

    The folder is called `shown` in errors. `check` reads the images before they are split.
    """
    tree = Tree(root, shown)
    inside = tree.folders(root)
    while len(inside) == 1 and not part_of(inside[0]) and len(below := tree.folders(tree.root / inside[0])) > 1:
        tree.count_outside(tree.root, {inside[0]})
        passed, tree = tree.passed, Tree(tree.root / inside[0], f"{tree.shown}/{inside[0]}")
        tree.passed, inside = passed, below
    named = {title: part for title in inside if (part := part_of(title))}
    if named and (
        len(named) > 1 or len(named) == len(inside)
    ):  # a class may be called `test`, but not two, and not all
        return _own_splits(name, task, tree, named, check)
    _check_no_splits(tree, inside)
    classes = _classes(tree.root, task, tree)
    tree.count_outside(tree.root, {*classes})
    items = check(_by_class(tree.root, classes, tree, name, task))
    return Listing(split(name, task, items, classes), classes, about=_about(tree))


def _own_splits(name: str, task: Task, tree: Tree, named: dict[str, str], check: Check) -> Listing:
    """Splits as they lie in folders for train, val and test; what there is none of is set apart from train."""
    shown, inside, by_part = tree.shown, tree.folders(tree.root), {part: title for title, part in named.items()}
    if len(named) < len(inside) or "train" not in by_part or len(by_part) < len(named):
        got = ", ".join(inside)
        raise BadInput(
            f"{shown}: expected one sub-folder per class, or train, test and, where there is one, val, got {got} "
            "(rename or move those that do not belong there)"
        )
    for part in sorted(by_part):
        if part in task.model_fields_set and not isinstance(getattr(task, part), float):
            raise BadInput(
                f"tasks.{name}.{part}: expected no size, since {shown}/{by_part[part]} is used whole, got one"
            )
    if "test" not in by_part and task.test is None:
        raise BadInput(
            f"{shown}: expected one sub-folder per class, or train, test and, where there is one, val, got no test in "
            f"{', '.join(inside)} (say how many of {by_part['train']} to test on, as in tasks.{name}.test=0.2)"
        )
    classes = _classes(tree.root / by_part["train"], task, tree)
    items: list[Item] = []
    for part in (part for part in SPLITS if part in by_part):
        place = tree.root / by_part[part]
        if odd := sorted({*tree.folders(place)} - {*classes}):
            raise BadInput(
                f"{shown}/{by_part[part]}/{odd[0]}: expected a class of {shown}/{by_part['train']}, got another"
            )
        tree.count_outside(place, {*classes})
        found = _by_class(place, classes, tree, name, task)
        if not found:
            raise BadInput(f"{shown}/{by_part[part]}: expected images in a sub-folder for each class, got none")
        items += found
    tree.count_outside(tree.root, {*inside})
    parts = {title: part for part, title in by_part.items()}
    splits: dict[str, list[Item]] = {part: [] for part in SPLITS if part in by_part}
    for item in check(items):
        splits[parts[item.key.split("/")[0]]].append(item)
    return Listing(apart(name, task, splits, classes, f"{shown}/{by_part['train']}"), classes, about=_about(tree))


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
        raise BadInput(f"tasks.{name}.{part}: expected fewer than the {len(whole)} of {shown}, got {got}")
    if sizes:
        floors = np.zeros((len(sizes) + 1, len(classes)), dtype=np.int64)
        have = np.bincount([item.label for item in whole], minlength=len(classes)) > 0
        floors[0] = have if have.sum() <= left else 0
        rows = chosen(name, task, whole, classes, [left, *sizes.values()], floors, ["train", *sizes])
        splits = {**splits, **rows}
    return {part: splits[part] for part in SPLITS}


def _check_no_splits(tree: Tree, inside: Sequence[str]) -> None:
    """Raises BadInput where the folders of the top level are no classes: all of them have the same sub-folders."""
    below = [{*tree.folders(tree.root / title)} for title in inside]
    if len(below) < 2 or not all(below):
        return
    same, any_of = set.intersection(*below), set.union(*below)
    if len(same) > 1 and len(same) / len(any_of) >= ALIKE:
        got = f"got {', '.join(inside[:20])}, which all have the sub-folders {', '.join(sorted(same)[:20])}"
        if all(part_of(title) for title in same):
            way_out = f"put {', '.join(sorted(same))} on top, with a folder for each class in each of them"
        else:
            way_out = "call them train, val and test if they are splits, or name one of them in path"
        raise BadInput(f"{tree.shown}: expected one sub-folder per class, {got} ({way_out})")


def _classes(root: Path, task: Task, tree: Tree) -> list[str]:
    """The names of two or more sub-folders, as many as the task says."""
    classes, shown = tree.folders(root), f"{tree.shown}/{root.relative_to(tree.root).as_posix()}".removesuffix("/.")
    if len(classes) < 2:
        raise BadInput(
            f"{shown}: expected one sub-folder for each of two or more classes, got {len(classes)} sub-folders"
        )
    check_number(classes, task, shown)
    return classes


def _by_class(root: Path, classes: Sequence[str], tree: Tree, name: str, task: Task) -> list[Item]:
    """The images of the sub-folders of `root`, in the order of the classes."""
    keys = [tree.images(root / title) if (root / title).is_dir() else [] for title in classes]
    if task.broken == "refuse":
        tree.check(f"tasks.{name}.broken: skip leaves them out")
    items = []
    for label, (title, found) in enumerate(zip(classes, keys, strict=True)):
        if not found and (root / title).is_dir():
            place = (root / title).relative_to(tree.root).as_posix()
            raise BadInput(
                f"{tree.shown}/{place}: expected images of the class {title!r}, got an empty class (remove it?)"
            )
        items += [Item(key, label, f"{tree.shown}/{key}", tree.root / key) for key in found]
    return items


def _about(tree: Tree) -> dict[str, dict[str, int]]:
    """What task.json says of the files that were not used, where there are any."""
    passed = dict(sorted(tree.passed.items()))
    if tree.lost:
        passed["link to nothing, or a name that is not UTF-8"] = len(tree.lost)
    return {"passed_over": passed} if passed else {}
