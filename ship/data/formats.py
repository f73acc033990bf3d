"""What a task may be given as: VTAB lists, a folder a class, a CSV file. Each becomes a Listing. Loads no torch.

Nothing here opens an image; `ship.data.prepare` does.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ship.config import Task
from ship.data.listing import SPLITS, Item, Listing, check_train, split, stratified
from ship.data.tasks import TASKS
from ship.errors import BadInput

LISTS = {"train": "train800.txt", "val": "val200.txt", "test": "test.txt"}
UNION = "train800val200.txt"
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


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
    return Listing(lists, _numbered(items, known), holes)


def folder(name: str, task: Task, root: Path, shown: str) -> Listing:
    """The images of a folder with a sub-folder a class, split by the task's seed, or with such a folder a split."""
    inside = set(_subfolders(root))
    named = {title for title in inside if title.lower() in {*SPLITS, "valid", "validation"}}
    if named and (len(named) > 1 or named == inside):  # a class may be called `test`, but not two, and not all
        return _own_splits(name, task, root, shown, inside)
    classes = _classes(root, shown)
    _check_number(classes, task, shown)
    return Listing(split(name, task, _by_class(root, classes, root, shown), classes), classes)


def _own_splits(name: str, task: Task, root: Path, shown: str, inside: set[str]) -> Listing:
    """Splits as they lie in `train`, `val` and `test`; without `val`, as many of train as the task says."""
    if not {"train", "test"} <= inside <= {*SPLITS}:
        got = ", ".join(sorted(inside))
        raise BadInput(
            f"{shown}: expected a sub-folder a class, or train, test and, where there is one, val, got {got}"
        )
    if sizes := sorted(inside & task.model_fields_set):
        raise BadInput(f"tasks.{name}.{sizes[0]}: expected no size, since {shown}/{sizes[0]} is used whole, got one")
    classes = _classes(root / "train", f"{shown}/train")
    _check_number(classes, task, f"{shown}/train")
    for part in sorted(inside):
        if odd := sorted({*_subfolders(root / part)} - {*classes}):
            raise BadInput(f"{shown}/{part}/{odd[0]}: expected a class of {shown}/train, got another")
    splits = {part: _by_class(root / part, classes, root, shown) for part in SPLITS if part in inside}
    for part, items in splits.items():
        if not items:
            raise BadInput(f"{shown}/{part}: expected images in a sub-folder for each class, got none")
    if "val" not in inside:
        whole, labels = splits["train"], np.array([item.label for item in splits["train"]])
        if len(whole) <= task.val:
            raise BadInput(f"tasks.{name}.val: expected fewer than the {len(whole)} of {shown}/train, got {task.val}")
        rows = stratified(labels, (len(whole) - task.val, task.val), len(classes), task.seed)
        check_train(name, labels, rows[0], classes)
        splits |= {part: [whole[i] for i in chosen] for part, chosen in zip(("train", "val"), rows, strict=True)}
    return Listing({part: splits[part] for part in SPLITS}, classes)


def table(name: str, task: Task, file: Path, shown: str) -> Listing:
    """The images of a CSV file with the columns `path` and `label`, split by the task's seed."""
    rows = _read_csv(file, shown)
    whole = [re.fullmatch(r"[+-]?\d+", label) is not None for _, label, _ in rows]
    if any(whole) and not all(whole):
        _, label, place = rows[whole.index(not whole[0])]
        kind = "an integer" if whole[0] else "a name"
        raise BadInput(f"{place}: expected {kind} as the label, as in the lines before, got {label!r}")
    titles = sorted({label for _, label, _ in rows})
    items = [
        Item(_key(path, place), int(label) if whole[0] else titles.index(label), place, file.parent / path)
        for path, label, place in rows
    ]
    _check_once(items)
    _check_files(items)
    if not whole[0]:
        _check_number(titles, task, shown)
    if whole[0] and task.classes is None and (gap := _first_gap({item.label for item in items})) is not None:
        raise BadInput(f"{shown}: expected names, or integers from 0 without a gap, as labels, got no {gap}")
    classes = _numbered(items, task.classes) if whole[0] else titles
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


def _numbered(items: Sequence[Item], known: int | None) -> list[str]:
    """Classes 0 ... n-1, where n is `known` or counted; refuses labels outside."""
    top = known if known is not None else max(item.label for item in items) + 1
    for item in items:
        if not 0 <= item.label < top:
            rule = f"from 0 to {known - 1}" if known is not None else "of 0 or more"
            raise BadInput(f"{item.place}: expected a label {rule}, got {item.label}")
    return [str(label) for label in range(top)]


def _first_gap(labels: set[int]) -> int | None:
    """The first of 0, 1, ... up to the largest label that no image has; negative ones are refused elsewhere."""
    return next((number for number in range(len(labels)) if number not in labels and min(labels) >= 0), None)


def _check_number(classes: Sequence[str], task: Task, shown: str) -> None:
    if task.classes not in (None, len(classes)):
        raise BadInput(f"{shown}: expected {task.classes} classes, got {len(classes)}: {', '.join(classes[:20])}")


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


def _subfolders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not _hidden(path.name))


def _classes(root: Path, shown: str) -> list[str]:
    """The names of two or more sub-folders."""
    classes = _subfolders(root)
    if len(classes) < 2:
        raise BadInput(
            f"{shown}: expected a sub-folder for each of two or more classes, got {len(classes)} sub-folders"
        )
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
