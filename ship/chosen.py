"""The settings that the runs of a row have on a task, fixed by the row or chosen by its search. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ship.artifacts import read_json, settings_file, write_json
from ship.config import NOTHING, Chosen, Params
from ship.rows import Train


class RunSettings(NamedTuple):
    """What a run is trained with."""

    options: dict[str, Any]
    recipe: Train


def write_settings(
    params: Params, task: str, method: str, chosen: Chosen = NOTHING, search: Mapping[str, Any] | None = None
) -> None:
    """Write the row's settings on the task, with what was `chosen`, and the `search` that chose it."""
    write_json(
        settings_file(task, method),
        {
            "options": params.options_of(method, task, chosen),
            "train": params.train_of(method, task, chosen).model_dump(),
            "search": search,
        },
    )


def read_settings(task: str, method: str) -> RunSettings:
    """What `write_settings` wrote. Raises BadInput where nothing was."""
    found = read_json(settings_file(task, method))
    return RunSettings(found["options"], Train(**found["train"]))
