"""Rules of data sets."""

from __future__ import annotations

from ship.data.sources.rows import Content, Files


def dogs(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def cars(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)
