"""The settings of each row as the page shows them: options, recipe, and what was chosen or differs for single tasks."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from ship.artifacts import read_json, settings_file
from ship.chosen import best_trial, read_settings
from ship.config import Params, under
from ship.errors import BadInput
from ship.report.text import percent


def all_options(params: Params, root: Path, method: str, task: str) -> dict[str, Any]:
    """Every option of a row on a task, defaults and chosen ones included."""
    return {**_defaults(params, method), **params.options_of(method, task, _chosen(params, root, method, task))}


def row_settings(params: Params, root: Path, method: str) -> dict[str, Any]:
    """A row as text: `method`, `options` and `train` of the row, and what `tasks` have that it has not."""
    row, tasks = params.methods[method], {}
    for task in params.grid.tasks:
        own = row.tasks.get(task)
        special = {**own.options, **own.train} if own else {}
        if found := _search(params, root, method, task):
            best = best_trial(found)
            special |= under("options.", best["settings"]) | under("train.", best["settings"])
            special |= {"accuracy on val": f"{percent(best['accuracy'])} %, the best of {len(found['trials'])} trials"}
        if special:
            tasks[task] = _as_text(special)
    searched = row.search.candidates if row.search else {}
    chosen = dict.fromkeys(searched, "chosen for each task")
    return {
        "method": row.method,
        "options": _as_text({**_defaults(params, method), **params.options_of(method, None, chosen)}),
        "train": _as_text({**params.train_of(method).model_dump(), **under("train.", chosen)}),
        "tasks": tasks,
    }


def text(value: object) -> str:
    """A setting as params.yaml would show it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(text(part) for part in value)
    return str(value)


def _search(params: Params, root: Path, method: str, task: str) -> dict[str, Any] | None:
    """The search that a row has settings of on a task; None where it has none, or those of other `params`."""
    try:
        read_settings(params, task, method, root)
    except BadInput:
        return None
    found: dict[str, Any] | None = read_json(root / settings_file(task, method))["search"]
    return found


def _chosen(params: Params, root: Path, method: str, task: str) -> dict[str, Any]:
    """By options.KEY or train.KEY; nothing where nothing was searched."""
    found = _search(params, root, method, task)
    return best_trial(found)["settings"] if found else {}


def _defaults(params: Params, method: str) -> dict[str, Any]:
    from ship.methods import METHODS

    signature = inspect.signature(METHODS[params.methods[method].method]).parameters.values()
    return {option.name: option.default for option in signature if option.default is not option.empty}


def _as_text(values: dict[str, Any]) -> dict[str, str]:
    return {key: text(value) for key, value in values.items()}
