"""A task as a folder: one sub-folder per class, or one per split with such folders. Loads no torch, opens no image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from ship.data.sources.spelling import part_of, parts_of, plain
from ship.data.sources.splits import SPLITS, Check, Item, Listing, apart, check_classes, parted, split, unchecked
from ship.data.sources.tree import Tree
from ship.errors import BadInput, together
from ship.experiment.task import Task

_log = logging.getLogger(__name__)
SHOWN = 5  # names in a line

ALIKE = 0.5  # of their sub-folders' names, that all folders of a level have in common where they are no classes


def folder(name: str, task: Task, root: Path, shown: str, check: Check = unchecked) -> Listing:
    """The images of a folder with one sub-folder per class, split by the task's seed, or with such a folder per split.

    The folder is called `shown` in errors. `check` reads the images before they are split.
    """
    tree = Tree(root, shown)
    if (place := _inmost(tree, root, part_of)) != root:
        tree = tree.inner(place)
    inside = tree.folders(tree.root)
    named = parts_of(inside)
    if named and (
        len(named) > 1 or len(named) == len(inside)
    ):  # a class may be called `test`, but not two, and not all
        return _own_splits(name, task, tree, named, check)
    _check_no_splits(tree, inside, named)
    classes = _classes(tree.root, task, tree, name)
    found = _by_class(tree.root, classes, tree, name, task)
    _check_none_below(tree, found, name)
    tree.count_outside(tree.root, {*classes})
    items = check(found)
    return Listing(split(name, task, items, classes), classes, about=_about(tree))


def _inmost(tree: Tree, place: Path, stop: Callable[[str], object]) -> Path:
    """The folder `place`, or the only one in it where that has folders, and so on, but for names that `stop` knows.

    What lies beside is counted.
    """
    while len(inside := tree.folders(place)) == 1 and not stop(inside[0]) and tree.folders(place / inside[0]):
        tree.count_outside(place, {*inside})
        place /= inside[0]
    return place


def _own_splits(name: str, task: Task, tree: Tree, named: dict[str, str], check: Check) -> Listing:
    """Splits as they lie in folders for train, val and test; what there is none of is set apart from train."""
    shown, inside, by_part = tree.shown, tree.folders(tree.root), {part: title for title, part in named.items()}
    if len(named) < len(inside) or "train" not in by_part or len(by_part) < len(named):
        got = ", ".join(inside)
        raise BadInput(
            f"{shown}: expected one sub-folder per class, or train, test and, where there is one, val, got {got} "
            "(rename or move those that do not belong there)"
        )
    for part in sorted({*by_part} & task.model_fields_set):
        size, why = getattr(task, part), f"since {shown}/{by_part[part]} is used whole"
        if not isinstance(size, float):
            raise BadInput(f"tasks.{name}.{part}: expected no size, {why}, got {size}")
        _log.info("tasks.%s.%s: the share %g says nothing here, %s", name, part, size, why)
    if "test" not in by_part and task.test is None:
        raise BadInput(
            f"{shown}: expected one sub-folder per class, or train, test and, where there is one, val, got no test in "
            f"{', '.join(inside)} (say how many of {by_part['train']} to test on, as in tasks.{name}.test=0.2)"
        )
    train = _inmost(tree, tree.root / by_part["train"], lambda _: False)
    classes = _classes(train, task, tree, name)
    items: list[Item] = []
    for part in (part for part in SPLITS if part in by_part):
        place = train if part == "train" else _inmost(tree, tree.root / by_part[part], classes.__contains__)
        if odd := sorted({*tree.folders(place)} - {*classes}):
            raise _unknown(odd, classes, tree.shown_of(train), tree.shown_of(place))
        before = tree.passed.copy()
        tree.count_outside(place, {*classes})
        found = _by_class(place, classes, tree, name, task)
        if not found:
            raise BadInput(
                f"{tree.shown_of(place)}: expected images in a sub-folder for each class, got none"
                f"{tree.since(before)} (move it away if its images have no labels)"
            )
        items += [item._replace(part=part) for item in found]
    _check_none_below(tree, items, name)
    tree.count_outside(tree.root, {*inside})
    splits = parted(check(items), by_part)
    return Listing(apart(name, task, splits, classes, f"{shown}/{by_part['train']}"), classes, about=_about(tree))


def _unknown(odd: Sequence[str], classes: Sequence[str], train: str, shown: str) -> BadInput:
    """An error for the sub-folders `odd` of a split that are none of the `classes` of the folder `train`."""
    near = {plain(title): f" (there is {title}, which differs in spelling alone)" for title in classes}
    rule = f"expected a class of {train}, got another"
    return together([f"{shown}/{title}: {rule}{near.get(plain(title), '')}" for title in odd])


def _check_no_splits(tree: Tree, inside: Sequence[str], named: Mapping[str, str]) -> None:
    """Raises BadInput where the folders of the top level are no classes, since they have the same sub-folders.

    One that is `named` as a split is, and has sub-folders itself, is no class beside others.
    """
    below = [{*tree.folders(tree.root / title)} for title in inside]
    if odd := [title for title, folders in zip(inside, below, strict=True) if title in named and folders]:
        others = ", ".join([title for title in inside if title not in odd][:20])
        raise BadInput(
            f"{tree.shown}: expected one sub-folder per class, or splits alone, got {', '.join(odd)} with sub-folders "
            f"beside {others} (move away what is no split; or rename {odd[0]}, if it is a class)"
        )
    if len(below) < 2 or not all(below):
        return
    same, any_of = set.intersection(*below), set.union(*below)
    if len(same) > 1 and len(same) / len(any_of) >= ALIKE:
        got = f"got {', '.join(inside[:20])}, which all have the sub-folders {', '.join(sorted(same)[:20])}"
        if all(part_of(title) for title in same):
            way_out = f"put {', '.join(sorted(same))} on top, with a folder for each class in each of them"
        else:
            way_out = "call them train, val and test if they are splits"
        raise BadInput(
            f"{tree.shown}: expected one sub-folder per class, {got} ({way_out}, or name one of these in path)"
        )


def _check_none_below(tree: Tree, items: Sequence[Item], name: str) -> None:
    """Raises BadInput where a class holds folders that are named as splits are."""
    folders = {folder for item in items for folder in PurePosixPath(item.key).parents[:-1]}
    below: dict[PurePosixPath, list[str]] = {}
    for folder in sorted(folders):
        below.setdefault(folder.parent, []).append(folder.name)
    faults = [
        f"{tree.shown}/{folder}: expected images of one class, got the splits {', '.join(titles)}"
        for folder, titles in below.items()
        if folder.name and len({*parts_of(titles).values()}) > 1
    ]
    if faults:
        raise together(faults, f"name that folder in tasks.{name}.path, or put splits on top")


def _classes(root: Path, task: Task, tree: Tree, name: str) -> list[str]:
    """The names of two or more sub-folders, as many as the task says."""
    classes, before = tree.folders(root), tree.passed.copy()
    if len(classes) < 2:
        tree.count_outside(root, {*classes})
        raise BadInput(
            f"{tree.shown_of(root)}: expected one sub-folder for each of two or more classes, got {len(classes)} "
            f"sub-folders{tree.since(before)} (a CSV file of images and their labels is read with "
            f"tasks.{name}.source=csv)"
        )
    check_classes(classes, task, tree.shown_of(root))
    return classes


def _by_class(root: Path, classes: Sequence[str], tree: Tree, name: str, task: Task) -> list[Item]:
    """The images of the sub-folders of `root`, in the order of the classes."""
    items, empty, inner = [], [], []
    for label, title in enumerate(classes):
        place, before = root / title, tree.passed.copy()
        keys = tree.images(place) if place.is_dir() else []
        if not keys and place.is_dir():
            got = tree.since(before) or " (remove it?)"
            empty.append(f"{tree.shown_of(place)}: expected images of the class {title!r}, got an empty class{got}")
        depth = len(place.relative_to(tree.root).parts)
        below = sorted({parts[depth] for key in keys if len(parts := PurePosixPath(key).parts) > depth + 1})
        inner += [f"{title} ({', '.join(below[:SHOWN])}{', ...' if below[SHOWN:] else ''})"] if below else []
        items += [Item(key, label, f"{tree.shown}/{key}", tree.root / key) for key in keys]
    if task.broken == "refuse":
        tree.check(f"tasks.{name}.broken: skip leaves them out")
    if empty:
        raise together(empty)
    if inner:
        more = f" and {len(inner) - SHOWN} more" if inner[SHOWN:] else ""
        _log.info("%s: one class with its sub-folders: %s%s", tree.shown_of(root), ", ".join(inner[:SHOWN]), more)
    return items


def _about(tree: Tree) -> dict[str, dict[str, int]]:
    """What task.json says of the files that were not used, where there are any."""
    passed = dict(sorted(tree.passed.items()))
    if tree.lost:
        passed["link to nothing, or a name that is not UTF-8"] = len(tree.lost)
    return {"passed_over": passed} if passed else {}
