"""The settings of each row as the page shows them: options, recipe, and what was chosen or differs for single tasks."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from ship.errors import BadInput
from ship.experiment.code import Code
from ship.experiment.params import Params, under
from ship.experiment.settings import RunSettings, best_trial, read_settings
from ship.experiment.values import as_yaml
from ship.report.text import percent


@cache  # a page asks for them once a task
def defaults(method: str) -> dict[str, Any]:
    """The options of a method, a key of METHODS, and their defaults."""
    return Code().options(method)


def all_options(params: Params, root: Path, backbone: str, task: str, method: str) -> dict[str, Any]:
    """Every option of a row on a task, defaults and chosen ones included."""
    written = _written(params, root, backbone, task, method)
    return {
        **defaults(params.methods[method].method),
        **(written.options if written else params.options_of(method, task)),
    }


def row_settings(params: Params, root: Path, method: str) -> dict[str, Any]:
    """A row as text: `method`, `options` and `train` of the row, and what `tasks` have that it has not."""
    row, tasks = params.methods[method], {}
    for backbone, task in product(params.grid.backbones, params.grid.tasks):
        own = row.tasks.get(task)
        special = {**own.options, **own.train} if own else {}
        if (written := _written(params, root, backbone, task, method)) and (found := written.search):
            best = best_trial(found)
            special |= under("options.", best["settings"]) | under("train.", best["settings"])
            special |= {"accuracy on val": f"{percent(best['accuracy'])} %, the best of {len(found['trials'])} trials"}
        if special:
            several = len(params.grid.backbones) > 1 and written and written.search
            tasks[f"{backbone}/{task}" if several else task] = _as_text(special)
    searched = row.search.candidates if row.search else {}
    chosen = dict.fromkeys(searched, "chosen for each task")
    return {
        "method": row.method,
        "options": _as_text({**defaults(params.methods[method].method), **params.options_of(method, None, chosen)}),
        "train": _as_text({**params.train_of(method).model_dump(), **under("train.", chosen)}),
        "tasks": tasks,
    }


def _written(params: Params, root: Path, backbone: str, task: str, method: str) -> RunSettings | None:
    """The settings that were written of a row on a task; None where there are none, or those of other `params`."""
    try:
        return read_settings(params, backbone, task, method, root)
    except BadInput:
        return None


def _as_text(values: dict[str, Any]) -> dict[str, str]:
    return {key: as_yaml(value) for key, value in values.items()}
