"""The image files below a folder: which are used, which are passed over, and why. Loads no torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ship.data.decoding import BROKEN
from ship.data.formats import formats, suffixes
from ship.errors import BadInput, together

SYSTEM = {  # folders that a system, a NAS or a program makes beside the user's, in lower case
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@sharebin",
    "@synoresource",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "__macosx",
    "__pycache__",
    "lost+found",
    "network trash folder",
    "recycler",
    "system volume information",
    "temporary items",
}
HEIC = {".heic", ".heif", ".hif"}
RAW = {".3fr", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw"}
SIGNED = ("PNG", "JPEG", "MPO", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "HEIF")  # told by their first bytes


class Tree:
    """A folder, and what is passed over in it: the number of files by suffix and reason.

    Linked folders are followed. Errors call the folder `shown`.
    """

    def __init__(self, root: Path, shown: str) -> None:
        self.root, self.shown = root, shown
        self.passed: Counter[str] = Counter()
        self.lost: list[str] = []
        """links to nothing, and names that are no text, as faults"""

    def folders(self, folder: Path) -> list[str]:
        """The sub-folders that may be classes or splits, in alphabetical order."""
        return sorted(
            entry.name for entry in self._inside(folder) if not _why_not(entry.name) and self._is_folder(entry)
        )

    def images(self, folder: Path) -> list[str]:
        """Paths of the images anywhere below `folder`, from the tree's root, sorted. Counts what is passed over."""
        return sorted(self._below(folder, [self.root.resolve(), folder.resolve()]))

    def count_outside(self, folder: Path, used: set[str]) -> None:
        """Count what lies in `folder` beside the sub-folders that are `used`, images with a reason of their own."""
        for entry in self._inside(folder):
            if self._is_folder(entry):
                if (why := _why_not(entry.name)) or entry.name not in used:
                    self._pass_all(Path(entry.path), why or "not among the classes")
            elif not self._passed_over(entry):
                self._count(entry.name, "in no class's folder")

    def inner(self, place: Path) -> Tree:
        """The files below `place`, a folder in this one, with all that was passed over so far."""
        tree = Tree(place, self.shown_of(place))
        tree.passed, tree.lost = self.passed, self.lost
        return tree

    def shown_of(self, path: Path) -> str:
        """What errors call a path at or below the root."""
        return f"{self.shown}/{path.relative_to(self.root).as_posix()}".removesuffix("/.")

    def since(self, before: Counter[str]) -> str:
        """What was passed over after `before` was so much of it, with a space and in brackets; empty for nothing."""
        said = [f"{count} {why}" for why, count in sorted((self.passed - before).items())]
        return f" ({', '.join(said)})" if said else ""

    def check(self, way_out: str) -> None:
        """Raises BadInput for all links that lead nowhere."""
        if self.lost:
            raise together(self.lost, way_out)

    def _below(self, folder: Path, above: list[Path]) -> Iterator[str]:
        for entry in self._inside(folder):
            path = Path(entry.path)
            if self._is_folder(entry):
                real = path.resolve()
                if why := _why_not(entry.name):
                    self._pass_all(path, why)
                elif any(one.is_relative_to(real) for one in above):
                    self._count(entry.name, "a link to a folder above")
                else:
                    yield from self._below(path, [*above, real])
            elif not self._passed_over(entry):
                yield path.relative_to(self.root).as_posix()

    def _pass_all(self, folder: Path, why: str) -> None:
        """Count the files below a folder that is passed over; into links nobody goes."""
        for entry in self._inside(folder):
            if entry.is_dir(follow_symlinks=False):
                self._pass_all(Path(entry.path), why)
            elif not self._is_folder(entry):
                self._count(entry.name, why)

    def _passed_over(self, entry: os.DirEntry[str]) -> bool:
        """Whether a file is not used; then it is counted, or is among the lost."""
        suffix = _suffix(entry.name)
        if why := _why_not(entry.name):
            self._count(entry.name, why)
        elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110  # entry.is_file hides why
            self.lost.append(f"{self._shown(entry)}: expected a file, got a link to nothing: {os.readlink(entry.path)}")  # noqa: PTH115
        elif not entry.is_file():
            self._count(entry.name, "no regular file")
        elif suffix in suffixes():
            return self._unnamed(entry)
        elif suffix in HEIC:
            self._count(entry.name, "needs the package pillow-heif")
        elif suffix in RAW:
            self._count(entry.name, "what a camera's sensor saw: export it as JPEG or TIFF")
        elif not _is_image(Path(entry.path)):
            self._count(entry.name, "no image")
        elif suffix:
            self._count(entry.name, "an image by its content, not by its suffix: rename it")
        else:
            return self._unnamed(entry)
        return True

    def _unnamed(self, entry: os.DirEntry[str]) -> bool:
        """Whether the file's path is no UTF-8 text, which no table can hold; then it is among the lost."""
        try:
            Path(entry.path).relative_to(self.root).as_posix().encode()
        except UnicodeEncodeError:
            self.lost.append(f"{self._shown(entry)}: expected a name in UTF-8 (rename it), got other bytes")
            return True
        return False

    def _inside(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise BadInput(f"{folder}: expected a folder that can be read, got: {error.strerror}") from None

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir()
        except OSError:  # a link to itself
            return False

    def _shown(self, entry: os.DirEntry[str]) -> str:
        return self.shown_of(Path(entry.path))

    def _count(self, name: str, why: str) -> None:
        self.passed[f"{_suffix(name) or 'no suffix'}: {why}"] += 1


def _suffix(name: str) -> str:
    return Path(name).suffix.lower().encode("utf-8", "backslashreplace").decode()


def _why_not(name: str) -> str | None:
    """Why a file or folder of this name is passed over, where it is."""
    if name.lower() in SYSTEM:
        return "in a system's folder"
    return "hidden" if name.startswith(".") else None


def _is_image(path: Path) -> bool:
    """Whether the first bytes are those of an image."""
    try:
        with Image.open(path, formats=[name for name in SIGNED if name in formats()]):
            return True
    except BROKEN:
        return False
