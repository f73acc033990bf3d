"""The official names of classes that an archive does not tell, or tells only by its folders. Loads no torch.

`class_names.txt` has a line a task, in the order of the labels, as in TensorFlow Datasets 4.2.0; the grades of
retinopathy are Kaggle's.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


def names_of(task: str) -> list[str]:
    """The classes of a task, in the order of their labels."""
    return list(_table()[task])


@cache
def _table() -> dict[str, tuple[str, ...]]:
    text = files("ship.data.sources").joinpath("class_names.txt").read_text(encoding="utf-8")
    rows = (line.split(": ", 1) for line in text.splitlines())
    return {task: tuple(names.split(", ")) for task, names in rows}
