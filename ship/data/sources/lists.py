"""A task as a list of images and labels: VTAB's lists, or a CSV file. Loads no torch, opens no image."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ship.data.sources.splits import Item, Listing, check_number, split
from ship.data.tasks import TASKS
from ship.errors import BadInput
from ship.experiment.params import Task

LISTS = {"train": "train800.txt", "val": "val200.txt", "test": "test.txt"}
UNION = "train800val200.txt"


def vtab(name: str, task: Task, root: Path, shown: str) -> Listing:
    """The lists of a folder in the VTAB-1k layout; the folder is called `shown` in errors."""
    lists = {split: _read_list(root, file, shown) for split, file in LISTS.items()}
    _check_once([item for part in lists.values() for item in part])  # else test images would be trained on
    if (root / UNION).is_file():
        _check_union(lists, _read_list(root, UNION, shown), shown)
    published = TASKS.get(name)
    # VTAB draws 1,000 images of the published classes without regard to them: SUN397's draw misses some
    holes = published is not None and not published.builtin and task.classes in (None, published.classes)
    known = published.classes if published is not None and holes else task.classes
    items = [item for split in lists.values() for item in split]
    return Listing(lists, _numbered(items, known, shown), holes)


def table(name: str, task: Task, file: Path, shown: str) -> Listing:
    """The images of a CSV file with the columns `path` and `label`, split by the task's seed."""
    rows = _read_csv(file, shown)
    titles = [] if _whole_numbers(rows) else sorted({label for _, label, _ in rows})
    items = [
        Item(_key(path, place), titles.index(label) if titles else int(label), place, file.parent / path)
        for path, label, place in rows
    ]
    _check_once(items)
    _check_files(items)
    classes = titles or _numbered(items, task.classes, shown)
    check_number(classes, task, shown)
    return Listing(split(name, task, items, classes), classes)


def _read_list(root: Path, file: str, shown: str) -> list[Item]:
    """The lines `path label` of a list; a path may hold spaces."""
    if not (root / file).is_file():
        raise BadInput(f"{shown}/{file}: expected a list with lines 'path label', found none")
    items = []
    for number, line in enumerate(_text(root / file, f"{shown}/{file}").splitlines(), 1):
        place = f"{shown}/{file}:{number}"
        path, _, label = line.rstrip().rpartition(" ")
        if not line.strip():
            continue
        if not path.strip() or not re.fullmatch(r"[+-]?\d+", label):
            raise BadInput(f"{place}: expected 'path label' with an integer label, got {line!r}")
        items.append(Item(_key(path, place), int(label), place, root / path))
    if not items:
        raise BadInput(f"{shown}/{file}: expected lines 'path label', got an empty file")
    _check_once(items)
    _check_files(items)
    return items


def _read_csv(file: Path, shown: str) -> list[tuple[str, str, str]]:
    """Path, label and place of every row of a CSV file."""
    lines = csv.reader(_text(file, shown).splitlines(), strict=True)
    try:
        header = [column.strip() for column in next(lines, [])]
        if sorted(header) != ["label", "path"]:
            raise BadInput(f"{shown}:1: expected the header 'path,label', got {','.join(header)!r}")
        rows = []
        for cells in lines:
            place = f"{shown}:{lines.line_num}"
            row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
            if cells and (len(cells) != 2 or not all(row.values())):
                raise BadInput(f"{place}: expected a path and a label, got {','.join(cells)!r}")
            rows += [(row["path"], row["label"], place)] if cells else []
    except csv.Error as error:
        raise BadInput(f"{shown}:{lines.line_num}: expected CSV, got {error}") from None
    if not rows:
        raise BadInput(f"{shown}: expected rows below the header, got none")
    return rows


def _whole_numbers(rows: Sequence[tuple[str, str, str]]) -> bool:
    """Whether the labels of a CSV file are integers; else they are names. Raises BadInput where they are mixed."""
    whole = [re.fullmatch(r"[+-]?\d+", label) is not None for _, label, _ in rows]
    if any(whole) and not all(whole):
        _, label, place = rows[whole.index(not whole[0])]
        kind = "an integer" if whole[0] else "a name"
        raise BadInput(f"{place}: expected {kind} as the label, as in the lines before, got {label!r}")
    return whole[0]


def _text(file: Path, shown: str) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{shown}: expected UTF-8 text, got {error}") from None


def _key(path: str, place: str) -> str:
    """The relative path in one spelling, so that ./a.png and a.png are the same image."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise BadInput(f"{place}: expected a path below the folder of the list, got {path!r}")
    return pure.as_posix()


def _numbered(items: Sequence[Item], known: int | None, shown: str) -> list[str]:
    """Classes 0 ... n-1 for `known` n; else as many as have images, which must be the first."""
    labels = {item.label for item in items}
    for item in items:
        if item.label < 0 or (known is not None and item.label >= known):
            rule = f"from 0 to {known - 1}" if known is not None else "of 0 or more"
            raise BadInput(f"{item.place}: expected a label {rule}, got {item.label}")
    if known is None and (gaps := {*range(len(labels))} - labels):
        raise BadInput(f"{shown}: expected labels from 0 without a gap (or names, in a CSV file), got no {min(gaps)}")
    return [str(label) for label in range(len(labels) if known is None else known)]


def _check_files(items: Sequence[Item]) -> None:
    for item in items:
        if isinstance(item.content, Path) and not item.content.is_file():
            raise BadInput(f"{item.place}: expected the image {item.key}, found none")


def _check_once(items: Sequence[Item]) -> None:
    seen: dict[str, str] = {}
    for item in items:
        if item.key in seen:
            raise BadInput(f"{item.place}: expected every image once, got {item.key} again (first in {seen[item.key]})")
        seen[item.key] = item.place


def _check_union(lists: dict[str, list[Item]], union: list[Item], shown: str) -> None:
    """`train800val200.txt` holds the lines of the other two, in any order."""
    parts = {(item.key, item.label): item for item in [*lists["train"], *lists["val"]]}
    whole = {(item.key, item.label): item for item in union}
    for line in [*(parts.keys() - whole.keys()), *(whole.keys() - parts.keys())][:1]:
        item = {**parts, **whole}[line]
        raise BadInput(
            f"{shown}/{UNION}: expected the lines of {LISTS['train']} and {LISTS['val']}, "
            f"got a difference in '{item.key} {item.label}' ({item.place})"
        )
