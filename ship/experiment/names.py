"""The names of an experiment's parts: backbone/task/method/seed of a run, and shorter ones of what lies before it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from ship.errors import BadInput, unknown
from ship.experiment.params import Params, read_params


def parts(params: Params, name: str, *axes: str) -> list[str]:
    """The parts of a `name` such as vit_tiny/own/ship/0, for axes such as backbone, task, method, seed.

    Raises BadInput where `params` has one of them not.
    """
    found = name.split("/")
    if len(found) != len(axes):
        raise BadInput(f"{'/'.join(axes)}: expected a name of this form, got {name!r}")
    for axis, part in zip(axes, found, strict=True):
        known = list(map(str, params.grid.seeds)) if axis == "seed" else list(getattr(params, f"{axis}s"))
        if part not in known:
            raise unknown(f"params.yaml: {'grid.' if axis == 'seed' else ''}{axis}s", part, known)
    return found


def completion(path: Path, *axes: str) -> Callable[[str], list[str]]:
    """What a shell may make of the beginning of a name: those of the grid in the experiment at `path`."""

    def complete(incomplete: str) -> list[str]:
        try:
            grid = read_params(path).grid.model_dump()
        except BadInput:
            return []
        names = ("/".join(map(str, each)) for each in itertools.product(*(grid[f"{axis}s"] for axis in axes)))
        return [name for name in names if name.startswith(incomplete)]

    return complete
