"""Options of a row that its method cannot have, as far as its text tells: names, and kinds of values. Loads no torch.

Types and ranges need the class itself: `methods.options`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ship.errors import unknown
from ship.experiment.rows import Method

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def option_faults(place: str, row: Method, known: Mapping[str, Any]) -> list[str]:
    """What is said of a row's options, those of its tasks and of its search; `known` has the method's own defaults."""
    values = {f"{place}.options.{key}": (key, [value]) for key, value in row.options.items()}
    for task, own in row.tasks.items():
        values |= {f"{place}.tasks.{task}.options.{key}": (key, [value]) for key, value in own.options.items()}
    for key, tried in row.search.candidates.items() if row.search else ():
        group, _, name = key.partition(".")
        if row.search and group == "options":
            values[f"{place}.search.{row.search.places[key]}.{key}"] = name, tried
    if odd := [str(unknown(where, key, known)) for where, (key, _) in values.items() if key not in known]:
        return odd
    return [
        f"{where}: expected {KINDS[type(known[key])]}, got {value!r}"
        for where, (key, some) in values.items()
        for value in some
        if not _alike(value, known[key])
    ]


def _alike(value: object, default: object) -> bool:
    """Whether a value is of the kind of the default; a whole number is a number, too."""
    kind = type(default)
    return kind not in KINDS or type(value) is kind or (kind is float and type(value) is int)
