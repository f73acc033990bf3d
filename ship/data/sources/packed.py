"""Members of tar and zip archives, read as they pass by: nothing is unpacked to the disk. Loads no torch."""

from __future__ import annotations

import io
import math
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from ship.data.sources.archives import BROKEN, Header, content_of, is_zip
from ship.data.sources.gzipped import Gzipped
from ship.data.sources.rows import Images, Wanted
from ship.data.sources.seeking import Computed
from ship.errors import BadInput

BLOCK = 2**20  # bytes that are read at once
BUFFER = 2**18  # bytes of a gzip file's content that are taken at once
LARGEST = 2**28  # bytes of an image or a list; more is no such file


class Member(NamedTuple):
    """A file in an archive; it can be opened until the next one is asked for."""

    name: str
    size: int  # as it is said
    open: Callable[[], IO[bytes]]


def members(place: Path | Sequence[Path] | IO[bytes], shown: str) -> Iterator[Member]:
    """The files of a tar (compressed or not) or zip archive, in its order; it is called `shown` in errors.

    `place` is a file, or the parts of one that was cut into several.
    """
    try:
        with _opened(place) as file:
            if is_zip(file):
                with zipfile.ZipFile(file) as bundle:
                    for info in bundle.infolist():
                        if not info.is_dir():
                            yield Member(info.filename, info.file_size, partial(bundle.open, info))
                return
            file.seek(0)
            with _tape(file, place) as tape:
                while (member := tape.next()) is not None:
                    if member.size < 0:  # it would lead back
                        raise tarfile.ReadError(f"{member.name}: expected a size, got {member.size}")
                    if member.isreg():
                        yield Member(member.name.removeprefix("./"), member.size, partial(content_of, tape, member))
                    tape.members = []  # type: ignore[attr-defined]  # else it remembers all of them
    except BROKEN as error:
        raise broken(shown, error) from None


@contextmanager
def unfolded(member: Member, shown: str) -> Iterator[IO[bytes]]:
    """The content of a member, as a file. Raises BadInput where it is cut or damaged."""
    try:
        with member.open() as content:
            yield content
    except BROKEN as error:
        raise broken(f"{shown}: {member.name}", error) from None


def read(member: Member, shown: str) -> bytes:
    """The content of a member that is an image or a list."""
    with unfolded(member, shown) as content:
        first = min(member.size + 1, BLOCK)
        data = content.read(first)  # a file would have memory for all that is asked for
        if len(data) == first:
            data += content.read(LARGEST + 1 - first)
    if len(data) > LARGEST:
        raise BadInput(f"{shown}: {member.name}: expected at most {LARGEST} bytes, got more")
    return data


def pick(place: Path | Sequence[Path], names: Sequence[str], shown: str) -> dict[str, bytes]:
    """The content of some members, by their names and in their order. Raises BadInput for those that are not there."""
    found: dict[str, bytes] = {}
    for member in members(place, shown):
        if member.name in names:
            found[member.name] = read(member, shown)
            if len(found) == len(names):
                break
    if lacking := [name for name in names if name not in found]:
        raise BadInput(f"{shown}: expected {_few(lacking)} in it, found none (is it another version?)")
    return {name: found[name] for name in names}


def pictures(
    opened: Callable[[], Iterator[Member]],
    shown: str,
    path: Callable[[str, str], str],
    wanted: Wanted,
    change: Callable[[bytes, str], bytes] | None = None,
) -> Images:
    """The wanted images of an archive, in its order; `path(split, key)` says what a member is called.

    `change(image, member)` makes what is stored of what is in the archive.
    """
    sought = {path(split, key): (split, key) for split, keys in wanted.items() for key in keys}
    for member in opened() if sought else ():
        if (found := sought.pop(member.name, None)) is not None:
            data = read(member, shown)
            yield (*found, partial(change, data, f"{shown}: {member.name}") if change else partial(bytes, data))
            if not sought:
                return
    if sought:
        raise BadInput(f"{shown}: expected {_few(sorted(sought))} in it, found none (is it another version?)")


def broken(shown: str, error: Exception) -> BadInput:
    """An error for an archive that cannot be read to its end."""
    said = " ".join(str(error).split()) or type(error).__name__
    return BadInput(f"{shown}: expected a whole archive, got: {said} (remove it, and get it again)")


def lines(data: bytes, shown: str) -> list[str]:
    """The lines of a text that are not empty."""
    try:
        return [line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise BadInput(f"{shown}: expected UTF-8 text, got {error}") from None


def labelled(rows: Iterable[tuple[str, int]], shown: str) -> dict[str, int]:
    """Labels by key. Raises BadInput for a key that is there twice."""
    labels: dict[str, int] = {}
    for key, label in rows:
        if key in labels:
            raise BadInput(f"{shown}: expected every image once, got {key} again")
        labels[key] = label
    return labels


def label_of(title: str, classes: Mapping[str, int], shown: str) -> int:
    """The number of a class. Raises BadInput for one that is not known."""
    if title not in classes:
        raise BadInput(f"{shown}: expected one of {len(classes)} known classes, got {title!r} (is it another version?)")
    return classes[title]


class Joined(Computed):
    """A file that was cut into parts, as one that can be read and sought."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._files = [part.open("rb") for part in parts]
        sizes = [os.fstat(file.fileno()).st_size for file in self._files]
        self._starts = [sum(sizes[:number]) for number in range(len(sizes))]
        self._size = sum(sizes)

    def end(self) -> int:
        """Bytes of all parts."""
        return self._size

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed has no name for it in 3.11
        """Fill the buffer from one part, as far as that goes."""
        part = max(number for number, start in enumerate(self._starts) if start <= self.at)
        self._files[part].seek(self.at - self._starts[part])
        count = self._files[part].readinto(buffer)
        if not count and part + 1 < len(self._files) and self.at < self._size:
            raise EOFError(f"{self._files[part].name} ends early")
        self.at += count
        return count

    def close(self) -> None:
        """Close all parts."""
        for file in self._files:
            file.close()
        super().close()


def _opened(place: Path | Sequence[Path] | IO[bytes]) -> IO[bytes]:
    if isinstance(place, Path):
        return place.open("rb")
    return io.BufferedReader(Joined(place), 2**20) if isinstance(place, Sequence) else place


class _Content(io.BufferedReader):
    """The content of a gzip file; no memory is had for a size that is merely said."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most LARGEST bytes."""
        if size is not None and size > LARGEST:
            raise tarfile.ReadError(f"expected a header of at most {LARGEST} bytes, got {size}")
        return super().read(size)


@contextmanager
def _tape(file: IO[bytes], place: object) -> Iterator[tarfile.TarFile]:
    """A tar archive, to be read from its start to its end; a gzip file is unpacked by zlib-ng."""
    packed = file.read(2) == b"\x1f\x8b" and isinstance(place, Path)
    file.seek(0)
    if not packed:
        with tarfile.open(fileobj=file, mode="r|*", bufsize=BLOCK, tarinfo=Header) as tape:
            yield tape
        return
    content = _Content(Gzipped(Path(file.name), step=math.inf), BUFFER)
    with content, tarfile.open(fileobj=content, mode="r:", tarinfo=Header) as tape:
        yield tape


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
