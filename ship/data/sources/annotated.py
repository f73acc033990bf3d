"""Rules of data sets."""

from __future__ import annotations

from ship.data.sources.rows import Content, Files


def clevr_count(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def clevr_dist(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def dmlab(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def kitti(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)
