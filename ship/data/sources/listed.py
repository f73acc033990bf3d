"""Rules of data sets."""

from __future__ import annotations

from ship.data.sources.rows import Content, Files


def caltech101(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def dtd(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def flowers(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def pets(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def sun397(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def eurosat(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def resisc45(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def retinopathy(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)
