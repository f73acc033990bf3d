"""The settings that the runs of a row have on a task, fixed by the row or chosen by its search. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ship.artifacts import settings_file
from ship.errors import BadInput
from ship.experiment import records
from ship.experiment.params import NOTHING, Chosen, Params
from ship.experiment.records import read_record
from ship.experiment.rows import Train
from ship.storage import read_json, write_json


class RunSettings(NamedTuple):
    """What a run is trained with."""

    options: dict[str, Any]
    recipe: Train
    search: dict[str, Any] | None
    """how they were chosen; None where they are fixed"""


def write_settings(params: Params, backbone: str, task: str, method: str) -> None:
    """Write the settings of a row that has no search."""
    write_json(settings_file(backbone, task, method), {**_settings(params, task, method), "search": None})


def write_chosen(
    params: Params,
    backbone: str,
    task: str,
    method: str,
    trials: Sequence[Mapping[str, Any]],
    best: int,
    about: Mapping[str, Any],
) -> None:
    """Write the settings of a row with those of trial number `best`, the `trials`, and what is known `about` them."""
    search = {**_definition(params, method), **about, "chosen": best, "trials": trials}
    settings = _settings(params, task, method, trials[best]["settings"])
    write_json(settings_file(backbone, task, method), {**settings, "search": search})


def read_settings(params: Params, backbone: str, task: str, method: str, root: Path = Path()) -> RunSettings:
    """What was written of a row on a task. Raises BadInput where nothing was, or of another row than `params` have."""
    path = root / settings_file(backbone, task, method)
    found = read_json(path)
    with _written(path):
        search = found["search"]
        chosen = best_trial(search)["settings"] if search else NOTHING
        searched = {"definition": search["definition"]} if search else {}
        expected = {**_settings(params, task, method, chosen), **_definition(params, method)}
        same = {"options": found["options"], "train": found["train"], **searched} == expected
    if not same:
        raise BadInput(
            f"{path}: expected the settings that params.yaml has for {method}, got others "
            f"(ship search {backbone}/{task}/{method})"
        )
    return RunSettings(found["options"], Train(**found["train"]), search)


def wanted_settings(params: Params, backbone: str, task: str, method: str, root: Path = Path()) -> dict[str, Any]:
    """Options and recipe that `params` give a row on a task; where it has a search, with what was chosen last.

    `search` are the definition of that search and the one that `params` have: others where it is to be made again.
    """
    if (search := params.methods[method].search) is None:
        return _settings(params, task, method)
    path = root / settings_file(backbone, task, method)
    found = read_record(path, records.Chosen, "delete it, and snakemake")["search"]
    if not found:
        raise BadInput(
            f"{path}: expected settings that a search chose, got none (ship search {backbone}/{task}/{method})"
        )
    with _written(path):
        of = found["definition"], search.model_dump()
        return {**_settings(params, task, method, best_trial(found)["settings"]), "search": of}


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Raises BadInput where what is read of the file is not what was written."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        raise BadInput(f"{path}: expected what ship search writes, got {got} (delete it, and snakemake)") from None


def best_trial(search: Mapping[str, Any]) -> dict[str, Any]:
    """The trial that a search chose, of the group `search` in a settings file."""
    trial: dict[str, Any] = search["trials"][search["chosen"]]
    return trial


def _settings(params: Params, task: str, method: str, chosen: Chosen = NOTHING) -> dict[str, Any]:
    options = params.options_of(method, task, chosen)
    return {"options": options, "train": params.train_of(method, task, chosen).model_dump()}


def _definition(params: Params, method: str) -> dict[str, Any]:
    """What was to be searched, where something was."""
    search = params.methods[method].search
    return {"definition": search.model_dump()} if search else {}
