"""The archives that data sets come from: addresses, sizes and checksums. Loads no torch."""

from __future__ import annotations

from typing import NamedTuple


class Archive(NamedTuple):
    """A file that somebody else publishes. Sizes are bytes; digests are hexadecimal."""

    name: str  # of the file, as it is stored
    urls: tuple[str, ...]  # in order of preference; empty where a person must fetch it
    size: int | None
    sha256: str | None
    md5: str | None = None
    how: str = ""  # what a person does to get it


class Source(NamedTuple):
    """A data set."""

    archives: tuple[str, ...]  # that it is made of, by their names


ARCHIVES: dict[str, Archive] = {}
SOURCES: dict[str, Source] = {}
