"""Which archives tasks need, and where they lie in a folder: found where they are, verified, never copied."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from ship.data.digests import Kind, digest
from ship.data.sources.catalogue import ARCHIVES, SOURCES, Archive
from ship.experiment.task import PUBLISHED, Task

DEEP = 2  # folders below the top that are looked into
Sizes = Mapping[Path, int]  # of files, in bytes


class Found(NamedTuple):
    """Where an archive is, and which files look like it and are not it."""

    path: Path | None
    faults: tuple[str, ...] = ()


def check_of(archive: Archive) -> tuple[Kind, str] | None:
    """The digest that tells whether a file is the archive."""
    if archive.sha256 is not None:
        return "sha256", archive.sha256.lower()
    return ("md5", archive.md5.lower()) if archive.md5 is not None else None


def find(archive: Archive, folder: Path, sizes: Sizes | None = None) -> Found:
    """The archive in `folder` or up to two folders below: by size and digest under any name, else by its name.

    `sizes` are those of `sizes_in(folder)`, for who asks for many archives.
    """
    faults: list[str] = []
    for path in _candidates(archive, folder, sizes):
        fault = fault_of(archive, path)
        if fault is None:
            return Found(path, tuple(faults))
        if path.name == archive.name:
            faults.append(f"{path}: expected {fault}")
    return Found(
        None, (*faults, *(f"{path}: expected another file, which this is not" for path in aside(archive, folder)))
    )


def aside(archive: Archive, folder: Path) -> list[Path]:
    """Downloads of the archive that turned out to be another file."""
    return sorted(path for path in folder.glob("*.wrong-*") if path.name.rpartition(".wrong-")[0] == archive.name)


def fault_of(archive: Archive, path: Path) -> str | None:
    """What was expected of the file and what it has instead; None where it is the archive."""
    size = path.stat().st_size
    if archive.size not in (None, size):
        return f"{archive.size:,} bytes, got {size:,}"
    check = check_of(archive)
    if check is not None and (got := digest(path, check[0])) != check[1]:
        return f"{check[0]} {check[1]}, got {got}"
    return None


def mirrored(archive: Archive, mirrors: Sequence[str]) -> Archive:
    """The archive with its address at each mirror before the publisher's; as it is where nothing would verify it."""
    if check_of(archive) is None:
        return archive
    return archive._replace(urls=(*(f"{at.rstrip('/')}/{quote(archive.name)}" for at in mirrors), *archive.urls))


def served(archives: Iterable[Archive], mirrors: Sequence[str]) -> dict[str, Archive]:
    """Archives by name, each with its address at each mirror."""
    return {archive.name: mirrored(archive, mirrors) for archive in archives}


def needed(tasks: Mapping[str, Task]) -> dict[str, Archive]:
    """The archives that tasks come from, each once, by name."""
    return {archive.name: archive for name, task in tasks.items() for archive in needs(name, task)}


def needs(name: str, task: Task) -> tuple[Archive, ...]:
    """The archives that a task comes from; none where its files are named by a path."""
    if task.url is not None:
        return (addressed(task.url, str(task.sha256)),)
    of_catalogue = task.source in PUBLISHED and name in SOURCES
    return tuple(ARCHIVES[archive] for archive in SOURCES[name].archives) if of_catalogue else ()


def addressed(url: str, sha256: str) -> Archive:
    """A task's own `url` as an archive; its name starts with the digest, so that no two meet."""
    last = PurePosixPath(unquote(urlsplit(url).path)).name or "archive"
    return Archive(f"{sha256[:12].lower()}-{re.sub('[^A-Za-z0-9._-]+', '_', last)[-100:]}", (url,), None, sha256)


def is_likely(archive: Archive, folder: Path, sizes: Sizes) -> bool:
    """Whether there is a file that may be the archive: one of its size, or of its name where no size is known."""
    return any(archive.size in (None, path.stat().st_size) for path in _candidates(archive, folder, sizes))


def lacking(archive: Archive, folder: Path) -> int:
    """Bytes that a download would add, as far as its size is known; an unfinished one counts."""
    draft = folder / f".{archive.name}.part"
    return max(0, (archive.size or 0) - (draft.stat().st_size if draft.is_file() else 0))


def by_hand(archives: Iterable[Archive], folder: Path) -> str:
    """Which file goes where, how it is had, and how it is verified; files that have all that in common are together."""
    ways: dict[str, list[str]] = {}
    for archive in archives:
        check = check_of(archive)
        proof = [f"{archive.size:,} bytes"] if archive.size is not None else []
        proof += [" ".join(check)] if check is not None else ["what is in it, when it is prepared"]
        way = f"{archive.how or 'put the file there'} (verified by {' and '.join(proof)})"
        ways.setdefault(way, []).append(str(folder / archive.name))
    return "\n".join(f"{', '.join(places)}: {way}" for way, places in ways.items())


def _candidates(archive: Archive, folder: Path, sizes: Sizes | None = None) -> Iterator[Path]:
    """Files that may be the archive: under its name at the top, then of its size, then of its name anywhere."""
    top = folder / archive.name
    if top.is_file():
        yield top
    others = {path: size for path, size in (sizes_in(folder) if sizes is None else sizes).items() if path != top}
    alike = [path for path, size in others.items() if size == archive.size] if check_of(archive) is not None else []
    yield from alike
    yield from (path for path in others if path.name == archive.name and path not in alike)


def sizes_in(folder: Path) -> Sizes:
    """Sizes of the files to look at, sorted by path: hidden ones and what was set aside are not among them."""
    found = []
    for place, inside, names in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        inside[:] = sorted(name for name in inside if not name.startswith(".")) if depth < DEEP else []
        found += [Path(place, name) for name in names if not name.startswith(".") and ".wrong-" not in name]
    return {path: path.stat().st_size for path in sorted(found) if path.is_file()}
