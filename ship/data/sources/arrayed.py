"""Rules of data sets."""

from __future__ import annotations

from ship.data.sources.rows import Content, Files


def cifar(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def svhn(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def patch_camelyon(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def dsprites_loc(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def dsprites_ori(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def smallnorb_azi(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)


def smallnorb_ele(files: Files) -> Content:
    """Not written yet."""
    raise NotImplementedError(files)
