"""The images of a task, not read yet, and how they are split. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from ship.errors import BadInput
from ship.experiment.params import Task

SPLITS = ("train", "val", "test")


class Item(NamedTuple):
    """An image that is not read yet.

    `key` is its relative path with `/`, `place` names it in errors, `content` is its file, the encoded bytes, or what
    reads them.
    """

    key: str
    label: int
    place: str
    content: Path | bytes | Callable[[], bytes]


class Listing(NamedTuple):
    """The images of every split and the names of the classes.

    `holes`: whether a class may lack training images; `about`: what else task.json says of them.
    """

    splits: dict[str, list[Item]]
    classes: list[str]
    holes: bool = False
    about: Mapping[str, Any] = MappingProxyType({})


def split(name: str, task: Task, items: Sequence[Item], classes: Sequence[str]) -> dict[str, list[Item]]:
    """Train, val and test of exactly the sizes asked for, with every class in proportion; in the order of `items`."""
    labels = np.array([item.label for item in items], dtype=np.int64)
    test = task.test or max(len(items) - task.train - task.val, 1)
    needed = task.train + task.val + test
    if len(items) < needed:
        raise BadInput(
            f"tasks.{name}: expected at least {needed} images (train {task.train}, val {task.val}, test {test}), "
            f"got {len(items)} (lower train, val or test)"
        )
    chosen = stratified(labels, (task.train, task.val, test), len(classes), task.seed)
    check_train(name, labels, chosen[0], classes)
    return {part: [items[index] for index in rows] for part, rows in zip(SPLITS, chosen, strict=True)}


def check_number(classes: Sequence[str], task: Task, shown: str) -> None:
    """Raises BadInput where the task says another number of classes; their source is called `shown`."""
    if task.classes not in (None, len(classes)):
        raise BadInput(f"{shown}: expected {task.classes} classes, got {len(classes)}: {', '.join(classes[:20])}")


def check_train(name: str, labels: NDArray[np.int64], train: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raises BadInput for a class that has images, by their `labels`, of which none is among the rows of `train`."""
    have = np.bincount(labels, minlength=len(classes))
    trained = np.bincount(labels[train], minlength=len(classes))
    for label, title in enumerate(classes):
        if have[label] and not trained[label]:
            raise BadInput(
                f"tasks.{name}: expected enough images of every class, got {have[label]} of the class {title!r}, "
                f"of which none falls into train (add images of it, or change the sizes)"
            )


def stratified(labels: NDArray[np.int64], sizes: Sequence[int], classes: int, seed: int) -> list[NDArray[np.int64]]:
    """Disjoint, sorted row numbers, one array of exactly the size asked for in `sizes` a part.

    Every part takes from the classes in proportion to what the earlier parts left of them, by largest remainders.
    """
    # a stream per class: images added to one class do not reshuffle another
    piles = [Generator(PCG64([seed, label])).permutation(np.flatnonzero(labels == label)) for label in range(classes)]
    parts = []
    for size in sizes:
        left = np.array([len(pile) for pile in piles])
        quota, rest = np.divmod(size * left, left.sum())
        quota[np.argsort(-rest, kind="stable")[: size - quota.sum()]] += 1
        parts.append(np.sort(np.concatenate([pile[:count] for pile, count in zip(piles, quota, strict=True)])))
        piles = [pile[count:] for pile, count in zip(piles, quota, strict=True)]
    return parts
