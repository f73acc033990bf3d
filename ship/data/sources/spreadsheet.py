"""A CSV file as people export it: separators, headers and paths in their many spellings. Loads no torch."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ship.errors import BadInput

SEPARATORS = (",", ";", "\t", "|")
COLUMNS = ("path", "label", "split", "group")


class Row(NamedTuple):
    """A line of the file; `split` and `group` are empty where the file has no such column."""

    path: str
    label: str
    place: str
    split: str = ""
    group: str = ""


def rows(file: Path, shown: str) -> list[Row]:
    """The rows of a CSV file with the columns `path` and `label`, and `split` and `group` where they are there.

    Names of columns are taken in any case, other columns are passed over. Raises BadInput with the line.
    """
    body, skipped = text(file, shown), 0
    if first := re.match(r"sep=(.)\r?\n", body):  # Excel's own note on the separator
        body, skipped = body[first.end() :], 1
    separator, header = _header(body, shown)
    lines = csv.reader(io.StringIO(body, newline=""), delimiter=separator, strict=True)
    columns = {name: header.index(name) for name in COLUMNS if name in header}
    found = []
    try:
        next(lines)
        for cells in lines:
            place = f"{shown}:{lines.line_num + skipped}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(header) or max(columns["path"], columns["label"]) >= len(cells):
                raise _ragged(place, cells, header)
            row = {name: cells[at].strip() if at < len(cells) else "" for name, at in columns.items()}
            if empty := [name for name in columns if not row[name]]:
                raise (
                    _ragged(place, cells, header)
                    if {*empty} & {"path", "label"}
                    else BadInput(f"{place}: expected a {empty[0]} in every row, got an empty cell")
                )
            found.append(Row(**row, place=place))
    except csv.Error as error:
        raise BadInput(f"{shown}:{lines.line_num + skipped}: expected CSV, got {error}") from None
    if not found:
        raise BadInput(f"{shown}: expected rows below the header, got none")
    return found


def text(file: Path, shown: str) -> str:
    """A text file in UTF-8, or in UTF-16 with its mark. Raises BadInput for any other."""
    try:
        data = file.read_bytes()
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return data.decode(encoding)
    except OSError as error:
        raise BadInput(f"{shown}: expected a file that can be read, got: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(f"{shown}: expected UTF-8 text, got {error.reason} in line {line} (save it as UTF-8)") from None


class Files:
    """The files below a folder, by the paths that a list has for them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def key(self, path: str, place: str) -> str:
        """The relative path in one spelling, so that ./a/b.png and a/b.png are the same image.

        A file that is there as it is written is taken; else one with backslashes for slashes, or with letters and
        accents put together otherwise. Raises BadInput for a path that leads out of the folder.
        """
        spellings = [path, path.replace("\\", "/")]
        for spelling in spellings:
            pure = self._relative(spelling)
            if pure.is_absolute() or ".." in pure.parts or re.match(r"[A-Za-z]:", spelling):
                raise BadInput(f"{place}: expected a path below the folder of the list, got {path[:200]!r}")
            if is_file(self.root / pure):
                return pure.as_posix()
        asked = self._relative(spellings[-1]).as_posix()
        return self._composed.get(unicodedata.normalize("NFC", asked), asked)

    def hint(self, key: str) -> str:
        """The way out for a file that is not there, as far as there is one."""
        folded = unicodedata.normalize("NFC", key).casefold()
        near = next((name for name in self._composed if name.casefold() == folded), None)
        if near is not None:
            return f" (there is {self._composed[near]}, which differs in case)"
        return " (the cell is too long for a path)" if len(key) > 1000 else ""

    def _relative(self, path: str) -> PurePosixPath:
        pure = PurePosixPath(path)
        for root in (self.root, self.root.absolute(), self.root.resolve()):
            if pure.is_absolute() and pure.is_relative_to(root.as_posix()):
                return pure.relative_to(root.as_posix())
        return pure

    @cached_property
    def _composed(self) -> dict[str, str]:
        """Every file's path by its composed spelling; walks the folder once, and only where a file is not found."""
        found = {}
        for folder, _, names in os.walk(self.root, followlinks=False):
            for name in names:
                key = Path(folder, name).relative_to(self.root).as_posix()
                found[unicodedata.normalize("NFC", key)] = key
        return found


def is_file(path: Path) -> bool:
    """Whether there is such a file; a path that no system can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _header(body: str, shown: str) -> tuple[str, list[str]]:
    """The separator under which the first line names `path` and `label`, and its columns in lower case."""
    first = body.splitlines()[0] if body.strip() else ""
    for separator in SEPARATORS:
        try:
            cells = next(csv.reader([first], delimiter=separator), [])
        except csv.Error as error:
            raise BadInput(f"{shown}:1: expected CSV, got {error}") from None
        header = [cell.strip().casefold() for cell in cells]
        if {"path", "label"} <= {*header}:
            if double := [name for name in COLUMNS if header.count(name) > 1]:
                raise BadInput(f"{shown}:1: expected one column {double[0]!r}, got {header.count(double[0])}")
            return separator, header
    raise BadInput(
        f"{shown}:1: expected the header 'path,label', got {first[:200]!r} "
        "(the columns may be more and stand anywhere, separated by comma, semicolon, tab or |)"
    )


def _ragged(place: str, cells: list[str], header: list[str]) -> BadInput:
    got = ",".join(cells)[:200]
    return BadInput(f"{place}: expected a path and a label, got {got!r} in {len(cells)} of {len(header)} columns")
