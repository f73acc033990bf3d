"""How an image becomes a backbone's input. It belongs to the weights, not to the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Preprocessing(NamedTuple):
    """What is done to every image."""

    image_size: int
    """pixels of a side"""
    mean: tuple[float, ...]
    """of a channel, of images in 0-1"""
    std: tuple[float, ...]
    interpolation: str

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Preprocessing:
        """That of what a file says `about` a backbone, among other things."""
        fields = {name: about[name] for name in cls._fields}
        return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})
