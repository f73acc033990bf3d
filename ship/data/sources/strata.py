"""Random parts of a set of labelled images, with every class in proportion. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def stratified(
    labels: Rows, sizes: Sequence[int], classes: int, seed: int, floors: NDArray[np.int64] | None = None
) -> list[Rows]:
    """Disjoint, sorted row numbers, one array of exactly the size asked for in `sizes` a part.

    Every part takes from the classes in proportion to what the earlier parts left of them, by largest remainders, and
    at least as many of each as `floors` (parts, classes) say.
    """
    # a stream per class: images added to one class do not reshuffle another
    piles = [Generator(PCG64([seed, label])).permutation(np.flatnonzero(labels == label)) for label in range(classes)]
    parts = []
    for quota in quotas(np.array([len(pile) for pile in piles]), sizes, floors):
        parts.append(np.sort(np.concatenate([pile[:count] for pile, count in zip(piles, quota, strict=True)])))
        piles = [pile[count:] for pile, count in zip(piles, quota, strict=True)]
    return parts


def quotas(
    have: NDArray[np.int64], sizes: Sequence[int], floors: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """How many images of each class a part takes: (classes,) a part, of what classes `have`."""
    floors = np.zeros((len(sizes), len(have)), dtype=np.int64) if floors is None else floors
    left = have.astype(np.int64)
    taken: list[NDArray[np.int64]] = []
    for part, size in enumerate(sizes):
        quota, rest = np.divmod(size * left, left.sum())
        quota[np.argsort(-rest, kind="stable")[: size - quota.sum()]] += 1
        later = floors[part + 1 :].sum(axis=0)
        quota = _within(quota, np.minimum(floors[part], left), np.maximum(left - later, 0))
        left = left - quota
        taken.append(quota)
    return taken


def _within(quota: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """The quota between `low` and `high` with the same sum, as far as that goes; unchanged where it is there."""
    size, found = quota.sum(), np.clip(quota, low, np.maximum(low, high))
    while found.sum() > size and (found > low).any():
        found[np.argmax(np.where(found > low, found, -1))] -= 1
    while found.sum() < size:
        room = np.where(found < high, high - found, -1)
        found[np.argmax(room if (room > 0).any() else quota - found)] += 1
    return found


def grouped(
    labels: Rows,
    units: Rows,
    sizes: Sequence[int],
    classes: int,
    seed: int,
    floors: NDArray[np.int64] | None = None,
) -> list[Rows]:
    """As `stratified`, with the rows of a unit (n,) in one part; so sizes and proportions are near what is asked for.

    One unit of every class goes to the first part, from the rarest class; then units go, the largest first, to where
    their classes lack most in proportion. Units of one image fill up what is left.
    """
    numbers, first = np.unique(units, return_inverse=True)
    counts = np.zeros((len(numbers), classes), dtype=np.int64)  # images of a unit, by class
    np.add.at(counts, (first, labels), 1)
    have = counts.sum(axis=0)
    wanted = quotas(have, sizes, floors)
    wanted.append(have - np.sum(wanted, axis=0))  # what nobody asked for
    goal, found = np.array(wanted, dtype=float), np.zeros((len(wanted), classes))
    place = np.full(len(numbers), -1)
    shuffled = Generator(PCG64([seed, classes])).permutation(len(numbers))

    def put(unit: int, part: int) -> None:
        place[unit] = part
        found[part] += counts[unit]

    size = counts.sum(axis=1)
    order = shuffled[np.argsort(-size[shuffled], kind="stable")]
    for label in np.argsort((counts > 0).sum(axis=0), kind="stable"):
        if have[label] and not found[0, label]:
            put(int(next(unit for unit in order[::-1] if counts[unit, label] and place[unit] < 0)), 0)
    for unit in order:
        if place[unit] < 0:
            own = np.flatnonzero(counts[unit])
            gain = counts[unit, own]
            # how much the squared distance from the goal grows, in proportion to the goal
            cost = (gain * (gain + 2 * (found[:, own] - goal[:, own])) / np.maximum(goal[:, own], 0.5)).sum(axis=1)
            put(int(unit), int(np.argmin(cost)))
    return [np.flatnonzero(place[first] == part) for part in range(len(sizes))]
