"""Names as people spell them: of classes, groups and splits. Loads no torch."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from unicodedata import category, normalize

from ship.errors import together

_log = logging.getLogger(__name__)

SHOWN = 5  # pairs of names that are told
BREAKING = {"Cc", "Zl", "Zp"}  # categories of Unicode: control characters, breaks of lines and of paragraphs
ALIASES = {
    "train": {"train", "training", "trn"},
    "val": {"val", "valid", "validation", "validate", "dev", "development", "eval", "evaluation"},
    "test": {"test", "testing", "tst", "holdout"},
}


def check_printable(classes: Sequence[str], shown: str) -> None:
    """Raises BadInput for all names that would break the lines of tables; their source is called `shown`."""
    rule = "names of classes without line breaks and other control characters"
    faults = [f"{shown}: expected {rule}, got {name!r}" for name in classes if {*map(category, name)} & BREAKING]
    if faults:
        raise together(faults, "rename them")


def warn_alike(names: Iterable[str], shown: str, what: str) -> None:
    """Tell different names of `what` (classes, groups), in the folder or list `shown`, that people may mean as one."""
    first: dict[str, str] = {}
    pairs = [(known, name) for name in names if (known := first.setdefault(plain(name), name)) != name]
    for pair in pairs[:SHOWN]:
        _log.warning("%s: %r and %r differ in spelling alone, and are two %s", shown, *pair, what)
    if more := pairs[SHOWN:]:
        _log.warning("%s: %d more %s differ from others in spelling alone", shown, len(more), what)


def plain(name: str) -> str:
    """The name without what is spelt in several ways: case, spaces, leading zeros, accents put together or not."""
    words = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", normalize("NFC", name).casefold())  # but between two numbers
    return re.sub(r"(?<![\d.])0+(?=\d)", "", words)


def part_of(name: str) -> str | None:
    """The split that a folder or a cell names, such as `Training`, `test_set` or `images-val`; None for any other."""
    part, rest = _parted(name)
    return None if rest else part


def parts_of(names: Sequence[str]) -> dict[str, str]:
    """The splits that folders name, by their names; `pets_train` is one beside `pets_test`, and none alone."""
    read = {name: _parted(name) for name in names}
    known = {(rest, part) for part, rest in read.values() if part}
    beside = Counter(rest for rest, _ in known)
    return {name: part for name, (part, rest) in read.items() if part and (not rest or beside[rest] > 1)}


def _parted(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The split that is a word of the name, if just one is, and the words beside it that say something."""
    words = "".join(letter if letter.isalpha() else " " for letter in name.casefold()).split()
    words = [word.removesuffix("set").removesuffix("data") or word for word in words]
    words = [word for word in words if word not in {"set", "data", "dataset", "images", "imgs", "img", "split", "seg"}]
    parts = [part for word in words for part, names in ALIASES.items() if word in names]
    rest = tuple(word for word in words if not any(word in names for names in ALIASES.values()))
    return (parts[0], rest) if len(parts) == 1 else (None, rest)
