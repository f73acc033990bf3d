"""A task as a list of images and labels: VTAB's lists, or a CSV file. Loads no torch, decodes no image."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ship.data.digests import once
from ship.data.sources import draw, spreadsheet
from ship.data.sources.spelling import part_of, warn_alike
from ship.data.sources.splits import Check, Item, Listing, apart, check_classes, check_groups, parted, split, unchecked
from ship.data.sources.spreadsheet import is_file
from ship.data.sources.vtab1k import VTAB1K
from ship.data.tasks import TASKS
from ship.errors import BadInput, together
from ship.experiment.task import Task

LISTS = {"train": "train800.txt", "val": "val200.txt", "test": "test.txt"}
UNION = "train800val200.txt"
THINGS = (
    "patient|subject|participant|person|individual|donor|animal|plant|specimen|object|lesion|case|study|session|scene|site"
    "|field|location|camera|slide|user|video|sequence"
)
GROUPS = re.compile(
    rf"({THINGS})s?([ ._-]?(no|nr|number|name))?|(.+[ ._-])?({THINGS})s?[ ._-]?(instance)?[ ._-]?u?id", re.IGNORECASE
)

_log = logging.getLogger(__name__)


def vtab(name: str, task: Task, root: Path, shown: str, check: Check = unchecked) -> Listing:
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
    classes = _numbered(items, known, shown)
    if holes:
        _tell_sizes(name, [len(part) for part in lists.values()], shown)
    seen = iter(check(items))
    return Listing({part: [next(seen) for _ in rows] for part, rows in lists.items()}, classes, holes)


def table(name: str, task: Task, file: Path, shown: str, check: Check = unchecked) -> Listing:
    """The images of a CSV file with the columns `path` and `label`, split by the task's seed, or by a column `split`.

    Images with the same cell in a column `group` stay on one side. `check` reads the images before they are split.
    """
    (found, unused), files = spreadsheet.read(file, shown), spreadsheet.Files(file.parent)
    titles = [] if _whole_numbers(found, task) else sorted({row.label for row in found})
    numbers = {title: label for label, title in enumerate(titles)}
    items, splits = [], _parts(found, shown)
    for row, part in zip(found, splits, strict=True):
        key, label = files.key(row.path, row.place), numbers[row.label] if titles else int(row.label)
        items.append(Item(key, label, row.place, file.parent / key, row.group, part=part))
    _check_once(items)
    if (absent := _absent(items, files)) and task.broken == "refuse":
        raise together([*absent.values()], f"tasks.{name}.broken: skip leaves them out" if len(absent) > 1 else "")
    items = [item for item in items if item.place not in absent]
    try:
        classes = titles or _numbered(items, task.classes, shown)
    except BadInput as error:
        raise BadInput(f"{error} (tasks.{name}.labels: names takes them as names)") from None
    check_classes(classes, task, shown)
    warn_alike(dict.fromkeys(row.group for row in found), shown, "groups")
    if len({item.label for item in items}) < 2:
        raise BadInput(f"{shown}: expected two or more classes, got {len({item.label for item in items})}")
    _tell_unused(found, unused, shown)
    passed = {"no such file": len(absent), f"column{'s' if len(unused) > 1 else ''}: {', '.join(unused)}": len(unused)}
    about = {"passed_over": {why: count for why, count in passed.items() if count}} if absent or unused else {}
    if not any(splits):
        return Listing(split(name, task, check(items), classes), classes, about=about)
    return Listing(_own_splits(name, task, parted(check(items), splits), classes, shown), classes, about=about)


def _tell_sizes(name: str, sizes: list[int], shown: str) -> None:
    """Tell where lists of a task of VTAB-1k have other numbers of images than its official splits: one may be cut."""
    pieces = (draw.bounds(piece, VTAB1K[name].sizes) for piece in VTAB1K[name].slices)
    official = [stop - first for _, first, stop in pieces]
    if sizes != official:
        got, known = (" + ".join(f"{size:,}" for size in row) for row in (sizes, official))
        _log.warning("%s: %s images (train + val + test), where VTAB-1k's %s has %s", shown, got, name, known)


def _tell_unused(found: Sequence[spreadsheet.Row], unused: Mapping[str, set[str]], shown: str) -> None:
    """Tell columns that look like groups or splits, where the file has no column of that name."""
    for title in filter(GROUPS.fullmatch, () if found[0].group else unused):
        _log.warning("%s: the column %s is not used (called `group`, it keeps its images in one split)", shown, title)
    for title in () if found[0].split else (title for title, cells in unused.items() if all(map(part_of, cells))):
        _log.warning("%s: the column %s is not used (called `split`, it says what is tested on)", shown, title)


def _parts(found: Sequence[spreadsheet.Row], shown: str) -> list[str]:
    """The split that each row names; empty where the file has no such column. Raises BadInput for two names of one."""
    named: dict[str, dict[str, str]] = {}  # in their first spelling, by split and name without case
    for row in filter(lambda row: row.split, found):
        if (part := part_of(row.split)) is None:
            raise BadInput(f"{row.place}: expected train, val or test as the split, got {row.split!r}")
        named.setdefault(part, {}).setdefault(row.split.casefold(), row.split)
    faults = [
        f"{shown}: expected one name for {part} in the column split, got {', '.join(names.values())}"
        for part, names in named.items()
        if len(names) > 1
    ]
    if faults:
        raise together(faults, "leave out the rows of the others, or give all the same name")
    return [part_of(row.split) or "" for row in found]


def _own_splits(
    name: str, task: Task, splits: dict[str, list[Item]], classes: Sequence[str], shown: str
) -> dict[str, list[Item]]:
    """Splits as a column says them; what there is none of is set apart from train."""
    check_groups(splits, shown)
    for title in splits:
        if title in task.model_fields_set and not isinstance(getattr(task, title), float):
            raise BadInput(f"tasks.{name}.{title}: expected no size, since {shown} has a column split, got one")
    if not splits.get("train") or ("test" not in splits and task.test is None):
        lacking = "train" if not splits.get("train") else "test"
        raise BadInput(f"{shown}: expected rows for train and test in the column split, got none for {lacking}")
    return apart(name, task, splits, classes, f"{shown}'s train")


def _absent(items: Sequence[Item], files: spreadsheet.Files) -> dict[str, str]:
    """A fault for each image whose file is not there, by its place."""
    return {
        item.place: f"{item.place}: expected the image {item.key[:200]}, found none{files.hint(item.key)}"
        for item in items
        if isinstance(item.content, Path) and not is_file(item.content)
    }


def _read_list(root: Path, file: str, shown: str) -> list[Item]:
    """The lines `path label` of a list; a path may hold spaces."""
    if not (root / file).is_file():
        raise BadInput(f"{shown}/{file}: expected a list with lines 'path label', found none")
    items, files = [], spreadsheet.Files(root)
    for number, line in enumerate(spreadsheet.text(root / file, f"{shown}/{file}").splitlines(), 1):
        place = f"{shown}/{file}:{number}"
        path, _, label = line.rstrip().rpartition(" ")
        if not line.strip():
            continue
        if not path.strip() or not re.fullmatch(r"[+-]?\d+", label):
            raise BadInput(f"{place}: expected 'path label' with an integer label, got {line!r}")
        key = files.key(path, place)
        items.append(Item(key, int(label), place, root / key))
    if not items:
        raise BadInput(f"{shown}/{file}: expected lines 'path label', got an empty file")
    _check_once(items)
    if absent := _absent(items, files):
        raise together([*absent.values()])
    return items


def _whole_numbers(found: Sequence[spreadsheet.Row], task: Task) -> bool:
    """Whether the labels of a CSV file are integers; else they are names. Raises BadInput where they are mixed.

    Labels such as 007 are names, unless the task says that they are numbers.
    """
    if task.labels == "names":
        return False
    whole = [re.fullmatch(r"[+-]?\d{1,18}", row.label, re.ASCII) is not None for row in found]
    if task.labels == "numbers" and not all(whole):
        row = found[whole.index(False)]
        raise BadInput(f"{row.place}: expected an integer as the label (labels: numbers), got {row.label[:200]!r}")
    if task.labels is None and any(re.fullmatch(r"0\d+", row.label, re.ASCII) for row in found):
        return False
    if any(whole) and not all(whole):
        row = found[whole.index(not whole[0])]
        kind = "an integer" if whole[0] else "a name"
        raise BadInput(
            f"{row.place}: expected {kind} as the label, as in the lines before, got {row.label[:200]!r} "
            "(labels: names takes all as names)"
        )
    return whole[0]


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


def _check_once(items: Sequence[Item]) -> None:
    seen: dict[str, Item] = {}
    faults = [
        f"{item.place}: expected every image once, got {item.key} again"
        f"{' as another class' if item.label != first.label else ''} (first in {first.place})"
        for item in items
        if (first := seen.setdefault(item.key, item)) is not item
    ]
    if faults:
        raise together(faults)


def _check_union(lists: dict[str, list[Item]], union: list[Item], shown: str) -> None:
    """`train800val200.txt` holds the images of the other two, in any order: their files, or copies of them.

    The published archive has copies. Files are read only where the lists name others.
    """
    parts = [*lists["train"], *lists["val"]]
    if {(item.key, item.label) for item in parts} == {(item.key, item.label) for item in union}:
        return
    left, lacking = Counter(map(_content, parts)), list[Item]()
    for item in union:
        if left[content := _content(item)]:
            left[content] -= 1
        else:
            lacking.append(item)
    for item in [*lacking, *(item for item in parts if left[_content(item)])][:1]:
        raise BadInput(
            f"{shown}/{UNION}: expected the images and labels of {LISTS['train']} and {LISTS['val']}, "
            f"got a difference in '{item.key} {item.label}' ({item.place}; without {UNION}, nothing is compared)"
        )


def _content(item: Item) -> tuple[str, int]:
    """What makes two lines the same, whatever the file is called."""
    return once(item.content) if isinstance(item.content, Path) else item.key, item.label
