"""What is there and what is lacking of the archives that tasks need, all at once. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ship.data.draft import amount
from ship.data.inventory import Sizes, aside, by_hand, find, lacking, sizes_in
from ship.data.sources.catalogue import Archive
from ship.storage import free_disk

States = Literal["found", "to download", "by hand", "wrong"]


class State(NamedTuple):
    """Of an archive: what there is, and `lacking`, the bytes that a download would add."""

    archive: Archive
    tasks: tuple[str, ...]
    state: States
    path: Path | None
    lacking: int
    faults: tuple[str, ...]


def states(needs: Mapping[str, Sequence[Archive]], folder: Path) -> list[State]:
    """Each archive that tasks need, once, in the order of the tasks."""
    users: dict[Archive, list[str]] = {}
    for task, archives in needs.items():
        for archive in archives:
            users.setdefault(archive, []).append(task)
    sizes = sizes_in(folder)
    return [_state(archive, tuple(tasks), folder, sizes) for archive, tasks in users.items()]


def table(found: Sequence[State], folder: Path) -> str:
    """One row a task and archive, then what is lacking and what a person must do."""
    if not found:
        return "no task of this experiment needs an archive"
    rows = [("task", "archive", "size", "state")]
    for one in found:
        state = one.state if one.path is None or one.path.name == one.archive.name else f"{one.state}: {one.path}"
        size = "" if one.archive.size is None else amount(one.archive.size)
        rows += [(task, one.archive.name, size, state) for task in one.tasks]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{task:{widths[0]}}  {name:{widths[1]}}  {size:>{widths[2]}}  {state}".rstrip()
        for task, name, size, state in rows
    ]
    return "\n".join([*lines, "", *_summary(found, folder)])


def as_json(found: Sequence[State], folder: Path) -> dict[str, Any]:
    """The same for machines; sizes in bytes."""
    archives = [
        {
            "archive": one.archive.name,
            "tasks": list(one.tasks),
            "bytes": one.archive.size,
            "state": one.state,
            "path": None if one.path is None else str(one.path),
            "lacking": one.lacking,
            "faults": list(one.faults),
        }
        for one in found
    ]
    return {"folder": str(folder), "free": free_disk(folder), "needed": _needed(found), "archives": archives}


def _state(archive: Archive, tasks: tuple[str, ...], folder: Path, sizes: Sizes) -> State:
    found = find(archive, folder, sizes)
    state: States = "found" if found.path else "to download" if archive.urls else "by hand"
    if found.path is None and ((folder / archive.name).exists() or aside(archive, folder)):
        state = "wrong"
    fetched = found.path is None and bool(archive.urls)
    return State(archive, tasks, state, found.path, lacking(archive, folder) if fetched else 0, found.faults)


def _summary(found: Sequence[State], folder: Path) -> list[str]:
    """What is to be downloaded, and a line for everything that is wrong or needs a person."""
    unknown = sum(one.state == "to download" and one.archive.size is None for one in found)
    free, need = free_disk(folder), _needed(found)
    lines = [f"{folder}: {amount(need)} to download, {amount(free)} free" + (", too little" if need > free else "")]
    if unknown:
        lines[0] += f" (beside {unknown} of unknown size)"
    for one in found:
        way = "" if one.state != "wrong" else " (delete or move it)"
        lines += [f"wrong: {fault}{way}" for fault in one.faults]
    left = by_hand((one.archive for one in found if _needs_person(one)), folder)
    return lines + [f"by hand: {line}" for line in left.splitlines()]


def _needs_person(one: State) -> bool:
    return one.path is None and not one.archive.urls


def _needed(found: Sequence[State]) -> int:
    return sum(one.lacking for one in found)
