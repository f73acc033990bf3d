"""Choosing a row's settings on a task: train on `train`, compare on `val`, and never see `test`.

Every trial has the row's recipe and the search's seed, and is judged after its last epoch. A proposal follows from
the search's seed, the trial's number and the trials before it alone, so a search that was killed goes on with the same
bits. Hierarchy and prototypes are those that the runs use: of the images of train and val, without labels.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ship.artifacts import search_folder, split_file
from ship.compute import Runtime, set_up
from ship.data.sealing import seal
from ship.data.seeds import derive_seed
from ship.errors import BadInput, Unfit
from ship.experiment import records
from ship.experiment.length import TRAINING, for_images
from ship.experiment.params import Chosen, Params
from ship.experiment.records import read_record
from ship.experiment.rows import Search
from ship.experiment.settings import write_chosen
from ship.locks import alone
from ship.methods.options import check_row
from ship.storage import write_json
from ship.training.fit import Setup, assemble, check_unchanged, fit, images_of, origin_of, validate
from ship.training.loop import Epoch
from ship.training.resume import RESUME, Origin, clear, identity

TRIALS = "trials.json"
_log = logging.getLogger(__name__)


class Trial(NamedTuple):
    """One set of settings, and what came of it."""

    settings: dict[str, Any]
    """by options.KEY or train.KEY"""
    accuracy: float | None
    """on the images of val; None where the settings did not go together or training diverged"""
    loss: float | None
    """cross-entropy on the images of val"""
    failure: str | None = None
    """why there is no accuracy"""


def search_settings(
    params: Params,
    backbone: str,
    task: str,
    method: str,
    show: Callable[[int, int, Epoch], None],
    code: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the settings of a row on a backbone and a task: those of the best trial of its search, on val.

    `show` is told the trial's number, how many epochs it has, and each of them; `code` is what is known of the code
    that computes it, digests by module. The test split is sealed before anything is read, for as long as the process
    lives.
    """
    search = params.methods[method].search
    if search is None:
        raise BadInput(f"params.yaml: methods.{method}.search: expected what is to be chosen, found none")
    seal(split_file(task, "test"))
    check_row(params, method, task)
    runtime, folder = set_up(params.compute), search_folder(backbone, task, method)
    base = _setup(params, backbone, task, method, search, {})
    sampler = {} if search.sampler == "grid" else {"optuna": version("optuna")}
    origin = origin_of(backbone, task, code)
    mark = identity([base, search, sampler], origin, runtime)
    with alone(folder):
        trials = _left(folder / TRIALS, mark)
        for number in range(len(trials), search.total):
            settings = propose(search, trials, number)
            known = next((trial for trial in trials if trial.settings == settings), None)
            setup = _setup(params, backbone, task, method, search, settings)
            tell = partial(show, number, setup.recipe.epochs)
            trials.append(known or _try(setup, settings, origin, runtime, folder / RESUME, tell))
            write_json(folder / TRIALS, {"identity": mark, "trials": trials})
        check_unchanged(origin, backbone, task)
        best = choose(trials, f"params.yaml: methods.{method}.search")
        about = {"trained_on": TRAINING[0], "chosen_on": TRAINING[1], **sampler}
        write_chosen(params, backbone, task, method, [trial._asdict() for trial in trials], best, about)
        clear(folder, TRIALS, RESUME)


def propose(search: Search, trials: list[Trial], number: int) -> Chosen:
    """The settings of a trial: the next combination of a grid, or what the sampler makes of the trials before."""
    if search.sampler == "grid":
        combination = next(itertools.islice(itertools.product(*search.choices.values()), number, None))
        return dict(zip(search.choices, combination, strict=True))
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = derive_seed(search.seed, number) % 2**32
    sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed)
    if search.sampler == "tpe":
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(1, search.total // 3))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    space = _space(search)
    for trial in trials:
        state = optuna.trial.TrialState.FAIL if trial.accuracy is None else optuna.trial.TrialState.COMPLETE
        drawn = {key: _index(search, key, value) for key, value in trial.settings.items()}
        study.add_trial(optuna.create_trial(state=state, value=trial.accuracy, params=drawn, distributions=space))
    found = study.ask(space).params
    return {
        key: search.choices[key][value] if key in search.choices else search.ranges[key].value(value)
        for key, value in found.items()
    }


def choose(trials: list[Trial], place: str) -> int:
    """The best trial: highest accuracy, then lowest loss, then first. Raises BadInput where none ended well."""
    judged = [(-t.accuracy, t.loss, number) for number, t in enumerate(trials) if t.accuracy is not None]
    if not judged:
        raise BadInput(f"{place}: expected a trial that ends well, got {len(trials)} others: {trials[0].failure}")
    return min(judged)[2]


def _setup(params: Params, backbone: str, task: str, method: str, search: Search, chosen: Chosen) -> Setup:
    """A trial: the row's settings with what it has `chosen`, trained on `train` alone."""
    try:
        options, recipe = params.options_of(method, task, chosen), params.train_of(method, task, chosen)
    except ValueError as error:
        raise BadInput(f"params.yaml: {error}") from None
    recipe = for_images(recipe, images_of(task, TRAINING[:1]))
    kind = params.methods[method].method
    return Setup(backbone, task, kind, options, recipe, search.seed, TRAINING[:1])


def _try(
    setup: Setup, settings: Chosen, origin: Origin, runtime: Runtime, path: Path, show: Callable[[Epoch], None]
) -> Trial:
    """Fit to the end, then read val once; going on from what a killed search left in `path`."""
    try:
        assembled = assemble(setup, origin, runtime)
        fit(setup, assembled, runtime, path, show)
        found = validate(setup, assembled, runtime)
        trial = Trial(dict(settings), found.accuracy, found.loss)
    except Unfit as error:
        _log.info("%s", error)
        trial = Trial(dict(settings), None, None, str(error))
    path.unlink(missing_ok=True)
    return trial


def _left(path: Path, mark: str) -> list[Trial]:
    """The trials that a killed search with the same settings, inputs and code had finished."""
    if not path.exists():
        return []
    try:
        found = read_record(path, records.Trials)
    except BadInput as error:
        _log.info("%s: starting anew", error)
        return []
    if found["identity"] != mark:
        _log.info("%s: left by a search with other settings, inputs or code: starting anew", path)
        return []
    _log.info("%s: going on after %d trials of it", path, len(found["trials"]))
    return [Trial(*trial) for trial in found["trials"]]


def _space(search: Search) -> dict[str, Any]:
    """What Optuna draws from: the place of a choice in its list, or a number of a range."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {key: CategoricalDistribution(range(len(v))) for key, v in search.choices.items()}
    for key, span in search.ranges.items():
        whole = span.whole and IntDistribution(int(span.low), int(span.high), log=span.log)
        found[key] = whole or FloatDistribution(span.low, span.high, log=span.log)
    return found


def _index(search: Search, key: str, value: Any) -> Any:
    """The inverse of what `propose` makes of a draw."""
    return search.choices[key].index(value) if key in search.choices else value
