"""A CSV file as people export it: separators, headers and paths in their many spellings. Loads no torch."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from ship.data.formats import suffixes
from ship.errors import BadInput, together

SUFFIXES = {".csv", ".tsv"}
SEPARATORS = (",", ";", "\t", "|")
COLUMNS: dict[str, set[str]] = {  # and what else people call them
    "path": {
        *("file", "filename", "file_name", "filepath", "file_path"),
        *("image", "image_id", "image_name", "image_path", "img", "img_path"),
    },
    "label": {"labels", "class", "class_name", "category", "target"},
    "split": set(),
    "group": set(),
}


class Row(NamedTuple):
    """A line of the file; `split` and `group` are empty where the file has no such column."""

    path: str
    label: str
    place: str
    split: str = ""
    group: str = ""


class Sheet(NamedTuple):
    """The rows of a file, and what stands in its columns that are not used."""

    rows: list[Row]
    unused: dict[str, set[str]]
    """the different cells of a column, by its name"""


def read(file: Path, shown: str) -> Sheet:
    """The rows of a CSV file with columns for path and label, and `split` and `group` where they are there.

    Names of columns are taken in any case. Raises BadInput for all lines that do not fit.
    """
    body, skipped = text(file, shown), 0
    if first := re.match(r"sep=(.)\r?\n", body):  # Excel's own note on the separator
        body, skipped = body[first.end() :], 1
    separator, header, columns = _header(body, shown)
    lines = csv.reader(io.StringIO(body, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    unused = {title: at for at, title in enumerate(header) if title and at not in columns.values()}
    beside: dict[str, set[str]] = {title: set() for title in unused}
    found, faults = [], []
    try:
        next(lines)
        for cells in lines:
            place = f"{shown}:{lines.line_num + skipped}"
            if not any(cell.strip() for cell in cells):
                continue
            row = {name: cells[at].strip() if at < len(cells) else "" for name, at in columns.items()}
            if fault := _fault(row, cells, header):
                faults.append(f"{place}: {fault}")
            else:
                found.append(Row(**row, place=place))
                for title, at in unused.items():
                    beside[title].add(cells[at].strip() if at < len(cells) else "")
    except csv.Error as error:
        raise BadInput(f"{shown}:{lines.line_num + skipped}: expected CSV, got {error}") from None
    if faults:
        raise together(faults)
    if not found:
        raise BadInput(f"{shown}: expected rows below the header, got none")
    return Sheet(found, beside)


def only_one(folder: Path, shown: str) -> Path:
    """The only CSV file at the top of a folder. Raises BadInput where there are none, or more."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    if len(found) != 1:
        got = f"{len(found)}: {', '.join(path.name for path in found)}".removesuffix(": ")
        way_out = "name the file in path; unpack an archive before"
        raise BadInput(f"{shown}: expected one CSV file at the top, got {got} ({way_out})")
    return found[0]


def _fault(row: Mapping[str, str], cells: Sequence[str], header: Sequence[str]) -> str | None:
    """What is wrong with a row, if anything is."""
    empty = [name for name, cell in row.items() if not cell]
    if len(cells) > len(header) or {*empty} & {"path", "label"}:
        got = ",".join(cells)[:200]
        return f"expected a path and a label, got {got!r} in {len(cells)} of {len(header)} columns"
    return f"expected a {empty[0]} in every row, got an empty cell" if empty else None


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
        raise BadInput(
            f"{shown}: expected UTF-8 text, got {error.reason} in line {line} (save it as text in UTF-8)"
        ) from None


class Files:
    """The files below a folder, by the paths that a list has for them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def key(self, path: str, place: str) -> str:
        """The relative path in one spelling, so that ./a/b.png and a/b.png are the same image.

        A file that is there as it is written is taken; else one with backslashes for slashes, or as an address spells
        it; else the only one below the folder whose path ends so, with letters and accents put together in any way, and
        with or without its suffix. Raises BadInput for a path that leads out of the folder, and for two files.
        """
        slashes = path.replace("\\", "/")
        for spelling in (path, slashes, unquote(path)):
            pure = self._relative(spelling)
            if pure.is_absolute() or ".." in pure.parts or re.match(r"[A-Za-z]:|\w+://", spelling):
                raise BadInput(
                    f"{place}: expected a path below the folder of the list, got {path[:200]!r} "
                    "(write paths from that folder on)"
                )
            if is_file(self.root / pure):
                return pure.as_posix()
        asked = self._relative(slashes).as_posix()
        end = unicodedata.normalize("NFC", f"/{asked}")
        near = [key for key, spelt in self._named.get(PurePosixPath(end).name, ()) if f"/{spelt}".endswith(end)]
        if len(near) > 1:
            raise BadInput(f"{place}: expected one image {asked}, found {len(near)}: {', '.join(sorted(near)[:3])}")
        return near[0] if near else asked

    def hint(self, key: str) -> str:
        """The way out for a file that is not there, as far as there is one."""
        near = self._folded.get(unicodedata.normalize("NFC", key).casefold())
        if near is not None:
            return f" (there is {near}, which differs in case)"
        return " (the cell is too long for a path)" if len(key) > 1000 else ""

    def _relative(self, path: str) -> PurePosixPath:
        pure = PurePosixPath(path)
        for root in (self.root, self.root.absolute(), self.root.resolve()):
            if pure.is_absolute() and pure.is_relative_to(root.as_posix()):
                return pure.relative_to(root.as_posix())
        return pure

    @cached_property
    def _every(self) -> list[str]:
        """Every file's path; walks the folder once, and only where a file is not found."""
        walked = os.walk(self.root, followlinks=False)
        return [Path(folder, name).relative_to(self.root).as_posix() for folder, _, names in walked for name in names]

    @cached_property
    def _named(self) -> dict[str, list[tuple[str, str]]]:
        """Files with their composed spelling by their name, and images without their suffix by their name without."""
        found: dict[str, list[tuple[str, str]]] = {}
        for key in self._every:
            pure = PurePosixPath(unicodedata.normalize("NFC", key))
            for spelt in {pure, pure.with_suffix("") if pure.suffix.lower() in suffixes() else pure}:
                found.setdefault(spelt.name, []).append((key, spelt.as_posix()))
        return found

    @cached_property
    def _folded(self) -> dict[str, str]:
        """Every file's path by its spelling without case."""
        return {unicodedata.normalize("NFC", key).casefold(): key for key in self._every}


def is_file(path: Path) -> bool:
    """Whether there is such a file; a path that no system can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _header(body: str, shown: str) -> tuple[str, list[str], dict[str, int]]:
    """The separator under which the first line names `path` and `label`, its columns in lower case, and where ours are.

    A column of another name is taken for one of ours if there is none of that name.
    """
    first = body.splitlines()[0] if body.strip() else ""
    tried = []
    for separator in SEPARATORS:
        try:
            cells = next(csv.reader([first], delimiter=separator, skipinitialspace=True), [])
        except csv.Error as error:
            raise BadInput(f"{shown}:1: expected CSV, got {error}") from None
        header = [cell.strip().casefold() for cell in cells]
        named = {
            name: [at for at, title in enumerate(header) if title == name]
            or [at for at, title in enumerate(header) if title in others]
            for name, others in COLUMNS.items()
        }
        if named["path"] and named["label"]:
            for name, places in named.items():
                if len(places) > 1:
                    got = ", ".join(header[at] for at in places)
                    raise BadInput(f"{shown}:1: expected one column {name!r}, got {len(places)}: {got}")
            return separator, header, {name: places[0] for name, places in named.items() if places}
        tried.append([name for name in ("path", "label") if not named[name]])
    lacks = min(tried, key=len, default=[])
    without = f", without {lacks[0]} ({', '.join(sorted(COLUMNS[lacks[0]]))})" if len(lacks) == 1 else ""
    raise BadInput(
        f"{shown}:1: expected the header 'path,label', got {first[:200]!r}{without} "
        "(the columns may be more and stand anywhere, separated by comma, semicolon, tab or |)"
    )
